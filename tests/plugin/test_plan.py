"""What --mipro-plan shows, and that it asks no LM."""

from __future__ import annotations

PLANNED = """
import pytest
from scripted import *

@pytest.mark.mipro(threshold=0.5)
def test_sorter(mipro):
    mipro(Sorter(), metric=exact, trainset=examples(80), valset=examples(40, 1000),
          testset=examples(40, 2000))
    assert False, "not reached"
"""

NEVER = "fails_with(lambda: AssertionError('it was asked'))"


def test_a_plan_shows_checks_calls_and_the_next_command_and_asks_no_lm(project):
    result = project(PLANNED, script=NEVER).runpytest("--mipro-plan", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*mipro plan: sorter*",
            "*ok*metric*exact*50 of 50 right answers and 0 of 50 wrong ones*",
            "*ok*data*80 train, 40 val, 40 test*",
            "*ok*structure*1 predictor (sort); nothing is committed yet*",
            "*takes optimise*at most 580 LM calls (bootstrap 75, propose 11, search 414, "
            "baseline 40, confirm 40)*",
            "*gate*40 LM calls*no price known for scripted/model*",
            "*advice: go*",
            "*next: pytest test_it.py::test_sorter --mipro-optimize*",
            "SKIPPED*planned with --mipro-plan*",
        ]
    )
    result.stdout.no_fnmatch_line("*it was asked*")


def test_a_task_that_is_not_ready_fails_and_says_why(project):
    result = project(PLANNED.replace("examples(80)", "examples(8)")).runpytest("--mipro-plan")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*sorter: not yet: 48 examples are too few*see the plan*", "*fail*data*8 train, 40 val*"]
    )


def test_a_plan_compares_the_structure_with_the_committed_file(project):
    pytester = project(PLANNED)
    pytester.runpytest("--mipro-optimize", "--mipro-budget=40calls", "-q")
    test = (pytester.path / "test_it.py").read_text()
    pytester.makepyfile(test_it=test.replace("Sorter()", "Pipeline()"))
    result = pytester.runpytest("--mipro-plan", "-o", "mipro_threads=2")
    result.stdout.fnmatch_lines(["*warn*structure*2 predictors (sort, check); changed since*"])


def test_the_price_is_the_list_price_of_the_lm(project):
    pytester = project(PLANNED)
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(
        conftest.replace("return scripted_lm", "return dspy.LM('openai/gpt-4o-mini') #")
    )
    result = pytester.runpytest("--mipro-plan")
    result.stdout.fnmatch_lines(["*optimise*$* with openai/gpt-4o-mini*"])


def test_a_plan_and_an_optimisation_exclude_each_other(project):
    result = project(PLANNED).runpytest("--mipro-plan", "--mipro-optimize")
    result.stderr.fnmatch_lines(["*--mipro-plan and --mipro-optimize cannot go together*"])
