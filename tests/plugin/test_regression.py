"""The comparison with recorded scores, as a user meets it."""

from __future__ import annotations

import json
import re

import pytest

TEST = """
import pytest
from scripted import *

@pytest.mark.mipro(threshold=0.3)
def test_sorter(mipro):
    mipro(Sorter(), metric=exact, trainset=examples(20), valset=examples(20, 100),
          testset=examples(40, 200))
"""

RIGHT = "answer_right"


@pytest.fixture
def optimized(project):
    """A project whose prompts are right on all examples of the test set."""
    pytester = project(TEST, script=RIGHT)
    pytester.runpytest("--mipro-optimize", "--mipro-budget=20calls").assert_outcomes(passed=1)
    return pytester


def answering(pytester, script):
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(re.sub(r"scripted_lm\(.*\)", f"scripted_lm({script})", conftest))
    return pytester


def wrong_on(count):
    """Answer wrong on so many of the 40 test examples, which are numbered from 200."""
    wrong = "{'label': 'bad' if answer_right(asked)['label'] == 'good' else 'good'}"
    number = "int(asked.field('text').split()[-1])"
    return f"lambda asked: {wrong} if 200 <= {number} < {200 + count} else answer_right(asked)"


def recorded(pytester):
    return json.loads((pytester.path / "prompts" / "sorter.scores.json").read_text())


def test_optimising_records_a_score_for_each_example(optimized):
    scores = recorded(optimized)
    assert (scores["split"], scores["repeats"], len(scores["scores"])) == ("test", 1, 40)
    assert {entry["answer"] for entry in scores["scores"].values()} == {"label=good", "label=bad"}


def test_a_credible_drop_above_the_threshold_is_regressed(optimized):
    result = answering(optimized, wrong_on(6)).runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "mipro: sorter: REGRESSED: score 0.850 (95 % interval * to *, n=40) on the testset, "
            "15.0 points below the recorded 1.000 (0.912 to 1.000)",
            "  6 of 40 examples score less than recorded, 0 more; if nothing had got worse, so "
            "much would be seen with probability 0.016 (McNemar's exact test, one-sided; the "
            "limit is 0.05)",
            "  the examples that got worse, the worst first:",
            "    [[]*] text=text number 20?",
            "      expected label=*",
            "      then     label=* (score 1)",
            "      now      label=* (score 0)",
            "    and 1 more",
            "*prompt file: prompts/sorter.yaml; undo what made it worse*",
            "*optimise again: pytest test_it.py::test_sorter --mipro-optimize",
            "*or accept the lower score: pytest test_it.py::test_sorter --mipro-update-baseline",
            "sorter regressed 0.850 * 1.000 *",
        ]
    )


def test_a_drop_that_chance_explains_passes(optimized):
    result = answering(optimized, wrong_on(4)).runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["sorter pass*0.900*1.000*"])


@pytest.mark.parametrize("ini", ["mipro_max_drop=0.2", "mipro_significance=0.01"])
def test_what_counts_as_a_regression_can_be_set(optimized, ini):
    answering(optimized, wrong_on(6)).runpytest("-o", ini).assert_outcomes(passed=1)


def test_update_baseline_accepts_todays_scores(optimized):
    pytester = answering(optimized, wrong_on(6))
    prompts = (pytester.path / "prompts" / "sorter.yaml").read_text()
    result = pytester.runpytest("--mipro-update-baseline")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["sorter: the recorded scores are today's: 0.850"])
    pytester.runpytest().assert_outcomes(passed=1)
    changed = [
        line
        for line in (pytester.path / "prompts" / "sorter.yaml").read_text().splitlines()
        if line not in prompts.splitlines()
    ]
    assert all(re.match(r" +(mean:|interval:|- 0\.)", line) for line in changed), changed


def test_update_baseline_writes_nothing_below_the_threshold(optimized):
    pytester = answering(optimized, wrong_on(35))
    before = recorded(pytester)
    result = pytester.runpytest("--mipro-update-baseline")
    result.assert_outcomes(failed=1)
    assert recorded(pytester) == before
    result.stdout.fnmatch_lines(["sorter: nothing was recorded, as the verdict is not pass*"])


def test_update_baseline_writes_nothing_when_the_lm_cannot_be_asked(optimized):
    pytester = answering(optimized, "fails_with(lambda: ConnectionError('gone'), 7)")
    before = recorded(pytester)
    pytester.runpytest("--mipro-update-baseline")
    assert recorded(pytester) == before


def test_without_recorded_scores_the_threshold_is_checked_and_that_is_said(optimized):
    (optimized.path / "prompts" / "sorter.scores.json").unlink()
    result = answering(optimized, wrong_on(6)).runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*no scores are recorded beside the prompt file*"])


def test_a_broken_scores_file_fails_with_its_place(optimized):
    path = optimized.path / "prompts" / "sorter.scores.json"
    path.write_text("<<<<<<< HEAD\n" + path.read_text())
    result = optimized.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*sorter.scores.json:1: has a merge conflict marker*"])


def test_scores_of_another_metric_are_not_compared(optimized):
    test = (optimized.path / "test_it.py").read_text()
    metric = "lambda e, p, t=None: 0.7 if e.label == p.label else 0.0"
    optimized.makepyfile(test_it=test.replace("metric=exact", f"metric={metric}"))
    result = optimized.runpytest("--mipro-stale=ignore")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*recorded scores were not compared: they are of another metric*"])


def test_examples_that_are_new_are_left_out_of_the_comparison(optimized):
    test = (optimized.path / "test_it.py").read_text()
    optimized.makepyfile(test_it=test.replace("examples(40, 200)", "examples(40, 210)"))
    result = optimized.runpytest("--mipro-stale=warn")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*only 30 of 40 examples have a recorded score to compare with*",
            "*stale: the examples of the testset changed: 10 new, 10 gone*",
        ]
    )


def stochastic(pytester):
    """Say that answers vary, as an LM at a temperature above 0 does."""
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(
        re.sub(
            r"return (scripted_lm\(.*\))",
            r"lm = \1; lm.kwargs['temperature'] = 1.0; return lm",
            conftest,
        )
    )
    return pytester


def test_where_answers_vary_more_runs_are_recorded_than_a_gate_makes(project):
    pytester = stochastic(project(TEST, script=RIGHT))
    pytester.runpytest("--mipro-optimize", "--mipro-budget=20calls").assert_outcomes(passed=1)
    assert recorded(pytester)["repeats"] == 3
    result = answering(pytester, wrong_on(6)).runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["  40 examples were compared, one run of each today with 3 recorded ones; if nothing*"]
    )
    result.stdout.fnmatch_lines(["sorter regressed*  40 *"])


def test_repeats_run_each_example_several_times(optimized):
    result = optimized.runpytest("--mipro-repeats=3")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["sorter pass*1.000*120*"])


def test_the_number_of_recorded_runs_can_be_set(project):
    pytester = stochastic(project(TEST, script=RIGHT, ini="mipro_recorded_repeats=1"))
    pytester.runpytest("--mipro-optimize", "--mipro-budget=20calls").assert_outcomes(passed=1)
    assert recorded(pytester)["repeats"] == 1
