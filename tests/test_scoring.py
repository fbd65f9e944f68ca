"""Running programs over examples: order, memo, concurrency, errors."""

from __future__ import annotations

import dspy
import pytest
from dspy import lm15
from scripted import Pipeline, Sorter, answer_right, exact, examples, fails_with, scripted_lm

from pytest_mipro.errors import MetricError
from pytest_mipro.metriccall import to_score
from pytest_mipro.prompts import prompts_of
from pytest_mipro.scoring import Scorer


def scored(lm, *, metric=exact, program=None, count=6, threads=4):
    program = program or Sorter()
    with Scorer(program, metric, lm=lm, threads=threads) as scorer:
        return scorer.score(prompts_of(program), examples(count), kind="gate"), scorer


def test_outcomes_come_in_the_order_of_the_examples():
    lm = scripted_lm(answer_right, delay=lambda asked: 0.03 if " 0" in asked.last else 0)
    outcomes, _ = scored(lm)
    assert [o.prediction.label for o in outcomes] == ["good", "bad"] * 3


def test_each_prompts_and_example_is_run_once():
    lm = scripted_lm(answer_right)
    program = Sorter()
    with Scorer(program, exact, lm=lm) as scorer:
        for _ in range(3):
            scorer.score(prompts_of(program), examples(5), kind="gate")
        assert scorer.meter.usage.total_calls == len(lm.engine.asked) == 5


def test_calls_are_counted_by_kind_and_tokens_added_up():
    _, scorer = scored(scripted_lm(answer_right), program=Pipeline(), count=4)
    usage = scorer.meter.usage
    assert usage.calls == {"gate": 8}
    assert (usage.prompt_tokens, usage.completion_tokens) == (80, 16)


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_calls_are_under_way_than_threads(threads):
    lm = scripted_lm(answer_right, delay=lambda asked: 0.01)
    scored(lm, count=12, threads=threads)
    assert lm.engine.most_in_flight == threads


def test_workers_see_the_dspy_context_of_the_caller():
    lm = scripted_lm(answer_right)
    program = Sorter()
    with dspy.context(lm=lm), Scorer(program, exact) as scorer:
        assert scorer.score(prompts_of(program), examples(2), kind="gate")[0].score == 1.0


@pytest.mark.parametrize(
    "error",
    [
        lm15.RateLimitError("x"),
        lm15.AuthError("x"),
        lm15.ServerError("x"),
        lm15.TransportError("x"),
        lm15.BillingError("x"),
        ConnectionResetError("x"),
        TimeoutError("x"),
    ],
)
def test_an_infrastructure_error_has_no_score(error):
    outcomes, _ = scored(scripted_lm(fails_with(lambda: error, 3)))
    assert [o.score for o in outcomes] == [None, 1.0, 1.0, None, 1.0, 1.0]
    assert outcomes[0].kind == "unreachable"


class Fetches(Sorter):
    def forward(self, text):
        try:
            raise ConnectionError("the retriever is down")
        except ConnectionError as error:
            raise RuntimeError("no documents") from error


def test_an_outage_that_the_program_wraps_is_still_an_outage():
    outcomes, _ = scored(scripted_lm(answer_right), program=Fetches())
    assert {o.kind for o in outcomes} == {"unreachable"}


class Shrugs(Sorter):
    def forward(self, text):
        try:
            return self.sort(text=text)
        except Exception:
            return dspy.Prediction(label="good")


def test_an_outage_that_the_program_swallows_is_not_scored():
    lm = scripted_lm(fails_with(lambda: lm15.ServerError("down"), 3))
    outcomes, _ = scored(lm, program=Shrugs())
    assert [o.score for o in outcomes] == [None, 1.0, 1.0, None, 1.0, 1.0]


class AsksAgain(Sorter):
    def forward(self, text):
        for _ in range(5):
            try:
                return self.sort(text=text)
            except Exception:
                continue
        return None


def test_an_outage_that_the_program_outlasts_is_none():
    failed = set()

    def fails_once(asked):
        if asked.last not in failed:
            failed.add(asked.last)
            raise lm15.RateLimitError("slow down")
        return answer_right(asked)

    outcomes, _ = scored(scripted_lm(fails_once), program=AsksAgain())
    assert [o.score for o in outcomes] == [1.0] * 6


def test_a_metric_whose_service_is_down_gives_no_score():
    def judged(example, prediction, trace=None):
        raise ConnectionError("the judge is down")

    outcomes, _ = scored(scripted_lm(answer_right), metric=judged)
    assert {(o.score, o.kind, o.cause) for o in outcomes} == {
        (None, "unreachable", "metric: ConnectionError: the judge is down")
    }


class Breaks(Sorter):
    def forward(self, text):
        raise KeyError("label")


def test_an_error_of_the_program_scores_zero_and_says_so():
    outcomes, _ = scored(scripted_lm(answer_right), program=Breaks())
    assert {(o.score, o.kind, o.cause) for o in outcomes} == {
        (0.0, "program_error", "KeyError: 'label'")
    }


def test_an_unreadable_answer_scores_zero_and_is_told_apart():
    outcomes, _ = scored(scripted_lm(lambda asked: {"label": "perhaps"}))
    assert {(o.score, o.kind) for o in outcomes} == {(0.0, "malformed")}


def test_a_prompt_too_long_for_the_lm_names_the_field():
    def refuse(asked):
        raise lm15.ContextLengthError("too long")

    lm = scripted_lm(refuse)
    long = [dspy.Example(text="1" * 100_000, label="good").with_inputs("text")]
    program = Sorter()
    with Scorer(program, exact, lm=lm) as scorer:
        (outcome,) = scorer.score(prompts_of(program), long, kind="gate")
    assert (outcome.score, outcome.kind) == (0.0, "overflow")
    assert "'text', has 100,000" in outcome.cause


def test_a_metric_that_raises_names_itself_and_the_example():
    def rude(example, prediction, trace=None):
        raise ValueError("no")

    with pytest.raises(MetricError, match=r"the metric rude raised ValueError: no[\s\S]*text numb"):
        scored(scripted_lm(answer_right), metric=rude)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "returned None.*is a return missing"),
        ("good", "returned 'good'"),
        (80, "returned 80; scores go from 0 to 1; divide by 100"),
        (-0.5, "returned -0.5"),
        (float("nan"), "returned nan"),
        (float("inf"), "returned inf"),
        ([1], r"returned \[1\]"),
    ],
)
def test_what_is_no_score_is_refused(value, message):
    with pytest.raises(MetricError, match=message):
        scored(scripted_lm(answer_right), metric=lambda e, p, t=None: value)


@pytest.mark.parametrize(
    ("value", "score"),
    [(True, 1.0), (False, 0.0), (0.25, 0.25), (1, 1.0), (dspy.Prediction(score=0.5), 0.5)],
)
def test_what_a_metric_may_return(value, score):
    assert to_score(value) == score


def test_a_numpy_number_is_a_number():
    import numpy as np

    assert to_score(np.float32(0.5)) == 0.5
    assert to_score(np.bool_(True)) == 1.0


def test_a_metric_without_a_trace_argument_is_called_without_one():
    outcomes, _ = scored(scripted_lm(answer_right), metric=lambda e, p: e.label == p.label)
    assert [o.score for o in outcomes] == [1.0] * 6
