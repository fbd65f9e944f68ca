"""The public names as a user's type checker sees them; ``make lint`` checks this file, nothing
runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import pytest_mipro
from pytest_mipro import (
    MIPRO,
    CannotJudge,
    Compiled,
    GateResult,
    MiproError,
    MiproFixture,
    Progress,
    Usage,
    Verdict,
    load_examples,
    load_prompts,
    save_prompts,
)


class Triage:
    """Stands for a ``dspy.Module``."""

    def urgency(self) -> float:
        return 0.5


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.team == prediction.team)


def test_triage(mipro: MiproFixture) -> None:
    result = mipro(Triage(), metric=exact, trainset=load_examples("t.jsonl", inputs=["text"]))
    assert_type(result, GateResult)
    assert_type(mipro.evaluate(Triage(), metric=exact, trainset=[], threshold=0.8), GateResult)
    verdict: Verdict = result.verdict
    assert verdict == "pass"
    assert_type(result.score, "float | None")
    assert_type(result.interval, "tuple[float, float] | None")
    assert_type(result.usage, Usage)
    assert_type(result.usage.total_calls, int)


def production() -> float:
    program = load_prompts(Triage(), "prompts/triage.yaml")
    assert_type(program, Triage)
    assert_type(save_prompts(program, Path("prompts/by_hand.yaml")), Path)
    return program.urgency()


def optimised(show: Callable[[Progress], None]) -> Triage:
    compiled = MIPRO(metric=exact, budget="400calls", on_progress=show).compile(
        Triage(), trainset=[], valset=[]
    )
    record: Compiled = compiled.mipro
    assert_type(record.score, float)
    program: Triage = compiled
    return program


def refused() -> str:
    try:
        production()
    except CannotJudge as error:
        assert_type(error.causes, "dict[str, int]")
    except MiproError as error:
        return str(error)
    return pytest_mipro.__version__
