"""Running programs over examples: order, memo, concurrency, errors."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import dspy
import pytest
from dspy import lm15
from scripted import Pipeline, Sorter, answer_right, exact, examples, fails_with, scripted_lm

from pytest_mipro.errors import MetricError
from pytest_mipro.lm.store import ResponseStore
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


def test_an_example_that_was_scored_is_not_run_again():
    judged = []

    def metric(example, prediction, trace=None):
        judged.append(example.text)
        return True

    program, data = Sorter(), examples(5)
    with Scorer(program, metric, lm=scripted_lm(answer_right)) as scorer:
        first = scorer.score(prompts_of(program), data, kind="gate")
        again = scorer.score(prompts_of(program), data, kind="gate")
        found = [scorer.submit(prompts_of(program), ex, kind="gate").result() for ex in data]
    assert again == found == first
    assert len(judged) == 5


def test_an_lm_of_a_predictors_own_is_not_asked_again_what_another_configuration_asked():
    own, program, data = scripted_lm(answer_right), Pipeline(), examples(3)
    program.sort.lm = own
    prompts = prompts_of(program)
    other = {**prompts, "check": replace(prompts["check"], instructions="Check it otherwise.")}
    with Scorer(program, exact, lm=scripted_lm(answer_right)) as scorer:
        for tried in (prompts, other):
            scorer.score(tried, data, kind="search")
    assert len(own.engine.asked) == 3


def test_another_repeat_asks_anew():
    lm, program, data = scripted_lm(answer_right), Sorter(), examples(3)
    with Scorer(program, exact, lm=lm) as scorer:
        for repeat in (0, 1, 1, 2):
            scorer.score(prompts_of(program), data, kind="gate", repeat=repeat)
    assert len(lm.engine.asked) == 9


@pytest.fixture
def cached_lm():
    """An LM whose answers DSPy keeps, in a cache of its own."""
    before = dspy.cache
    dspy.configure_cache(enable_disk_cache=False)
    yield scripted_lm(answer_right).copy(cache=True)
    dspy.cache = before


def test_a_repeat_goes_past_the_cache_of_dspy(cached_lm):
    program, data = Sorter(), examples(3)
    for _ in range(2):
        with Scorer(program, exact, lm=cached_lm) as scorer:
            scorer.score(prompts_of(program), data, kind="gate", repeat=1)
    assert len(cached_lm.engine.asked) == 6


def test_what_the_cache_of_dspy_answers_is_counted_as_paid_for_before(cached_lm):
    program, data, usages = Sorter(), examples(3), []
    for _ in range(2):
        with Scorer(program, exact, lm=cached_lm) as scorer:
            scorer.score(prompts_of(program), data, kind="gate")
            usages.append(scorer.meter.usage)
    assert len(cached_lm.engine.asked) == 3
    assert [(usage.total_calls, usage.reused) for usage in usages] == [(3, 0), (3, 3)]


def test_what_is_to_go_after_waits_for_what_is_asked_for_later():
    begun, free = threading.Event(), threading.Event()

    def script(asked):
        begun.set()
        assert free.wait(10)
        return answer_right(asked)

    lm, program = scripted_lm(script), Sorter()
    first, last, second = examples(3)
    with Scorer(program, exact, lm=lm, threads=1) as scorer:
        prompts = prompts_of(program)
        runs = [scorer.submit(prompts, first, kind="search")]
        assert begun.wait(10)
        runs.append(scorer.submit(prompts, last, kind="search", after=10))
        runs.append(scorer.submit(prompts, second, kind="search"))
        while len(scorer._slots._waiting) < 2:
            time.sleep(0.001)
        free.set()
        assert [run.result(10).score for run in runs] == [1.0] * 3
    order = [asked.field("text") for asked in lm.engine.asked]
    assert order == [example.text for example in (first, second, last)]


class AsksAtOnce(dspy.Module):
    """Awaits three answers at a time."""

    def __init__(self):
        super().__init__()
        self.sort = dspy.Predict(Sorter().sort.signature)

    async def aforward(self, text):
        answers = [self.sort.acall(text=f"{text} {n}") for n in range(3)]
        return (await asyncio.gather(*answers))[0]


def test_calls_that_are_awaited_take_slots_too():
    lm = scripted_lm(answer_right, delay=lambda asked: 0.01)
    outcomes, _ = scored(lm, program=AsksAtOnce(), threads=2, count=4)
    assert len(lm.engine.asked) == 12
    assert {o.kind for o in outcomes} == {"scored"}
    assert lm.engine.most_in_flight <= 2


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


def test_what_a_recording_does_not_hold_is_not_scored_though_the_program_swallows_it():
    store, program = ResponseStore(closed=True), Shrugs()
    with Scorer(program, exact, lm=scripted_lm(answer_right), store=store) as scorer:
        outcomes = scorer.score(prompts_of(program), examples(2), kind="gate")
    assert {(o.score, o.kind) for o in outcomes} == {(None, "unrecorded")}


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
