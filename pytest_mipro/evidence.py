"""The examples that a verdict rests on, shortened for reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mipro import fingerprint
from pytest_mipro.scoresfile import RecordedScore

LISTED = 10
LONGEST = 70


@dataclass(frozen=True)
class Failure:
    """An example that scored worst: what was asked, what was expected, what came."""

    example: str
    inputs: str
    expected: str
    got: str
    score: float


@dataclass(frozen=True)
class Flip:
    """An example that scores less than it did.

    Attributes:
        example: the beginning of its fingerprint.
        inputs, expected: its fields.
        then, then_score: what was answered when the scores were recorded.
        now, now_score: what is answered today.
    """

    example: str
    inputs: str
    expected: str
    then: str
    then_score: float
    now: str
    now_score: float


def worst(
    scores: Sequence[float | None], answers: Sequence[str], examples: Sequence[Any]
) -> tuple[Failure, ...]:
    """The examples below full marks, the lowest score first."""
    pairs = [(s, n) for n, s in enumerate(scores) if s is not None and s < 1.0]
    return tuple(
        Failure(*_described(examples[n]), answers[n], score) for score, n in sorted(pairs)[:LISTED]
    )


def flips(
    recorded: Sequence[RecordedScore | None],
    scores: Sequence[float | None],
    answers: Sequence[str],
    examples: Sequence[Any],
) -> tuple[Flip, ...]:
    """The examples that score less than recorded, the largest fall first."""
    fallen = [
        (score - then.score, n, then, score)
        for n, (then, score) in enumerate(zip(recorded, scores, strict=True))
        if then is not None and score is not None and score < then.score
    ]
    fallen.sort(key=lambda item: item[:2])
    return tuple(
        Flip(*_described(examples[n]), then.answer, then.score, answers[n], score)
        for _, n, then, score in fallen[:LISTED]
    )


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


def _described(example: Any) -> tuple[str, str, str]:
    return (
        fingerprint.example_id(example)[:8],
        brief(dict(example.inputs().items())),
        brief(dict(example.labels().items())),
    )
