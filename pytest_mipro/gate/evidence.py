"""The examples that a verdict rests on, shortened for reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mipro.outcome import brief

LISTED = 10
ID_CHARACTERS = 8


@dataclass(frozen=True)
class Failure:
    """An example that scored worst: what was asked, what was expected, what came.

    Attributes:
        example: the beginning of its id.
        inputs, expected: its fields.
        got, score: what was answered.
    """

    example: str
    inputs: str
    expected: str
    got: str
    score: float


@dataclass(frozen=True)
class Flip:
    """An example that scores less than it did.

    Attributes:
        example: the beginning of its id.
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


@dataclass(frozen=True)
class Answered:
    """An example with what was answered to it, then and now.

    Attributes:
        name: its id.
        example: itself.
        answer, score: of today; the score is None where the LM could not be asked.
        recorded_answer, recorded_score: of the recorded scores; None where it has none.
    """

    name: str
    example: Any
    answer: str
    score: float | None
    recorded_answer: str = ""
    recorded_score: float | None = None


def worst(answered: Sequence[Answered]) -> tuple[Failure, ...]:
    """The examples below full marks, the lowest score first."""
    below = [entry for entry in answered if entry.score is not None and entry.score < 1.0]
    below.sort(key=lambda entry: entry.score or 0.0)
    return tuple(
        Failure(*_shown(entry), entry.answer, entry.score or 0.0) for entry in below[:LISTED]
    )


def flips(answered: Sequence[Answered]) -> tuple[Flip, ...]:
    """The examples that score less than recorded, the largest fall first."""
    fallen = [
        (entry.score - entry.recorded_score, n)
        for n, entry in enumerate(answered)
        if entry.score is not None
        and entry.recorded_score is not None
        and entry.score < entry.recorded_score
    ]
    return tuple(
        Flip(
            *_shown(entry),
            *(entry.recorded_answer, entry.recorded_score or 0.0),
            *(entry.answer, entry.score or 0.0),
        )
        for entry in (answered[n] for _, n in sorted(fallen)[:LISTED])
    )


def _shown(entry: Answered) -> tuple[str, str, str]:
    return (
        entry.name[:ID_CHARACTERS],
        brief(dict(entry.example.inputs().items())),
        brief(dict(entry.example.labels().items())),
    )
