"""What a person reads in the terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mipro.gate.decision import Comparison
from pytest_mipro.gate.evidence import Failure, Flip
from pytest_mipro.gate.paired import PairedTest
from pytest_mipro.gate.result import GateResult
from pytest_mipro.lm.usage import Usage
from pytest_mipro.progress import Progress
from pytest_mipro.report import facts, terminal

PAIRED = PairedTest(drop=0.15, p_value=0.0156, worse=6, better=0, test="McNemar's exact test")
COMPARED = Comparison(40, (1, 1), 1.0, PAIRED, 0.05, 0.0)
RESULT = GateResult(
    "sorter",
    "regressed",
    Path.cwd() / "prompts" / "sorter.yaml",
    lm="some/model",
    score=0.85,
    interval=(0.7, 0.93),
    baseline_score=0.5,
    baseline_interval=(0.35, 0.65),
    threshold=0.8,
    comparison=COMPARED,
    recorded_interval=(0.912, 1.0),
    split="test",
    n=40,
    scores=(1.0,) * 34 + (0.0,) * 6,
    usage=Usage({"gate": 40}, 400, 80, 10, 0.0126),
    seconds=2.34,
    flips=tuple(Flip(f"id{n}", f"text={n}", "label=a", "a", 1.0, "b", 0.0) for n in range(6)),
    failures=tuple(Failure(f"id{n}", f"text={n}", "label=a", "b", 0.0) for n in range(6)),
)
COMMAND = "pytest test_it.py::test_sorter"


def told(result):
    return terminal.verdict(result, command=COMMAND).splitlines()


def test_a_row_has_what_was_recorded_beside_what_is_scored_today():
    row = terminal.row(RESULT)
    assert (row["score"], row["was"], row["baseline"]) == ("0.850", "1.000", "0.500")


def test_a_row_counts_the_calls_that_were_made_and_what_they_cost():
    row = terminal.row(RESULT)
    assert (row["calls"], row["cost"], row["s"]) == (30, "$0.0126", "2.3")


def test_columns_that_say_nothing_are_left_out():
    bare = replace(RESULT, comparison=None, baseline_score=None, usage=Usage())
    assert terminal.columns_of([terminal.row(bare)]) == [
        *("name", "verdict", "score", "interval", "threshold", "calls", "s")
    ]
    assert terminal.columns_of([terminal.row(bare), terminal.row(RESULT)])[3:7] == [
        *("interval", "was", "baseline", "threshold")
    ]


def test_the_lm_has_a_column_where_there_are_several():
    rows = [terminal.row(RESULT), terminal.row(replace(RESULT, lm="other/model"))]
    assert "lm" in terminal.columns_of(rows)
    assert "lm" not in terminal.columns_of(rows[:1])
    assert terminal.table(rows, width=200).splitlines()[2].split()[:2] == ["sorter", "other/model"]


def test_a_missing_file_is_told_with_the_command_that_makes_it():
    assert told(GateResult("sorter", "missing", RESULT.prompt_file)) == [
        "mipro: sorter: MISSING: there is no prompt file prompts/sorter.yaml",
        f"  make it with: {COMMAND} --mipro-optimize",
        "  then commit it",
    ]


def test_a_stale_file_is_told_with_each_change_and_what_to_do():
    lines = told(replace(RESULT, verdict="stale", stale=("a changed", "b changed")))
    assert lines[1:4] == [
        "  - a changed",
        "  - b changed",
        f"  fit it anew with: {COMMAND} --mipro-optimize",
    ]
    assert "--mipro-stale=warn" in lines[4]


def test_a_score_below_the_threshold_is_told_with_how_far_and_the_baseline():
    lines = told(replace(RESULT, verdict="below threshold", threshold=0.9))
    assert lines[0].endswith("on the testset, 5.0 points below the threshold of 0.9")
    assert lines[1] == "  without optimised prompts it scored 0.500 (0.350 to 0.650)"
    assert lines[2] == "  6 of 40 examples are below full marks, the worst first:"
    assert sum(line.startswith("    [id") for line in lines) == terminal.MAX_LISTED


def test_a_regression_is_told_with_its_examples_and_how_many_more_there_are():
    lines = told(RESULT)
    assert "15.0 points below the recorded 1.000 (0.912 to 1.000)" in lines[0]
    assert "6 of 40 examples score less than recorded, 0 more" in lines[1]
    assert "probability 0.016 (McNemar's exact test, one-sided; the limit is 0.05)" in lines[1]
    assert sum(line.startswith("    [id") for line in lines) == terminal.MAX_LISTED
    assert "    and 1 more" in lines
    assert lines[-1].endswith(f"{COMMAND} --mipro-update-baseline")


def test_runs_of_several_are_not_counted_example_by_example():
    several = replace(RESULT, comparison=replace(COMPARED, runs=(3, 1)))
    assert (
        "40 examples were compared, one run of each today with 3 recorded ones" in told(several)[1]
    )


def test_what_could_not_be_judged_is_told_by_cause():
    lines = told(replace(RESULT, verdict="cannot judge", causes={"down": 3, "late": 1}))
    assert "could not be asked for 4 of 40 examples, so there is no verdict" in lines[0]
    assert lines[1:3] == ["  3 x down", "  1 x late"]


def test_notes_follow_every_verdict():
    assert told(replace(RESULT, verdict="pass", notes=("leakage: x",)))[-1] == "  note: leakage: x"


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (
            Progress("gate", 3, 20, calls=7, seconds=61.2, seconds_left=125.0),
            "mipro sorter: gate 3/20, 7 LM calls, 1:01, about 2:05 left in this phase",
        ),
        (
            Progress("search", 30, 100, score=0.5, best=0.75, calls=40, seconds=5),
            "mipro sorter: search 30/100 LM calls, score 0.500, best 0.750, 40 LM calls in all, "
            "0:05",
        ),
        (Progress("confirm", 1, 2, calls=1), "mipro sorter: held-out score 1/2, 1 LM calls, 0:00"),
    ],
)
def test_a_line_of_progress_says_where_a_run_stands(now, line):
    assert terminal.progress("sorter", now) == line


def test_the_facts_for_machines_have_these_names():
    assert facts.of(RESULT) == {
        "verdict": "regressed",
        "score": 0.85,
        "interval_low": 0.7,
        "interval_high": 0.93,
        "recorded_score": 1.0,
        "p_value": 0.0156,
        "baseline_score": 0.5,
        "threshold": 0.8,
        "examples": 40,
        "lm": "some/model",
        "lm_calls": 30,
        "usd": 0.0126,
        "seconds": 2.34,
    }


def test_facts_that_are_not_known_are_left_out():
    missing = GateResult("sorter", "missing", RESULT.prompt_file)
    assert facts.of(missing) == {"verdict": "missing", "lm_calls": 0, "seconds": 0.0}
