"""MIPRO without pytest, as a drop-in for dspy.MIPROv2."""

from __future__ import annotations

import re

import dspy
import pytest
from scripted import (
    Pipeline,
    Sorter,
    answer_right,
    exact,
    examples,
    learns_from_demos,
    scripted_lm,
)

from pytest_mipro import MIPRO
from pytest_mipro.errors import CannotJudge, SettingsError, TaskError


def accuracy(program, lm):
    with dspy.context(lm=lm):
        return sum(exact(e, program(**e.inputs())) for e in examples(24, 500)) / 24


@pytest.mark.parametrize("program", [Sorter, Pipeline])
def test_code_written_for_miprov2_works(program):
    lm = scripted_lm(learns_from_demos)
    with dspy.context(lm=lm):
        optimizer = MIPRO(metric=exact, auto="light", num_threads=4)
        compiled = optimizer.compile(program(), trainset=examples(30), valset=examples(20, 100))
    assert accuracy(compiled, lm) > accuracy(program(), lm) + 0.3


def test_the_student_is_not_changed():
    student = Sorter()
    MIPRO(metric=exact, task_model=scripted_lm()).compile(student, trainset=examples(20))
    assert student.sort.demos == []


def test_task_model_and_prompt_model_may_be_given():
    task, prompt = scripted_lm(), scripted_lm()
    MIPRO(metric=exact, task_model=task, prompt_model=prompt).compile(
        Sorter(), trainset=examples(20)
    )
    assert all("instruction ## ]]`" not in asked.last for asked in task.engine.asked)
    assert all("label ## ]]`" not in asked.last for asked in prompt.engine.asked)


def test_seed_0_is_a_seed():
    def compiled(seed):
        program = MIPRO(
            metric=exact, task_model=scripted_lm(), seed=seed, auto=None, num_candidates=5
        ).compile(Sorter(), trainset=examples(40), num_trials=8)
        return [trial.choice for trial in program.mipro.search.trials]

    assert compiled(0) == compiled(0)
    assert compiled(0) != compiled(9)


def test_zero_shot_asks_for_instructions_only():
    program = MIPRO(
        metric=exact, task_model=scripted_lm(), max_bootstrapped_demos=0, max_labeled_demos=0
    ).compile(Sorter(), trainset=examples(20))
    assert program.sort.demos == []


def test_labeled_only_works_without_bootstrapping():
    lm = scripted_lm(learns_from_demos)
    program = MIPRO(metric=exact, task_model=lm, max_bootstrapped_demos=0).compile(
        Sorter(), trainset=examples(20)
    )
    assert "bootstrap" not in program.mipro.usage.calls


def answer_wrong(asked):
    return {"label": {"good": "bad", "bad": "good"}[answer_right(asked)["label"]]}


def small(**options):
    """An optimiser whose demos are all bootstrapped."""
    return MIPRO(metric=exact, budget="60calls", max_labeled_demos=0, num_threads=4, **options)


def test_the_demos_are_the_teachers():
    """The student alone is never right, and the teacher always is."""

    def script(asked):
        taught = "as I taught you" in asked.instructions or asked.demos
        return answer_right(asked) if taught else answer_wrong(asked)

    teacher = Sorter()
    teacher.sort.signature = teacher.sort.signature.with_instructions("Sort, as I taught you.")
    data = {"trainset": examples(20), "valset": examples(10, 100)}
    lm = scripted_lm(script)
    assert small(task_model=lm).compile(Sorter(), **data).sort.demos == []
    compiled = small(task_model=lm).compile(Sorter(), teacher=teacher, **data)
    assert compiled.sort.demos
    assert all(exact(demo, answer_of(demo)) for demo in compiled.sort.demos)
    assert compiled.sort.signature.instructions != teacher.sort.signature.instructions


def answer_of(demo):
    number = int(demo.text.split()[-1])
    return dspy.Prediction(label="good" if number % 2 == 0 else "bad")


@pytest.mark.parametrize("teacher", [None, Sorter()])
def test_the_teachers_lm_may_be_another(teacher):
    def script(asked):
        return answer_right(asked) if asked.demos else answer_wrong(asked)

    large = scripted_lm(answer_right)
    compiled = small(task_model=scripted_lm(script), teacher_settings={"lm": large}).compile(
        Sorter(), trainset=examples(20), valset=examples(10, 100), teacher=teacher
    )
    assert compiled.mipro.usage.calls["bootstrap"] == len(large.engine.asked) > 0
    assert compiled.sort.demos
    assert compiled.sort.lm is None


def test_without_a_validation_set_no_example_is_both_shown_and_scored():
    lm = scripted_lm(learns_from_demos)
    MIPRO(metric=exact, task_model=lm, budget="80calls", max_bootstrapped_demos=0).compile(
        Sorter(), trainset=examples(20)
    )
    runs = [asked for asked in lm.engine.asked if asked.field("text")]
    scored = {asked.field("text") for asked in runs}
    earlier = " ".join(text for asked in runs for _, text in asked.messages[:-1])
    shown = set(re.findall(r"text number \d+", earlier))
    assert len(scored) == 10
    assert len(shown) > 4
    assert scored & shown == set()


def test_a_compiled_student_can_be_compiled_again():
    lm = scripted_lm(learns_from_demos)
    optimizer = MIPRO(metric=exact, task_model=lm)
    once = optimizer.compile(Sorter(), trainset=examples(30), valset=examples(20, 100))
    twice = optimizer.compile(once, trainset=examples(30), valset=examples(20, 100))
    best = [p.mipro.search.best.score for p in (once, twice)]
    assert best[1] >= best[0]


def test_a_validation_set_of_one_works():
    MIPRO(metric=exact, task_model=scripted_lm()).compile(
        Sorter(), trainset=examples(10), valset=examples(1, 50)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auto": "huge"}, "light, medium, heavy"),
        ({"auto": None}, "num_candidates"),
        ({"num_candidates": 5}, "auto=None"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        MIPRO(metric=exact, **options)


def test_an_argument_without_meaning_is_warned_of():
    with pytest.warns(UserWarning, match="ignores log_dir"):
        MIPRO(metric=exact, log_dir="x")


@pytest.mark.parametrize(
    "argument",
    [
        {"minibatch": False},
        {"minibatch_size": 25},
        {"minibatch_full_eval_steps": 10},
        {"requires_permission_to_run": False},
        {"provide_traceback": True},
    ],
)
def test_an_argument_of_compile_without_meaning_is_warned_of(argument):
    optimizer = MIPRO(metric=exact, task_model=scripted_lm(), budget="30calls")
    with pytest.warns(UserWarning, match=f"ignores {next(iter(argument))}"):
        optimizer.compile(Sorter(), trainset=examples(20), **argument)


@pytest.mark.parametrize("program", [Sorter, Pipeline])
@pytest.mark.parametrize("calls", [20, 60, 200, 700])
def test_a_budget_holds_for_all_phases_together(program, calls):
    lm = scripted_lm(learns_from_demos)
    optimizer = MIPRO(metric=exact, task_model=lm, budget=f"{calls}calls", num_threads=4)
    optimizer.compile(program(), trainset=examples(60), valset=examples(100, 100))
    assert len(lm.engine.asked) <= calls + 12


@pytest.mark.parametrize("budget", ["many", "3calls", "2usd", "-5calls", "calls"])
def test_a_bad_budget_is_named(budget):
    with pytest.raises(SettingsError, match=f"budget='{budget}'.*400calls"):
        MIPRO(metric=exact, budget=budget)


def test_an_unknown_sampler_is_named():
    with pytest.raises(SettingsError, match="outcomes, tpe"):
        MIPRO(metric=exact, sampler="random")


class Twelve(dspy.Module):
    def __init__(self):
        super().__init__()
        self.sorts = [dspy.Predict(Sorter().sort.signature) for _ in range(12)]

    def forward(self, text):
        labels = [sort(text=text).label for sort in self.sorts]
        return dspy.Prediction(label=max(set(labels), key=labels.count))


def test_twelve_predictors_and_a_large_validation_set_work():
    lm = scripted_lm(learns_from_demos)
    optimizer = MIPRO(metric=exact, task_model=lm, budget="1500calls", num_threads=4)
    compiled = optimizer.compile(Twelve(), trainset=examples(40), valset=examples(5000, 100))
    assert len(compiled.mipro.search.best.choice) == 24
    assert len(lm.engine.asked) <= 1550


def test_an_unknown_argument_is_a_type_error():
    with pytest.raises(TypeError):
        MIPRO(metric=exact, candidates=3)


def test_no_lm_is_named_with_its_remedy():
    with dspy.context(lm=None), pytest.raises(TaskError, match=r"dspy.configure\(lm"):
        MIPRO(metric=exact).compile(Sorter(), trainset=examples(10))


def test_an_outage_is_cannot_judge():
    def down(asked):
        raise dspy.lm15.ServerError("down")

    with pytest.raises(CannotJudge, match="could not be asked"):
        MIPRO(metric=exact, task_model=scripted_lm(down)).compile(Sorter(), trainset=examples(20))
