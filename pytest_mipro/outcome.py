"""What came of one example, its score or why there is none; and of many, run several times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from pytest_mipro.errors import CannotJudge

LONGEST = 70  # characters of a field that is shown

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


@dataclass(frozen=True)
class Scored:
    """What a program's runs over a split came to.

    Attributes:
        examples: the split.
        runs: outcomes in the order of the examples, a list per repeat.
    """

    examples: Sequence[Any]
    runs: Sequence[Sequence[Outcome]]

    def scores(self, missing: float | None = None) -> list[float | None]:
        """One score per example, the mean of its repeats.

        Args:
            missing: what a run counts as in which the LM could not be asked. Without it, such
                runs do not count, and an example that has no others scores None.
        """
        return [_mean([_or(outcome.score, missing) for outcome in runs]) for runs in self._pairs()]

    def answers(self) -> list[str]:
        """What was answered to each example, shortened; of its worst run."""
        return [
            _answer(min(runs, key=lambda o: _or(o.score, 2.0) or 0.0), example)
            for runs, example in zip(self._pairs(), self.examples, strict=True)
        ]

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of all runs."""
        return [outcome for run in self.runs for outcome in run]

    @property
    def complete(self) -> bool:
        """Whether every run has a score."""
        return all(outcome.score is not None for outcome in self.outcomes)

    def _pairs(self) -> list[tuple[Outcome, ...]]:
        return list(zip(*self.runs, strict=True))


def means_over(outcomes: Sequence[Outcome]) -> float:
    """Mean score of the outcomes that have one.

    Raises:
        CannotJudge: none has one.
    """
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    if not scores:
        refuse_unscored(outcomes)
    return math.fsum(scores) / len(scores)


def causes_of(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Why outcomes have no score, counted, the most frequent cause first."""
    causes = Counter(outcome.cause for outcome in outcomes if outcome.score is None)
    return dict(causes.most_common())


def refuse_unscored(outcomes: Sequence[Outcome]) -> NoReturn:
    """Raise the error that says why the LM could not be asked.

    Raises:
        CannotJudge: always, with the causes counted.
    """
    causes = causes_of(outcomes)
    listed = "\n".join(f"  {count} x {cause}" for cause, count in causes.items())
    raise CannotJudge(
        f"the LM could not be asked for {sum(causes.values())} of {len(outcomes)} examples:\n"
        f"{listed}\nthis says nothing about the prompts; run again when the LM can be reached",
        causes,
    )


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


def answer(prediction: Any, example: Any) -> str:
    """What a program answered: the fields that the example has labels for, or all."""
    if not hasattr(prediction, "items"):
        return repr(prediction)[:100]
    values = dict(prediction.items())
    labels = example.labels().keys()
    return brief({name: values[name] for name in values if name in labels} or values)


def brief(values: Mapping[str, Any], *, whole: bool = False) -> str:
    """Fields on one line, each shortened unless ``whole``."""
    parts = []
    for name, value in values.items():
        text = " ".join(str(value).split())
        shown = text if whole or len(text) <= LONGEST else text[: LONGEST - 3] + "..."
        parts.append(f"{name}={shown}")
    return ", ".join(parts)


def _answer(outcome: Outcome, example: Any) -> str:
    return outcome.cause or answer(outcome.prediction, example)


def _mean(scores: Sequence[float | None]) -> float | None:
    numbers = [score for score in scores if score is not None]
    return math.fsum(numbers) / len(numbers) if numbers else None


def _or(score: float | None, missing: float | None) -> float | None:
    return missing if score is None else score
