"""Intervals and paired tests, against published figures and by their properties."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pytest_mipro.gate import paired
from pytest_mipro.gate.intervals import interval
from pytest_mipro.gate.paired import p_values, paired_test


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


def test_the_test_is_exact_for_many_examples_too():
    rng = np.random.default_rng(0)
    then, now = (rng.random(9_000) < 0.8).astype(float), (rng.random(9_000) < 0.79).astype(float)
    flipped = int((then > now).sum()), int((then < now).sum())
    exact = binomtest(flipped[0], sum(flipped), alternative="greater").pvalue
    assert paired_test(then.tolist(), now.tolist()).p_value == pytest.approx(exact, abs=1e-11)


def test_graded_scores_are_tested_by_flipping_signs():
    then = [0.5, 0.6, 0.7, 0.8, 0.9]
    test = paired_test(then, [score - 0.1 for score in then])
    assert test.test == "paired permutation test"
    assert test.p_value == pytest.approx(1 / 32)
    assert test.drop == pytest.approx(0.1)
    assert paired_test(then, then).p_value == 1.0


def test_a_single_example_that_changed_says_next_to_nothing():
    assert paired_test([0.5] * 20, [0.5] * 19 + [0.2]).p_value == 0.5
    assert paired_test([0.5] * 20, [0.5] * 19 + [0.7]).p_value == 1.0


def test_the_order_of_graded_examples_does_not_matter():
    rng = np.random.default_rng(0)
    pairs = rng.random((50, 2))
    then, now = pairs.T.tolist()
    mixed_then, mixed_now = rng.permutation(pairs).T.tolist()
    assert paired_test(then, now).p_value == paired_test(mixed_then, mixed_now).p_value


def test_the_normal_limit_of_graded_scores_is_near_their_permutations(monkeypatch):
    rng = np.random.default_rng(0)
    then = rng.random(2_100)
    now = (then + rng.normal(-0.004, 0.1, 2_100)).tolist()
    limit = paired_test(then.tolist(), now).p_value
    monkeypatch.setattr(paired, "FLIPS_UP_TO", 3_000)
    assert 0.01 < limit < 0.2
    assert limit == pytest.approx(paired_test(then.tolist(), now).p_value, abs=0.01)


@st.composite
def paired_scores(draw):
    """Scores of up to 300 examples, any number of which changed."""
    runs = draw(st.tuples(st.integers(1, 5), st.integers(1, 3)))
    n = draw(st.integers(0, 300))
    changed = draw(st.integers(0, n))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        then, now = (rng.integers(0, count + 1, n) / count for count in runs)
    else:
        then = rng.random(n).round(draw(st.integers(0, 6)))
        now = np.where(np.arange(n) < changed, rng.random(n).round(2), then)
    return then.tolist(), now.tolist(), runs


@settings(deadline=None, max_examples=60)
@given(paired_scores())
def test_every_p_value_is_a_probability(case):
    then, now, runs = case
    assert 0.0 <= paired_test(then, now, runs=runs).p_value <= 1.0


@settings(deadline=None, max_examples=50)
@given(st.tuples(st.integers(1, 5), st.integers(1, 3)), st.integers(0, 100), st.integers(0, 2**32))
def test_many_binary_sets_at_once_get_the_p_values_that_each_has_alone(runs, shared, seed):
    rng = np.random.default_rng(seed)
    pairs = [(a / runs[0], b / runs[1]) for a in range(runs[0] + 1) for b in range(runs[1] + 1)]
    common = [pairs[n] for n in rng.integers(0, len(pairs), shared)]
    counts = rng.integers(0, rng.integers(1, 30, len(pairs)), size=(8, len(pairs)))
    together = p_values(common, pairs, counts, runs)
    for row, p_value in zip(counts, together, strict=True):
        alone = [*common, *(pair for pair, n in zip(pairs, row, strict=True) for _ in range(n))]
        expected = paired_test(*zip(*alone, strict=True), runs=runs).p_value if alone else 1.0
        assert p_value == pytest.approx(expected, abs=1e-11)


# Differences of graded scores, and how likely each is.
MIXES = {
    "halves": ([-0.5, 0.5], [0.6, 0.4]),
    "quarters": ([-1, -0.5, -0.25, 0.25, 0.5, 0.75], [0.1, 0.2, 0.3, 0.2, 0.1, 0.1]),
    "nearly equal": ([*np.linspace(-0.32, -0.28, 9), 0.3], [*[0.07] * 9, 0.37]),
    "a few large": ([-1, -0.031, -0.017, 0.013, 0.029, 1], [0.1, 0.25, 0.2, 0.2, 0.2, 0.05]),
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("n", [8, 40, 150, 151, 300])
def test_many_graded_sets_at_once_get_about_the_p_values_that_each_has_alone(mix, n):
    values, chances = MIXES[mix]
    counts = np.random.default_rng(n).multinomial(n, chances, size=20)
    pairs = [(0.0, value) for value in values]
    together = p_values([], pairs, counts, (1, 1))
    alone = [p_values([], pairs, [row], (1, 1))[0] for row in counts]
    errors = [a - b for a, b in zip(together, alone, strict=True) if b < 0.2]
    assert max(map(abs, errors), default=0.0) < (0.03 if mix == "a few large" else 0.015)


def test_scores_that_are_not_paired_are_refused():
    with pytest.raises(ValueError, match="not 2 and 1"):
        paired_test([1.0, 0.0], [1.0])
