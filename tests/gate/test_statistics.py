"""Intervals and paired tests, against published figures and by their properties."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pytest_mipro.gate.statistics import interval, paired_test


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombe(hits, n, low, high):
    assert interval([1.0] * hits + [0.0] * (n - hits)) == pytest.approx((low, high), abs=5e-5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_mean_lies_inside_and_the_ends_on_the_scale(scores):
    low, high = interval(scores)
    mean = sum(scores) / len(scores)
    assert -1e-9 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1 + 1e-9


def test_graded_scores_are_covered_at_the_stated_rate():
    rng = random.Random(1)
    hits = 0
    for _ in range(200):
        low, high = interval([rng.betavariate(2, 3) for _ in range(40)])
        hits += low <= 0.4 <= high
    assert 180 <= hits <= 199


def test_the_same_scores_give_the_same_interval():
    scores = [0.2, 0.5, 0.7, 0.1, 0.9]
    assert interval(scores) == interval(scores)


def test_no_scores_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        interval([])


BINARY = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(BINARY)
def test_one_run_then_and_now_is_mcnemars_exact_test(pairs):
    then, now = ([float(score) for score in side] for side in zip(*pairs, strict=True))
    worse = sum(a > b for a, b in zip(then, now, strict=True))
    better = sum(a < b for a, b in zip(then, now, strict=True))
    test = paired_test(then, now)
    assert (test.worse, test.better, test.test) == (worse, better, "McNemar's exact test")
    expected = binomtest(worse, worse + better, alternative="greater").pvalue if worse else 1.0
    assert test.p_value == pytest.approx(expected, abs=1e-9)


@given(BINARY, st.integers(1, 3), st.integers(1, 2))
def test_a_better_score_today_never_looks_worse(pairs, runs_then, runs_now):
    then, now = ([float(score) for score in side] for side in zip(*pairs, strict=True))
    runs = (runs_then, runs_now)
    before = paired_test(then, now, runs=runs)
    assert 0.0 <= before.p_value <= 1.0
    for n, score in enumerate(now):
        if not score:
            after = paired_test(then, [*now[:n], 1.0, *now[n + 1 :]], runs=runs)
            assert after.p_value >= before.p_value - 1e-9


def test_false_alarms_are_as_rare_as_the_p_value_says_with_any_number_of_runs():
    rng = np.random.default_rng(0)
    for then_runs, now_runs in ((1, 1), (3, 1), (3, 2)):
        chances = rng.beta(1.6, 0.4, size=60)
        alarms = 0
        for _ in range(400):
            then = (rng.random((then_runs, 60)) < chances).mean(axis=0).tolist()
            now = (rng.random((now_runs, 60)) < chances).mean(axis=0).tolist()
            alarms += paired_test(then, now, runs=(then_runs, now_runs)).p_value < 0.05
        assert alarms <= 0.05 * 400 + 2 * (0.05 * 0.95 * 400) ** 0.5


def test_several_recorded_runs_catch_more():
    rng = np.random.default_rng(0)
    caught = {}
    for then_runs in (1, 3):
        caught[then_runs] = sum(
            paired_test(
                (rng.random((then_runs, 200)) < 0.8).mean(axis=0).tolist(),
                (rng.random(200) < 0.7).astype(float).tolist(),
                runs=(then_runs, 1),
            ).p_value
            < 0.05
            for _ in range(300)
        )
    assert caught[3] > 240 > caught[1]


def test_many_examples_are_tested_by_the_normal_limit():
    rng = np.random.default_rng(0)
    then, now = (rng.random(9_000) < 0.8).astype(float), (rng.random(9_000) < 0.79).astype(float)
    flipped = int((then > now).sum()), int((then < now).sum())
    exact = binomtest(flipped[0], sum(flipped), alternative="greater").pvalue
    assert paired_test(then.tolist(), now.tolist()).p_value == pytest.approx(exact, rel=0.02)


def test_graded_scores_are_tested_by_flipping_signs():
    then = [0.5, 0.6, 0.7, 0.8, 0.9]
    test = paired_test(then, [score - 0.1 for score in then])
    assert test.test == "paired permutation test"
    assert test.p_value == pytest.approx(1 / 32)
    assert test.drop == pytest.approx(0.1)
    assert paired_test(then, then).p_value == 1.0


def test_scores_that_are_not_paired_are_refused():
    with pytest.raises(ValueError, match="not 2 and 1"):
        paired_test([1.0, 0.0], [1.0])
