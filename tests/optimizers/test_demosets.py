"""What demo sets are made of."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import dspy
import pytest
from scripted import Pipeline, Sorter, examples

from pytest_mipro.optimizers.mipro.demosets import DemoLimits, demo_sets, labeled_sets
from pytest_mipro.prompts import Demo, prompts_of


def bootstrapped(count, label=None):
    """Demos on the texts that ``examples`` makes, with the right label unless told otherwise."""
    return [
        Demo({"text": example.text}, {"label": label or example.label}, "bootstrapped")
        for example in examples(count)
    ]


def labeled(counts, start=100):
    """Labeled demos, so many of each label."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [
        Demo({"text": f"text number {start + n}"}, {"label": label}, "labeled")
        for n, label in enumerate(labels)
    ]


def sets_of(own, given, *, program=None, limits=None, count=8, seed=0):
    program = program or Sorter()
    limits = limits or DemoLimits(3, 3)
    prompts = prompts_of(program)
    found = demo_sets(
        prompts, {"sort": own}, {"sort": given}, limits=limits, count=count, seed=seed
    )
    return found["sort"]


def labels(demos):
    return [demo.outputs["label"] for demo in demos]


def test_demo_sets_begin_with_the_seed_and_the_empty_set():
    program = Sorter()
    program.sort.demos = [dspy.Example(text="seed", label="good")]
    sets = sets_of([], labeled({"good": 9, "bad": 9}), program=program)
    assert [demo.inputs["text"] for demo in sets[0]] == ["seed"]
    assert sets[1] == ()


def test_no_set_stands_twice_in_the_list():
    sets = sets_of(bootstrapped(3), labeled({"good": 2, "bad": 2}, start=0), count=30)
    assert len(sets) > 8
    assert len({frozenset(demo.key() for demo in demos) for demos in sets}) == len(sets)


def test_a_labeled_only_set_is_among_them():
    sets = sets_of(bootstrapped(8), labeled({"good": 9, "bad": 9}))
    assert {demo.origin for demo in sets[1]} == {"labeled"}


def test_sets_keep_to_the_limits_and_repeat_no_input():
    given = labeled({"good": 6, "bad": 6}, start=0)
    for demos in sets_of(bootstrapped(12), given, limits=DemoLimits(2, 4), count=20):
        assert sum(demo.origin == "bootstrapped" for demo in demos) <= 2
        texts = [demo.inputs["text"] for demo in demos]
        assert len(texts) == len(set(texts)) <= 4


def test_sets_are_of_all_sizes():
    sets = sets_of(bootstrapped(20), labeled({"good": 9}), limits=DemoLimits(4, 4), count=20)
    assert {len(demos) for demos in sets} == {0, 1, 2, 3, 4}


def test_the_labeled_only_set_holds_each_answer_as_often_as_the_others():
    demos = sets_of([], labeled({"good": 20, "bad": 2, "ugly": 3}), limits=DemoLimits(0, 6))[1]
    assert Counter(labels(demos)) == {"good": 2, "bad": 2, "ugly": 2}


def test_the_answers_of_a_set_take_turns():
    demos = sets_of([], labeled({"good": 20, "bad": 20}), limits=DemoLimits(0, 8))[1]
    assert len(demos) == 8
    assert all(first != second for first, second in pairwise(labels(demos)))


def test_every_second_mixture_is_evened_counting_the_demos_that_it_holds_already():
    own, given = bootstrapped(20, "good"), labeled({"good": 20, "bad": 4})
    sets = sets_of(own, given, limits=DemoLimits(2, 4), count=40)
    full = [Counter(labels(demos)) for demos in sets[2:] if len(demos) == 4]
    evened = [counts for counts in full if counts["good"] == counts["bad"] == 2]
    assert len(full) > 6
    assert len(evened) >= 0.4 * len(full)


def test_not_all_mixtures_are_evened():
    own, given = bootstrapped(20, "good"), labeled({"good": 20, "bad": 4})
    sets = sets_of(own, given, limits=DemoLimits(2, 4), count=40)
    assert any(labels(demos) == ["good"] * 4 for demos in sets[2:])


def test_there_are_fewer_sets_where_there_are_not_so_many_different_ones():
    assert len(sets_of([], labeled({"good": 1, "bad": 1}), count=50)) < 10


def test_zero_shot_has_the_seed_set_only():
    assert sets_of([], [], limits=DemoLimits(0, 0)) == [()]


def test_examples_without_all_fields_of_a_predictor_are_no_labeled_sets():
    found = labeled_sets(Pipeline(), examples(5))
    assert len(found["sort"]) == 5
    assert found["check"] == []


@pytest.mark.parametrize("limits", [DemoLimits(0, 3), DemoLimits(3, 0)])
def test_one_kind_of_demo_alone_works(limits):
    own = bootstrapped(8) if limits.bootstrapped else []
    assert len(sets_of(own, labeled({"good": 9, "bad": 9}), limits=limits)) > 2


def test_the_seed_decides():
    own, given = bootstrapped(20), labeled({"good": 9, "bad": 9})
    assert sets_of(own, given, seed=1) == sets_of(own, given, seed=1) != sets_of(own, given)
