"""What a gate found, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_mipro.gate.decision import Comparison, Verdict
from pytest_mipro.gate.evidence import Failure, Flip
from pytest_mipro.lm.usage import Usage

__all__ = ["GateResult", "Usage", "Verdict"]


@dataclass(frozen=True)
class GateResult:
    """What the gate found.

    Scores and intervals are on the metric's own scale, 0 to 1.

    Attributes:
        name: of the prompt file.
        verdict: see the README; ``pass`` is the only one that passes.
        prompt_file: its path.
        lm: name of the task LM; empty when nothing was asked.
        program: the program with the committed prompts; None when there are none.
        score, interval: mean over the gate's split and its 95 % interval; None when not scored.
        baseline_score, baseline_interval: of the uncompiled program when the prompts were
            optimised.
        threshold: what the score had to reach.
        comparison: with the recorded scores; None where there are none.
        recorded_interval: 95 % interval of the recorded mean.
        split, n: which examples were scored, and how many.
        skipped: how many more there are, which ``--mipro-fast`` did not need.
        scores: one per example, in the order of the split, the mean of its repeats; None where
            the LM failed.
        usage, seconds: what it took.
        notes: what a reader should know beside the verdict: leakage, another LM, and the like.
        stale: what no longer fits, from what to what and what to do, an entry each.
        errors: how many examples scored 0 for an error, by kind and cause.
        failures: the worst examples.
        flips: the examples that score less than recorded, the largest fall first.
        causes: of a gate that cannot judge, counted.
        optimized: whether the prompts were optimised in this run.
    """

    name: str
    verdict: Verdict
    prompt_file: Path
    lm: str = ""
    program: Any = None
    score: float | None = None
    interval: tuple[float, float] | None = None
    baseline_score: float | None = None
    baseline_interval: tuple[float, float] | None = None
    threshold: float | None = None
    comparison: Comparison | None = None
    recorded_interval: tuple[float, float] | None = None
    split: str = ""
    n: int = 0
    skipped: int = 0
    scores: tuple[float | None, ...] = ()
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    errors: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    flips: tuple[Flip, ...] = ()
    causes: Mapping[str, int] = field(default_factory=dict)
    optimized: bool = False

    @property
    def passed(self) -> bool:
        """Whether the verdict is ``pass``."""
        return self.verdict == "pass"

    @property
    def recorded_score(self) -> float | None:
        """Mean of the recorded scores of the examples that were compared."""
        return self.comparison.recorded_score if self.comparison else None
