"""Demos that the program makes itself."""

from __future__ import annotations

import itertools
import re
import threading

import dspy
from scripted import Pipeline, Sorter, answer_right, exact, examples, learns_from_demos, scripted_lm

from pytest_mipro.optimizers.mipro.bootstrap import Bootstrap
from pytest_mipro.optimizers.mipro.demosets import DemoLimits
from pytest_mipro.progress import Reporter
from pytest_mipro.scoring import Scorer


def bootstrapped(
    program, script, *, metric=exact, threshold=None, limits=None, wanted=6, calls=1000, seed=0
):
    lm = scripted_lm(script)
    with Scorer(program, metric, lm=lm, threads=4, metric_threshold=threshold) as scorer:
        traces = Bootstrap(
            scorer,
            examples(20),
            teacher=program.deepcopy(),
            limits=limits or DemoLimits(4, 0),
            wanted=wanted,
            most_calls=calls,
            seed=seed,
        ).finish(Reporter(None, lambda: 0))
    assert traces.calls == len(lm.engine.asked)
    return traces.demos, lm.engine


def answer_wrong(asked):
    return {"label": {"good": "bad", "bad": "good"}[answer_right(asked)["label"]]}


def shown(asked):
    """The texts of the demos that stand in a request."""
    texts = [text for role, text in asked.messages[:-1] if role == "user"]
    return [re.findall(r"text number \d+", text)[0] for text in texts]


def test_every_predictor_of_a_passing_trace_gets_one_demo():
    demos, _ = bootstrapped(Pipeline(), answer_right)
    found = len(demos["sort"])
    assert found == len(demos["check"]) >= 6
    first = demos["check"][0]
    assert list(first.inputs) == ["text", "label"]
    assert list(first.outputs) == ["sure"]
    assert first.origin == "bootstrapped"


def test_only_traces_that_pass_the_metric_give_demos():
    demos, _ = bootstrapped(Sorter(), lambda asked: {"label": "good"}, wanted=20)
    assert {demo.outputs["label"] for demo in demos["sort"]} == {"good"}
    assert all(int(demo.inputs["text"].split()[-1]) % 2 == 0 for demo in demos["sort"])


def test_a_small_score_is_no_success():
    demos, _ = bootstrapped(Sorter(), answer_right, metric=lambda e, p, t=None: 0.01)
    assert demos["sort"] == []


def test_a_prediction_as_score_is_judged_by_its_score():
    def metric(example, prediction, trace=None):
        return dspy.Prediction(score=0.01, feedback="poor")

    assert bootstrapped(Sorter(), answer_right, metric=metric)[0]["sort"] == []


def test_a_metric_threshold_says_what_passes():
    demos, _ = bootstrapped(
        Sorter(), answer_right, metric=lambda e, p, t=None: 0.7, threshold=0.6, wanted=3
    )
    assert len(demos["sort"]) >= 3


def test_the_metric_is_told_the_trace_while_bootstrapping():
    seen = []

    def metric(example, prediction, trace=None):
        seen.append(len(trace))
        return True

    bootstrapped(Pipeline(), answer_right, metric=metric, wanted=4)
    assert set(seen) == {2}


def test_as_many_runs_are_under_way_as_there_are_threads():
    together, calls = threading.Barrier(4), itertools.count()

    def script(asked):
        if next(calls) < 4:
            together.wait(timeout=10)
        return answer_right(asked)

    bootstrapped(Sorter(), script)
    assert not together.broken


def test_bootstrapping_stops_when_there_is_enough():
    _, engine = bootstrapped(Sorter(), answer_right, wanted=4)
    assert len(engine.asked) <= 8


def test_bootstrapping_stops_within_its_calls():
    _, engine = bootstrapped(Pipeline(), lambda asked: {"label": "?", "sure": "no"}, calls=12)
    assert len(engine.asked) <= 12


def test_labeled_sets_help_the_teacher():
    without, _ = bootstrapped(Sorter(), learns_from_demos, wanted=20)
    having, _ = bootstrapped(Sorter(), learns_from_demos, wanted=20, limits=DemoLimits(4, 4))
    assert len(having["sort"]) > len(without["sort"])


def test_an_example_whose_label_the_teacher_is_shown_is_not_asked_for_meanwhile():
    _, engine = bootstrapped(Sorter(), answer_wrong, limits=DemoLimits(4, 4))
    assert all(len(shown(asked)) == 4 for asked in engine.asked)
    assert [asked for asked in engine.asked if asked.field("text") in shown(asked)] == []


def test_the_second_round_asks_again_what_failed_and_shows_the_teacher_other_demos():
    _, engine = bootstrapped(Sorter(), answer_wrong, limits=DemoLimits(4, 4))
    rounds = {}
    for asked in engine.asked:
        rounds.setdefault(tuple(shown(asked)), set()).add(asked.field("text"))
    (first, asked_first), (second, asked_second) = rounds.items()
    assert set(first) != set(second)
    assert len(asked_first) == len(asked_second) == 16
    assert asked_first | asked_second == {example.text for example in examples(20)}


def test_what_passed_is_not_asked_again_in_the_second_round():
    _, engine = bootstrapped(Sorter(), answer_right, limits=DemoLimits(4, 4), wanted=20)
    texts = [asked.field("text") for asked in engine.asked]
    assert len(texts) == len(set(texts)) > 16


def test_a_teacher_that_brings_demos_is_shown_no_others():
    program = Sorter()
    program.sort.demos = [dspy.Example(text="text number 900", label="good")]
    _, engine = bootstrapped(program, answer_right, limits=DemoLimits(4, 4))
    assert {tuple(shown(asked)) for asked in engine.asked} == {("text number 900",)}


class Loops(Sorter):
    def forward(self, text):
        self.sort(text=text)
        return self.sort(text=text + " 2")


def test_a_predictor_called_twice_gives_one_demo_a_trace():
    def metric(example, prediction, trace=None):
        return True

    demos, engine = bootstrapped(Loops(), answer_right, metric=metric, wanted=5)
    assert len(demos["sort"]) == len(engine.asked) / 2 >= 5


def test_the_seed_decides():
    assert (
        bootstrapped(Sorter(), answer_right, seed=1)[0]
        == bootstrapped(Sorter(), answer_right, seed=1)[0]
    )
    first, second = (bootstrapped(Sorter(), answer_right, seed=s)[0] for s in (0, 1))
    assert first != second


def test_nothing_is_asked_where_no_demos_are_to_be_bootstrapped():
    demos, engine = bootstrapped(Sorter(), answer_right, limits=DemoLimits(0, 3))
    assert (demos, engine.asked) == ({"sort": []}, [])
