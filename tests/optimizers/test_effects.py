"""What is learned from per-example outcomes."""

from __future__ import annotations

import random

import pytest

from pytest_mipro.optimizers.mipro.effects import Run, fit

SLOTS = {"a": 4, "b": 4}


def outcomes(quality, choices, examples, seed=0):
    rng = random.Random(seed)
    return [Run(c, [float(rng.random() < quality(c)) for _ in range(examples)]) for c in choices]


def additive(choice):
    return 0.2 + 0.2 * choice["a"] + 0.05 * choice["b"]


def test_the_best_combination_is_found_though_it_did_not_run():
    choices = [{"a": a, "b": b} for a in range(4) for b in range(4) if (a, b) != (3, 3)]
    fitted = fit(outcomes(additive, choices, 40), SLOTS)
    every = [{"a": a, "b": b} for a in range(4) for b in range(4)]
    assert max(every, key=fitted.estimate)["a"] == 3
    assert fitted.estimate({"a": 3, "b": 3}) > fitted.estimate({"a": 0, "b": 0}) + 0.3


def test_hard_examples_do_not_count_against_the_trials_that_met_them():
    easy_first = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    runs = [Run({"a": 0, "b": b}, easy_first[:2]) for b in range(4)]
    runs += [Run({"a": 1, "b": b}, easy_first) for b in range(4)]
    fitted = fit(runs, SLOTS)
    first, second = (fitted.estimate({"a": a, "b": 0}) for a in (0, 1))
    assert first == pytest.approx(second, abs=0.12)


def test_examples_that_could_not_be_asked_are_left_out():
    fitted = fit([Run({"a": 0, "b": 0}, [1.0, None, 1.0])], SLOTS)
    assert fitted.mean == 1.0


def test_what_a_configuration_scored_itself_outweighs_the_model_in_the_end():
    def interacting(choice):
        return 0.9 if (choice["a"], choice["b"]) == (0, 0) else 0.4

    choices = [{"a": a, "b": b} for a in range(4) for b in range(4)]
    fitted = fit(outcomes(interacting, choices, 60), SLOTS)
    assert max(choices, key=fitted.estimate) == {"a": 0, "b": 0}
