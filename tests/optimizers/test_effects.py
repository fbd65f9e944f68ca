"""What is learned from per-example outcomes."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mipro.optimizers.mipro.effects import Effects

SLOTS = {"p.instruction": 4, "p.demos": 4}
EVERY = [{"p.instruction": a, "p.demos": b} for a in range(4) for b in range(4)]


def fitted(quality, choices, examples=40, seed=0, members=None, slots=SLOTS):
    rng = random.Random(seed)
    model = Effects(slots, members or {}, examples)
    for choice in choices:
        scores = [float(rng.random() < quality(choice)) for _ in range(examples)]
        model.observe(choice, list(range(examples)), scores)
    for _ in range(8):
        model.fit()
    return model


def best_of(model):
    return model.draw(np.random.default_rng(0), 0.0)


def additive(choice):
    return 0.2 + 0.2 * choice["p.instruction"] + 0.05 * choice["p.demos"]


def test_the_best_combination_is_found_though_it_did_not_run():
    best = {"p.instruction": 3, "p.demos": 3}
    model = fitted(additive, [c for c in EVERY if c != best])
    assert best_of(model).best()["p.instruction"] == 3
    assert model.estimate(best)[0] > model.estimate(EVERY[0])[0] + 0.3


def test_hard_examples_do_not_count_against_the_configurations_that_met_them():
    model = Effects(SLOTS, {}, 6)
    easy_first = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    for demos in range(4):
        model.observe({"p.instruction": 0, "p.demos": demos}, [0, 1], easy_first[:2])
        model.observe({"p.instruction": 1, "p.demos": demos}, list(range(6)), easy_first)
    for _ in range(8):
        model.fit()
    first, second = (model.estimate({"p.instruction": a, "p.demos": 0})[0] for a in (0, 1))
    assert first == pytest.approx(second, abs=0.1)


def test_parts_that_are_good_only_together_are_found():
    def interacting(choice):
        return 0.9 if set(choice.values()) == {0} else 0.4

    model = fitted(interacting, EVERY, 60)
    assert best_of(model).ranked()[0] == EVERY[0]


def test_what_is_learned_of_a_demo_carries_over_to_other_sets_that_hold_it():
    good = 0
    sets = [(n, good) if n % 2 == 0 else (n, n + 1) for n in range(1, 33)]
    slots = {"p.instruction": 1, "p.demos": 32}
    of = [{"p.instruction": 0, "p.demos": n} for n in range(32)]
    *seen, other, holding = range(32)
    assert (good in sets[holding], good in sets[other]) == (True, False)

    def quality(choice):
        return 0.9 if good in sets[choice["p.demos"]] else 0.1

    model = fitted(quality, [of[n] for n in seen], 20, 0, {"p.demos": sets}, slots)
    assert model.estimate(of[holding])[0] > model.estimate(of[other])[0] + 0.1


def test_the_estimate_of_the_best_is_far_less_optimistic_than_the_best_mean():
    errors, means = [], []
    for seed in range(30):
        model = fitted(lambda c: 0.5, EVERY, 20, seed)
        best = best_of(model).ranked()[0]
        errors.append(model.estimate(best)[0] - 0.5)
        rng = random.Random(seed)
        means.append(max(sum(rng.random() < 0.5 for _ in range(20)) / 20 for _ in EVERY) - 0.5)
    assert 0 <= np.mean(errors) < np.mean(means) / 2


def test_the_estimate_is_right_on_average_where_options_differ():
    errors = []
    for seed in range(30):
        model = fitted(additive, EVERY, 20, seed)
        best = best_of(model).ranked()[0]
        errors.append(model.estimate(best)[0] - additive(best))
    assert abs(np.mean(errors)) < 0.03


def test_the_standard_error_shrinks_with_what_was_seen():
    few, many = (fitted(additive, EVERY, n).estimate(EVERY[0])[1] for n in (5, 80))
    assert many < few


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.lists(st.floats(0, 1), max_size=6)),
        min_size=1,
        max_size=12,
    )
)
def test_any_outcomes_can_be_fitted(runs):
    model = Effects(SLOTS, {}, 6)
    for a, b, scores in runs:
        model.observe({"p.instruction": a, "p.demos": b}, list(range(len(scores))), scores)
    model.fit()
    model.fit()
    for choice in EVERY:
        mean, error = model.estimate(choice)
        assert np.isfinite([mean, error]).all()
