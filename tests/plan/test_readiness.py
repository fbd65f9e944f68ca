"""Whether optimising is worth it."""

from __future__ import annotations

import dspy
import pytest
from scripted import Sorter, exact, examples

from pytest_mipro import metrics
from pytest_mipro.plan import readiness
from pytest_mipro.task import make_task


def task(metric=exact, *, train=80, val=40, test=40, first_test=2000):
    return make_task(
        Sorter(), metric, examples(train), examples(val, 1000), examples(test, first_test)
    )


def checks(task):
    found = readiness.check(task, None)
    return {check.name: check for check in found.checks}, found


def test_a_sound_task_is_ready():
    found, all_of_them = checks(task())
    assert {check.status for check in found.values()} == {"ok"}
    assert (all_of_them.ready, all_of_them.advice) == (True, "go")


def test_the_metric_is_tried_on_right_and_on_wrong_answers():
    found, _ = checks(task())
    assert found["metric"].facts == (
        "exact (full marks or none): full marks for 50 of 50 right answers and 0 of 50 wrong ones, "
        "the same when asked again"
    )


def too_kind(example, prediction, trace=None):
    return True


def too_strict(example, prediction, trace=None):
    return 0.5 if example.label == prediction.label else 0.0


def moody(example, prediction, trace=None, seen=[]):  # noqa: B006
    seen.append(0)
    return example.label == prediction.label and len(seen) < 120


def silent(example, prediction, trace=None):
    example.label == prediction.label  # noqa: B015


def crashes_on_traces(example, prediction, trace=None):
    if trace is not None:
        return trace[0].reasoning
    return example.label == prediction.label


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        (too_kind, "wrong answers must not get full marks"),
        (too_strict, "right answers must get full marks"),
        (moody, "the same answer must get the same score"),
        (silent, "is a return missing"),
        (crashes_on_traces, "IndexError"),
    ],
)
def test_a_metric_that_cannot_be_trusted_is_told_why(metric, problem):
    found, whole = checks(task(metric))
    check = found["metric"]
    assert check.status == "fail"
    assert problem in f"{check.facts} {check.remedy}"
    assert whole.advice == "not yet: mend first: metric"


@pytest.mark.parametrize(
    "metric",
    [
        metrics.LMJudge("Polite."),
        metrics.LMJudge("Polite.", dspy.LM("openai/none")),
        metrics.EmbeddingSimilarity("label", dspy.Embedder("openai/none")),
    ],
)
def test_a_metric_that_asks_an_lm_is_not_tried(metric):
    found, whole = checks(task(metric))
    assert found["metric"].status == "warn"
    assert "asks an LM, so it was not tried" in found["metric"].facts
    assert whole.ready


@pytest.mark.parametrize(
    ("train", "val", "status", "advice"),
    [
        (20, 20, "fail", "not yet: 40 examples are too few"),
        (40, 20, "warn", "may help: more examples"),
        (60, 40, "ok", "go"),
    ],
)
def test_the_number_of_examples_decides(train, val, status, advice):
    found, whole = checks(task(train=train, val=val))
    assert found["data"].status == status
    assert whole.advice.startswith(advice)


def test_leakage_is_counted():
    found, _ = checks(task(first_test=1000))
    assert found["leakage"].status == "fail"
    assert "40 examples stand in both valset and testset" in found["leakage"].facts


def labeled(labels, start=0):
    return [
        dspy.Example(text=f"text number {start + n}", label=label).with_inputs("text")
        for n, label in enumerate(labels)
    ]


def test_lopsided_labels_are_told():
    data = [labeled(["good"] * 45 + ["bad"] * 5, start) for start in (0, 100, 200)]
    found, _ = checks(make_task(Sorter(), exact, *data))
    assert found["balance"].status == "warn"
    assert "the most frequent (good) 90%" in found["balance"].facts


def test_a_label_that_the_trainset_lacks_is_told():
    data = (labeled(["good", "bad"] * 25), labeled(["good", "ugly"] * 25, 100))
    found, _ = checks(make_task(Sorter(), exact, *data))
    assert "not in the trainset: ugly" in found["balance"].facts


def test_labels_that_are_free_text_are_not_counted():
    free = [
        dspy.Example(text=f"text {n}", answer=f"answer {n}").with_inputs("text") for n in range(150)
    ]
    found, _ = checks(make_task(Sorter(), metrics.ExactMatch("answer"), free))
    assert "balance" not in found
