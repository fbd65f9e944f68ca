"""How a metric is called, and what it may return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from pytest_mipro.errors import MetricError


def score_of(
    metric: Callable[..., Any],
    example: Any,
    prediction: Any,
    steps: Sequence[Any] | None = None,
) -> float:
    """Ask a metric for the score of a prediction, from 0 to 1.

    Args:
        metric: ``metric(example, prediction, trace=None)``.
        example: what was asked.
        prediction: what the program answered.
        steps: DSPy's trace, when bootstrapping; a metric that takes no third argument does not
            get it.

    Raises:
        MetricError: the metric raised (its error is the cause), or did not return a score.
    """
    extra = () if steps is None or not takes_trace(metric) else (steps,)
    try:
        value = metric(example, prediction, *extra)
    except Exception as error:
        raise MetricError(
            f"the metric {name_of(metric)} raised {type(error).__name__}: {error}\n"
            f"  on example {_brief(example)}\n  and prediction {_brief(prediction)}\n"
            "a metric must return a score for every prediction, 0 for a bad one"
        ) from error
    try:
        return to_score(value)
    except MetricError as error:
        raise MetricError(
            f"the metric {name_of(metric)} on example {_brief(example)} {error}"
        ) from None


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


def takes_trace(metric: Callable[..., Any]) -> bool:
    """Whether a metric wants the trace as its third argument."""
    try:
        parameters = list(inspect.signature(metric).parameters.values())
    except (TypeError, ValueError):
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= 3 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def name_of(metric: Any) -> str:
    """The name of a metric, for people."""
    return str(getattr(metric, "__name__", type(metric).__name__))


def _brief(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) <= 200 else f"{text[:200]}..."
