"""Gates that stop as soon as the verdict is settled."""

from __future__ import annotations

import re

import pytest

TEST = """
import pytest
from scripted import *

@pytest.mark.mipro(threshold={threshold})
def test_sorter(mipro):
    mipro(Sorter(), metric=exact, trainset=examples(20), valset=examples(20, 100),
          testset=examples(200, 1000))
"""


@pytest.fixture
def made(project):
    def make(threshold, script="answer_right"):
        pytester = project(TEST.format(threshold=0.2), script="answer_right")
        pytester.runpytest("--mipro-optimize", "--mipro-budget=20calls").assert_outcomes(passed=1)
        pytester.makepyfile(test_it=TEST.format(threshold=threshold))
        conftest = (pytester.path / "conftest.py").read_text()
        pytester.makeconftest(conftest.replace("answer_right", script))
        return pytester

    return make


def calls(result):
    return int(re.search(r"^sorter .* (\d+) +[\d.]+$", result.stdout.str(), re.MULTILINE)[1])


def test_a_clear_pass_takes_few_calls_and_says_how_many_it_saved(made):
    result = made(0.7).runpytest("--mipro-fast")
    result.assert_outcomes(passed=1)
    assert calls(result) <= 80
    result.stdout.re_match_lines(
        [r"sorter: fast: scored \d+ of 200 examples, \d+% of the calls saved; all would give .*"]
    )


def test_a_clear_fail_takes_few_calls(made):
    result = made(0.7, script="lambda asked: {'label': 'good'}").runpytest("--mipro-fast")
    result.assert_outcomes(failed=1)
    assert calls(result) <= 80
    result.stdout.fnmatch_lines(["*BELOW THRESHOLD*"])


def test_a_close_call_takes_them_all(made):
    result = made(0.5, script="lambda asked: {'label': 'good'}").runpytest(
        "--mipro-fast", "-o", "mipro_max_drop=1"
    )
    assert calls(result) == 200


def test_it_can_be_set_for_good(made):
    assert calls(made(0.7).runpytest("-o", "mipro_fast=true")) <= 80


def test_an_update_of_the_baseline_scores_all_examples_though_ini_says_fast(made):
    result = made(0.7).runpytest("-o", "mipro_fast=true", "--mipro-update-baseline")
    result.assert_outcomes(passed=1)
    assert calls(result) == 200


def test_the_same_examples_are_scored_each_time(made):
    pytester = made(0.7)
    first, second = (pytester.runpytest("--mipro-fast").stdout.str() for _ in range(2))
    assert re.search(r"pass +\S+ +\S+", first)[0] == re.search(r"pass +\S+ +\S+", second)[0]
