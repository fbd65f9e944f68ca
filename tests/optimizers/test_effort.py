"""How much to spend, and on what."""

from __future__ import annotations

from pytest_mipro.optimizers.mipro.demosets import DemoLimits
from pytest_mipro.optimizers.mipro.effort import Effort

LIMITS = DemoLimits(4, 4)


def test_a_named_effort_is_a_budget_for_each_predictor():
    assert [Effort.named("light", n, LIMITS).calls for n in (1, 3)] == [500, 1500]


def test_a_small_budget_compares_few_candidates():
    few, many = (Effort.within(calls, 1, LIMITS) for calls in (100, 1000))
    assert few.instructions < many.instructions
    assert few.demo_sets < many.demo_sets


def test_a_budget_is_shared_by_the_predictors():
    one, four = (Effort.within(1000, count, LIMITS) for count in (1, 4))
    assert four.instructions < one.instructions


def test_without_demos_there_are_twice_as_many_instructions():
    with_demos, without = (Effort.within(400, 1, DemoLimits(n, n)) for n in (4, 0))
    assert without.instructions == 2 * with_demos.instructions


def test_bootstrapping_may_take_15_per_cent_of_the_calls():
    assert Effort.within(400, 1, LIMITS).bootstrap_calls == 60
