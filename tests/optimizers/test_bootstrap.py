"""Demos that the program makes itself."""

from __future__ import annotations

import dspy
import pytest
from scripted import Pipeline, Sorter, answer_right, exact, examples, learns_from_demos, scripted_lm

from pytest_mipro.optimizers.mipro.bootstrap import Bootstrap
from pytest_mipro.optimizers.mipro.demosets import DemoLimits, demo_sets, labeled_sets
from pytest_mipro.prompts import prompts_of
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
        ).finish()
    assert traces.calls == len(lm.engine.asked)
    return traces.demos, lm.engine


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


def test_bootstrapping_runs_in_parallel_and_stops_when_there_is_enough():
    _, engine = bootstrapped(Sorter(), answer_right, wanted=4)
    assert len(engine.asked) <= 8


def test_bootstrapping_stops_within_its_calls():
    _, engine = bootstrapped(Pipeline(), lambda asked: {"label": "?", "sure": "no"}, calls=12)
    assert len(engine.asked) <= 12


def test_labeled_sets_help_the_teacher():
    without, _ = bootstrapped(Sorter(), learns_from_demos, wanted=20)
    having, _ = bootstrapped(Sorter(), learns_from_demos, wanted=20, limits=DemoLimits(4, 4))
    assert len(having["sort"]) > len(without["sort"])


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


def sets_of(program, demos, labeled, **options):
    defaults = {"limits": DemoLimits(3, 3), "count": 8, "seed": 0}
    return demo_sets(prompts_of(program), demos, labeled, **{**defaults, **options})


def test_demo_sets_are_distinct_and_begin_with_the_seed_and_the_empty_set():
    program = Sorter()
    program.sort.demos = [dspy.Example(text="seed", label="good")]
    labeled = labeled_sets(program, examples(20))
    sets = sets_of(program, {"sort": []}, labeled)["sort"]
    assert [demo.inputs["text"] for demo in sets[0]] == ["seed"]
    assert sets[1] == ()
    assert len({tuple(sorted(d.key() for d in s)) for s in sets}) == len(sets) == 8


def test_a_labeled_only_set_is_among_them():
    program = Sorter()
    demos, _ = bootstrapped(program, answer_right)
    sets = sets_of(program, demos, labeled_sets(program, examples(20)))["sort"]
    assert {demo.origin for demo in sets[1]} == {"labeled"}


def test_sets_keep_to_the_limits_and_repeat_no_input():
    program = Sorter()
    demos, _ = bootstrapped(program, answer_right, wanted=12)
    labeled = labeled_sets(program, examples(20))
    for demo_set in sets_of(program, demos, labeled, limits=DemoLimits(2, 4), count=12)["sort"]:
        assert sum(demo.origin == "bootstrapped" for demo in demo_set) <= 2
        texts = [demo.inputs["text"] for demo in demo_set]
        assert len(texts) == len(set(texts)) <= 4


def test_there_are_fewer_sets_where_there_are_not_so_many_different_ones():
    program = Sorter()
    labeled = labeled_sets(program, examples(2))
    assert len(sets_of(program, {"sort": []}, labeled, count=50)["sort"]) < 10


def test_zero_shot_has_the_seed_set_only():
    sets = sets_of(Sorter(), {"sort": []}, {"sort": []}, limits=DemoLimits(0, 0))
    assert sets == {"sort": [()]}


def test_examples_without_all_fields_of_a_predictor_are_no_labeled_sets():
    labeled = labeled_sets(Pipeline(), examples(5))
    assert len(labeled["sort"]) == 5
    assert labeled["check"] == []


@pytest.mark.parametrize("limits", [DemoLimits(0, 3), DemoLimits(3, 0)])
def test_one_kind_of_demo_alone_works(limits):
    program = Sorter()
    demos, engine = bootstrapped(program, answer_right, limits=limits)
    sets = sets_of(program, demos, labeled_sets(program, examples(20)), limits=limits)["sort"]
    assert len(sets) > 2
    assert bool(engine.asked) == (limits.bootstrapped > 0)
