"""Which answers of a proposing LM are usable as instructions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

MAX_INSTRUCTION_CHARACTERS = 2000
LEAK_CHARACTERS = 25


class Guard:
    """Says which answers are usable as instructions.

    An answer is refused that is too short or too long, that repeats an instruction, or that gives
    away a training example.

    Args:
        trainset: whose longer inputs must not stand in an instruction.
    """

    def __init__(self, trainset: Sequence[Any]) -> None:
        texts = (value for ex in trainset for value in ex.inputs().values())
        self._inputs = [
            _squeezed(value)
            for value in texts
            if isinstance(value, str) and len(value) >= LEAK_CHARACTERS
        ]

    def accept(self, answer: str, taken: Sequence[str]) -> str | None:
        """Return the cleaned instruction, or None when it should be asked for again.

        Args:
            answer: of the LM.
            taken: the instructions that there are already.
        """
        text = _cleaned(answer)
        if not 8 <= len(text) <= MAX_INSTRUCTION_CHARACTERS or len(text.split()) < 3:
            return None
        squeezed = _squeezed(text)
        if any(squeezed == _squeezed(other) for other in taken):
            return None
        return None if any(given in squeezed for given in self._inputs) else text


def _cleaned(answer: str) -> str:
    text = answer.strip().strip("`").strip()
    text = re.sub(r"^(proposed |improved |new )?instructions?:\s*", "", text, flags=re.IGNORECASE)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def _squeezed(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().casefold()
