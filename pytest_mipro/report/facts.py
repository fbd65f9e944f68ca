"""A result as plain figures, for machines: properties in ``--junitxml``."""

from __future__ import annotations

from pytest_mipro.gate.result import GateResult

Fact = str | int | float


def of(result: GateResult) -> dict[str, Fact]:
    """The facts that are known, by name; scores from 0 to 1, cost in US dollars."""
    low, high = result.interval or (None, None)
    comparison = result.comparison
    facts = {
        "verdict": result.verdict,
        "score": result.score,
        "interval_low": low,
        "interval_high": high,
        "recorded_score": result.recorded_score,
        "p_value": comparison.test.p_value if comparison else None,
        "baseline_score": result.baseline_score,
        "threshold": result.threshold,
        "examples": result.n or None,
        "lm": result.lm or None,
        "lm_calls": result.usage.total_calls - result.usage.reused,
        "usd": result.usage.cost,
        "seconds": round(result.seconds, 3),
    }
    return {name: _short(value) for name, value in facts.items() if value is not None}


def _short(value: Fact) -> Fact:
    return float(f"{value:.6g}") if isinstance(value, float) else value
