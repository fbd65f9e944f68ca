"""What came of one example: its score, or why there is none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from pytest_mipro.errors import CannotJudge, MetricError

Kind = Literal["scored", "malformed", "overflow", "program_error", "unreachable", "unrecorded"]


@dataclass(frozen=True)
class Outcome:
    """What came of one example.

    Attributes:
        score: on the metric's own scale, 0 to 1; None when the LM could not be asked.
        kind: ``scored``; ``malformed`` (an answer that the adapter could not read, score 0);
            ``overflow`` (the prompt is longer than the LM's context, score 0);
            ``program_error`` (the program raised, score 0); ``unreachable`` (outage, auth, rate
            limit: no score); ``unrecorded`` (the recording that is replayed has no answer: no
            score).
        cause: the error, for all kinds but ``scored``.
        success: whether the trace may become a demo.
        prediction: what the program returned.
        trace: DSPy's trace, when asked for: (predictor name, inputs, outputs) in call order.
        requests: what was asked of LMs, as the store of responses names it.
        unrecorded: the first request that the recording has no answer to.
    """

    score: float | None
    kind: Kind = "scored"
    cause: str = ""
    success: bool = False
    prediction: Any = None
    trace: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = ()
    requests: tuple[str, ...] = ()
    unrecorded: Mapping[str, Any] | None = None


def means_over(outcomes: Sequence[Outcome]) -> float:
    """Mean score of the outcomes that have one.

    Raises:
        CannotJudge: none has one.
    """
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    if not scores:
        raise unreachable(outcomes)
    return math.fsum(scores) / len(scores)


def unreachable(outcomes: Sequence[Outcome]) -> CannotJudge:
    """The error that says why the LM could not be asked, with the causes counted."""
    causes = Counter(outcome.cause for outcome in outcomes if outcome.score is None)
    listed = "\n".join(f"  {count} x {cause}" for cause, count in causes.most_common())
    return CannotJudge(
        f"the LM could not be asked for {sum(causes.values())} of {len(outcomes)} examples:\n"
        f"{listed}\nthis says nothing about the prompts; run again when the LM can be reached",
        dict(causes.most_common()),
    )


def to_score(value: Any) -> float:
    """Turn what a metric returned into a score from 0 to 1.

    Args:
        value: a bool, a number, or a ``dspy.Prediction`` with a field ``score``.

    Raises:
        MetricError: anything else, a NaN, or a number outside 0 to 1; the message goes on after
            the metric's name.
    """
    number = value
    if not isinstance(value, (bool, int, float)):
        if hasattr(value, "score") and not isinstance(value, Real):
            number = value.score
        item = getattr(number, "item", None)
        if callable(item) and getattr(number, "size", 1) == 1:
            number = item()
    if not isinstance(number, Real):
        raise MetricError(
            f"returned {value!r:.80}; it must return a bool, a number from 0 to 1, or "
            "dspy.Prediction(score=...)" + (" (is a return missing?)" if value is None else "")
        )
    score = float(number)
    if not 0.0 <= score <= 1.0:
        hint = "; divide by 100 if it counts per cent" if 1 < score <= 100 else ""
        raise MetricError(f"returned {score:g}; scores go from 0 to 1{hint}")
    return score


def is_success(score: float, metric_threshold: float | None) -> bool:
    """Whether a trace with this result may become a demo; 0.01 is not a success."""
    if metric_threshold is not None:
        return score >= metric_threshold
    return score >= 1.0


def failed(error: Exception, example: Any) -> Outcome:
    """The outcome of a run that raised ``error``."""
    from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError

    cause = cause_of(error)
    if isinstance(error, AdapterParseError):
        return Outcome(0.0, "malformed", cause)
    if isinstance(error, ContextWindowExceededError):
        name, size = max(
            ((name, len(str(value))) for name, value in example.inputs().items()),
            key=lambda item: item[1],
        )
        return Outcome(0.0, "overflow", f"{cause}; its longest input, {name!r}, has {size:,} chars")
    if is_infrastructure(error):
        return Outcome(None, "unreachable", cause)
    return Outcome(0.0, "program_error", cause)


def cause_of(error: BaseException) -> str:
    """An error on one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def is_infrastructure(error: BaseException) -> bool:
    """Whether an error means that a service could not be asked, not that the answer was bad."""
    from dspy.utils.exceptions import ContextWindowExceededError, LMError

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ContextWindowExceededError):
            return False
        foreign = type(seen).__module__.split(".")[0]
        if isinstance(seen, (LMError, ConnectionError, TimeoutError)) or foreign in _CLIENTS:
            return True
        seen = seen.__cause__
    return False


_CLIENTS = frozenset({"httpx", "httpcore", "requests", "urllib3", "aiohttp", "openai", "litellm"})
