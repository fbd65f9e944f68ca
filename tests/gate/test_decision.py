"""From scores to a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import examples

from pytest_mipro.gate.decision import Recorded, compare, decide, verdict_of
from pytest_mipro.outcome import Outcome, Scored
from pytest_mipro.settings import Settings

OUTAGE = Outcome(None, "unreachable", "LMServerError: down")


def recorded(scores, runs=1):
    return Recorded(scores, runs)


def scored(*runs):
    outcomes = [[OUTAGE if s is None else Outcome(s) for s in run] for run in runs]
    return Scored(examples(len(runs[0])), outcomes)


def test_a_mean_at_the_threshold_passes_and_below_it_does_not():
    assert decide([1.0, 0.0], Settings(threshold=0.5)) == "pass"
    assert decide([1.0, 0.0, 0.0], Settings(threshold=0.34)) == "below threshold"
    assert decide([0.1] * 3, Settings(threshold=0.1)) == "pass"  # 0.1 + 0.1 + 0.1 > 0.3


def test_a_drop_that_chance_explains_is_no_regression():
    then, now = [1.0] * 20, [0.0] * 4 + [1.0] * 16
    assert decide(now, Settings(), recorded(then)) == "pass"  # p = 1/16


def test_a_drop_that_chance_does_not_explain_is_a_regression():
    then, now = [1.0] * 20, [0.0] * 5 + [1.0] * 15
    assert decide(now, Settings(), recorded(then)) == "regressed"  # p = 1/32


def test_flips_both_ways_cancel():
    then, now = [1.0] * 10 + [0.0] * 10, [0.0] * 10 + [1.0] * 10
    assert decide(now, Settings(), recorded(then)) == "pass"


def test_the_significance_and_the_allowed_drop_can_be_set():
    then, now = recorded([1.0] * 20), [0.0] * 5 + [1.0] * 15
    assert decide(now, Settings(significance=0.01), then) == "pass"
    assert decide(now, Settings(max_drop=0.25), then) == "pass"
    assert decide(now, Settings(max_drop=0.24), then) == "regressed"


def test_graded_scores_are_compared_too():
    then, now = recorded([0.8] * 12), [0.7] * 12
    assert decide(now, Settings(), then) == "regressed"


def test_several_recorded_runs_make_one_of_today_say_more():
    then, now = [1.0, 0.0] * 20, [1.0, 0.0] * 14 + [0.0] * 12
    assert decide(now, Settings(), recorded(then)) == "regressed"
    steady = recorded([1.0, 1 / 3] * 20, runs=3)
    once, three_times = (
        compare([1.0, 0.0] * 20, Settings(), then) for then in (recorded([1.0, 1.0] * 20), steady)
    )
    assert once.test.p_value < three_times.test.p_value
    assert three_times.runs == (3, 1)


def test_the_threshold_is_told_before_the_regression():
    assert decide([0.0] * 20, Settings(threshold=0.5), recorded([1.0] * 20)) == "below threshold"


def test_only_examples_that_have_both_scores_are_compared():
    comparison = compare([0.0, 1.0, None], Settings(), recorded([1.0, None, 1.0]))
    assert (comparison.n, comparison.recorded_score, comparison.test.worse) == (1, 1.0, 1)
    assert compare([1.0], Settings(), recorded([None])) is None


def test_an_examples_score_is_the_mean_of_its_repeats():
    assert scored([1.0, 0.0], [0.0, 0.0]).scores() == [0.5, 0.0]
    assert scored([1.0, None], [None, None]).scores() == [1.0, None]


@pytest.mark.parametrize(
    ("scores", "threshold", "verdict"),
    [
        ([1.0] * 9 + [None], 0.9, "pass"),
        ([1.0] * 8 + [None] * 2, 0.9, "cannot judge"),
        ([0.0] * 8 + [None] * 2, 0.3, "below threshold"),
        ([None] * 10, 0.0, "cannot judge"),
    ],
)
def test_a_verdict_stands_only_if_the_missing_examples_cannot_change_it(scores, threshold, verdict):
    assert verdict_of(scored(scores), Settings(threshold=threshold)) == verdict


def test_missing_examples_that_could_hide_a_regression_leave_it_open():
    then = recorded([1.0] * 20)
    assert verdict_of(scored([1.0] * 16 + [None] * 4), Settings(), then) == "pass"
    assert verdict_of(scored([1.0] * 15 + [None] * 5), Settings(), then) == "cannot judge"


def test_without_a_threshold_or_recorded_scores_nothing_missing_can_be_judged():
    assert verdict_of(scored([1.0, None]), Settings()) == "cannot judge"


SCORES = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0, None])),
    min_size=1,
    max_size=40,
)


@given(SCORES, st.floats(0, 1))
def test_no_outage_makes_a_verdict_that_its_examples_could_turn(pairs, threshold):
    then, now = zip(*pairs, strict=True)
    settings = Settings(threshold=threshold)
    verdict = verdict_of(scored(now), settings, recorded(then))
    for missing in (0.0, 1.0):
        filled = [missing if score is None else score for score in now]
        assert verdict in ("cannot judge", decide(filled, settings, recorded(then)))
