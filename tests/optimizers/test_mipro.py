"""MIPRO without pytest, as a drop-in for dspy.MIPROv2."""

from __future__ import annotations

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


def test_a_teacher_makes_the_demos():
    lm = scripted_lm(lambda asked: {"label": "good"} if asked.demos == 0 else answer_right(asked))
    teacher = Sorter()
    teacher.sort.demos = [dspy.Example(text="text number 900", label="good")]
    program = MIPRO(metric=exact, task_model=lm, max_labeled_demos=0).compile(
        Sorter(), trainset=examples(20), valset=examples(10, 100), teacher=teacher
    )
    assert {demo.label for demo in program.sort.demos} <= {"good", "bad"}
    assert program.mipro.search.best.full_score == 1.0


def test_a_compiled_student_can_be_compiled_again():
    lm = scripted_lm(learns_from_demos)
    optimizer = MIPRO(metric=exact, task_model=lm)
    once = optimizer.compile(Sorter(), trainset=examples(30), valset=examples(20, 100))
    twice = optimizer.compile(once, trainset=examples(30), valset=examples(20, 100))
    best = [p.mipro.search.best.full_score for p in (once, twice)]
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
