"""What --mipro-plan shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_mipro.plan.estimate import Estimate
from pytest_mipro.plan.readiness import Check, Readiness
from pytest_mipro.report.plan import plan

ESTIMATE = Estimate(
    calls={"search": 300, "baseline": 40},
    gate_calls=40,
    prompt_tokens=1_250_000,
    completion_tokens=9_600,
    gate_tokens=(12_000, 700),
    usd=1.234,
    gate_usd=0.002,
    lm="some/model",
)
READY = Readiness((Check("data", "ok", "80 train"),), "go")


def shown(readiness=READY, **changes):
    text = plan("sorter", readiness, replace(ESTIMATE, **changes), command="pytest x")
    return text.splitlines()


def test_it_says_what_optimising_and_a_gate_take():
    assert shown()[2:4] == [
        "  takes optimise   at most 340 LM calls (search 300, baseline 40), about 1.2M prompt and "
        "10k completion tokens, about $1.23 with some/model",
        "        gate       40 LM calls, about 12k and 1k tokens, less than $0.01 with some/model",
    ]


def test_it_says_where_no_price_is_known():
    assert shown(usd=None)[2].endswith("no price known for some/model")


def test_the_next_command_is_shown_where_all_is_ready():
    assert shown()[-2:] == ["  advice: go", "  next: pytest x --mipro-optimize"]


@pytest.mark.parametrize(("status", "next_shown"), [("ok", True), ("warn", True), ("fail", False)])
def test_a_task_that_is_not_ready_has_a_remedy_and_no_next_command(status, next_shown):
    readiness = Readiness((Check("data", status, "8 train", "collect more"),), "advice")
    lines = shown(readiness)
    assert lines[1:3] == [f"  {status:4s}  data       8 train", "        -> collect more"]
    assert any(line.startswith("  next: ") for line in lines) is next_shown
