"""Predicting the verdict of all examples: the rule that decides, on what may come."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import examples

from pytest_mipro.gate.decision import Recorded, compare, decide
from pytest_mipro.gate.fast import predict, run, shares
from pytest_mipro.outcome import Outcome
from pytest_mipro.settings import Settings


def recorded(scores, runs=1):
    return Recorded(scores, runs)


def done(scores):
    return {n: (Outcome(score),) for n, score in scores.items()}


@st.composite
def gates(draw):
    """All scores of a gate, what it compares with, and limits that its figures may equal."""
    runs, repeats = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    then, now = (st.integers(0, n).map(lambda passed, n=n: passed / n) for n in (runs, repeats))
    if draw(st.booleans()):  # graded
        then = now = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0]) | st.floats(0, 1)
    then = then.map(lambda score: round(score, 6)) if draw(st.booleans()) else st.just(1.0)
    now = draw(st.sampled_from([now, now | st.just(0.0), st.just(0.0)]))  # or many fell
    pairs = draw(st.lists(st.tuples(st.none() | then, now), min_size=1, max_size=30))
    before, scores = map(list, zip(*pairs, strict=True))
    against = recorded(before, runs)
    limits = Settings(repeats=repeats)
    comparison = compare(scores, limits, against)
    drop, p_value = (comparison.test.drop, comparison.test.p_value) if comparison else (0.0, 0.5)
    return (
        scores,
        against,
        replace(
            limits,
            threshold=draw(st.sampled_from([None, None, math.fsum(scores) / len(scores), 0.5])),
            max_drop=draw(st.sampled_from([0.0, 0.01, 0.9 * drop, drop, 0.3])),
            significance=draw(st.sampled_from([0.05, p_value, 1.01 * p_value, 0.5])),
        ),
    )


@settings(deadline=None, max_examples=200)
@given(gates())
def test_with_nothing_left_to_score_the_prediction_is_the_decision(gate):
    scores, against, limits = gate
    verdict = decide(scores, limits, against)
    # The draws themselves, before it is asked whether anything could change the verdict.
    drawn = shares(dict(enumerate(scores)), len(scores), limits, against)
    assert {name: share for name, share in drawn.items() if share} == {verdict: 1.0}
    known_outcomes = {n: (Outcome(score),) * limits.repeats for n, score in enumerate(scores)}
    assert predict(known_outcomes, examples(len(scores)), limits, against) == (verdict, 1.0)


@pytest.mark.parametrize("max_drop", [0.0, 0.9, 1.0])  # as a share of the drop
@pytest.mark.parametrize("significance", [1.0, 1.01])  # as a multiple of the p-value
def test_at_the_limits_too_the_prediction_is_the_decision(max_drop, significance):
    then, now = [0.8] * 16 + [None] * 16, [0.7, 0.6, 0.5, 0.85] * 8
    test = compare(now, Settings(), recorded(then)).test
    limits = Settings(max_drop=max_drop * test.drop, significance=significance * test.p_value)
    verdict = "regressed" if max_drop < 1.0 < significance else "pass"
    assert decide(now, limits, recorded(then)) == verdict
    assert shares(dict(enumerate(now)), 32, limits, recorded(then))[verdict] == 1.0


def test_a_drop_is_that_of_the_examples_that_are_compared():
    then = recorded([1.0] * 40 + [None] * 40)
    limits = Settings(max_drop=0.2)
    scored = {n: float(n >= 8) for n in range(25)} | dict.fromkeys(range(40, 65), 1.0)
    at_that_rate = [scored.get(n, float(n >= 30)) for n in range(80)]
    assert decide(at_that_rate, limits, then) == "regressed"
    verdict, probability = predict(done(scored), examples(80), limits, then)
    assert verdict == "regressed"
    assert probability > 0.8


def test_several_recorded_runs_count_in_the_prediction_as_in_the_decision():
    # Four flips: p = 1/16 against one run of each example, 1/256 against three.
    scores = [0.0] * 4 + [1.0] * 36
    for runs, verdict in ((1, "pass"), (3, "regressed")):
        then = recorded([1.0] * 40, runs)
        assert decide(scores, Settings(), then) == verdict
        drawn = shares(dict(enumerate(scores[:39])), 40, Settings(), then)
        assert drawn[verdict] > 0.8


def test_a_prediction_is_wrong_as_rarely_as_it_says():
    rng = np.random.default_rng(0)
    size, seen, wrong, stated = 100, 40, 0, []
    for gate in range(150):
        runs = (1, 3)[gate % 2]
        then = (rng.random((runs, size)) < rng.beta(1.6, 0.4, size)).mean(axis=0)
        # Any rate now, of examples that were right and of those that were not.
        chances = np.where(then >= 0.5, rng.uniform(0.4, 1.0), rng.uniform(0.0, 1.0))
        scores = (rng.random(size) < chances).astype(float)
        compared = rng.random(size) < 0.6
        against = recorded(
            [s if has else None for s, has in zip(then, compared, strict=True)], runs
        )
        limits = Settings(threshold=0.65, max_drop=0.1, seed=gate)
        scored = done(dict(enumerate(scores[:seen].tolist())))
        verdict, probability = predict(scored, examples(size), limits, against)
        wrong += verdict != decide(scores.tolist(), limits, against)
        stated.append(1.0 - probability)
    assert abs(wrong - sum(stated)) < 2 * math.sqrt(sum(p * (1 - p) for p in stated))


def test_only_what_nothing_can_change_is_certain():
    limits = Settings(threshold=0.5)
    certain = done(dict.fromkeys(range(100), 1.0))
    assert predict(certain, examples(200), limits, None) == ("pass", 1.0)
    del certain[0]
    verdict, probability = predict(certain, examples(200), limits, None)
    assert verdict == "pass"
    assert 0.999 < probability < 1.0


@pytest.mark.parametrize(
    ("scores", "least", "most", "verdict"),
    [
        ([1.0] * 200, 20, 60, "pass"),
        ([0.0] * 200, 20, 60, "below threshold"),
        ([1.0, 1.0, 1.0, 0.0] * 50, 190, 200, "pass"),
    ],
)
def test_a_settled_gate_stops_early_and_a_close_one_does_not(scores, least, most, verdict):
    positions = range(len(scores))
    stopped = run(
        lambda some: [[Outcome(scores[n]) for n in some]],
        positions,
        Settings(threshold=0.75, threads=8),
        recorded([1.0, 0.5] * 100),
    )
    assert least <= len(stopped.scored.examples) <= most
    assert stopped.verdict == verdict
