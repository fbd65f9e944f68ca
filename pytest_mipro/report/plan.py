"""What ``--mipro-plan`` shows of a test."""

from __future__ import annotations

from pytest_mipro.plan.estimate import Estimate
from pytest_mipro.plan.readiness import Readiness


def plan(name: str, readiness: Readiness, estimate: Estimate, *, command: str) -> str:
    """The checks with their figures, the advice, and what it will take.

    Args:
        name: of the prompt file.
        readiness: the checks.
        estimate: what it will take.
        command: the command that runs this test.
    """
    lines = [f"mipro plan: {name}"]
    for check in readiness.checks:
        lines.append(f"  {check.status:4s}  {check.name:9s}  {check.facts}")
        if check.remedy:
            lines.append(f"        -> {check.remedy}")
    kinds = ", ".join(f"{kind} {count}" for kind, count in estimate.calls.items())
    lines += [
        f"  takes optimise   at most {estimate.total_calls} LM calls ({kinds}), about "
        f"{_tokens(estimate.prompt_tokens)} prompt and {_tokens(estimate.completion_tokens)} "
        f"completion tokens, {_usd(estimate.usd, estimate.lm)}",
        f"        gate       {estimate.gate_calls} LM calls, about "
        f"{_tokens(estimate.gate_tokens[0])} and {_tokens(estimate.gate_tokens[1])} tokens, "
        f"{_usd(estimate.gate_usd, estimate.lm)}",
    ]
    lines.append(f"  advice: {readiness.advice}")
    if readiness.ready:
        lines.append(f"  next: {command} --mipro-optimize")
    return "\n".join(lines)


def _tokens(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}k"


def _usd(usd: float | None, lm: str) -> str:
    if usd is None:
        return f"no price known for {lm}"
    return f"about ${usd:.2f} with {lm}" if usd >= 0.01 else f"less than $0.01 with {lm}"
