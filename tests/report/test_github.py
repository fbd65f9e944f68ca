"""What a pull request on GitHub shows."""

from __future__ import annotations

import pytest

from pytest_mipro.report import github

ROW = {
    "name": "sorter",
    "lm": "some/model",
    "verdict": "pass",
    "score": "0.900",
    "interval": "0.8-1.0",
    "was": "-",
    "baseline": "-",
    "threshold": "0.5",
    "calls": 20,
    "cost": "-",
    "s": "1.0",
    "notes": [],
    "path": "/repo/tests/test_it.py",
    "line": 7,
    "text": "mipro: sorter: what a person reads",
}


def row(**changes):
    return {**ROW, **changes}


@pytest.mark.parametrize(
    ("text", "fence"),
    [("plain", "```"), ("one ``` inside", "````"), ("```` and ``` inside", "`````")],
)
def test_a_code_fence_is_longer_than_any_in_the_text(text, fence):
    lines = github.summary([row(verdict="stale", text=f"{text}\nend")]).splitlines()
    opened = lines.index(f"{fence}text")
    assert lines[opened : opened + 4] == [f"{fence}text", text, "end", fence]


@pytest.mark.parametrize(
    ("verdict", "level"),
    [("stale", "error"), ("regressed", "error"), ("missing", "error"), ("cannot judge", "warning")],
)
def test_a_verdict_that_is_not_pass_is_an_annotation_at_its_test(verdict, level):
    assert github.commands([row(verdict=verdict, text="why")], "/repo") == [
        f"::{level} file=tests/test_it.py,line=7,title=mipro sorter%3A {verdict}::why"
    ]


def test_an_annotation_has_several_lines_as_one():
    (line,) = github.commands([row(verdict="stale", text="50 %\r\nmore: a, b")], "/repo")
    assert line.endswith("::50 %25%0D%0Amore: a, b")


def test_a_name_and_a_path_cannot_end_a_property():
    (line,) = github.commands([row(verdict="stale", name="a:b,c", path="/repo/x,y.py")], "/repo")
    assert line.startswith("::error file=x%2Cy.py,line=7,title=mipro a%3Ab%2Cc%3A stale::")


@pytest.mark.parametrize("note", ["stale: x", "transfer not guaranteed: x", "leakage: x"])
def test_a_pass_is_annotated_with_what_it_warns_of(note):
    assert github.commands([row(notes=["optimized in this run", note])], "/repo") == [
        "::warning file=tests/test_it.py,line=7,title=mipro sorter%3A passed with a warning"
        f"::{note}"
    ]
    assert f"- sorter: {note}\n" in github.summary([row(notes=[note])])


def test_the_summary_has_a_line_for_each_gate_and_details_of_those_that_do_not_pass():
    text = github.summary([row(), row(name="a|b", verdict="regressed"), row(verdict="missing")])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[0] == "|  | name | verdict | score | interval | threshold | calls | s |"
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| ✅", "sorter", "pass"],
        ["| ❌", "a\\|b", "regressed"],
        ["| ❌", "sorter", "missing"],
    ]
    assert text.count("<details>") == 2


def test_a_gate_that_cannot_judge_is_no_failure_in_the_summary():
    assert "| ⚠️ | sorter | cannot judge |" in github.summary([row(verdict="cannot judge")])
