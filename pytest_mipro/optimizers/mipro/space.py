"""What there is to choose from, and what a choice stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from pytest_mipro.prompts import DemoSet, PredictorPrompt, Prompts

Choice = Mapping[str, int]
"""The option of each slot, by ``predictor.instruction`` and ``predictor.demos``."""


@dataclass(frozen=True)
class Space:
    """The instructions and demo sets to choose from, per predictor; index 0 is the seed prompt."""

    instructions: Mapping[str, Sequence[str]]
    demo_sets: Mapping[str, Sequence[DemoSet]]

    @property
    def size(self) -> int:
        """Number of different configurations."""
        return math.prod(self.slots().values())

    def slots(self) -> dict[str, int]:
        """Number of options per slot, in a fixed order."""
        slots = {}
        for name in self.instructions:
            slots[f"{name}.instruction"] = len(self.instructions[name])
            slots[f"{name}.demos"] = len(self.demo_sets[name])
        return slots

    def seed(self) -> dict[str, int]:
        """The choice that is the seed prompt."""
        return dict.fromkeys(self.slots(), 0)

    def prompts(self, choice: Choice) -> Prompts:
        """The prompts that a choice of options stands for."""
        return {
            name: PredictorPrompt(
                self.instructions[name][choice[f"{name}.instruction"]],
                tuple(self.demo_sets[name][choice[f"{name}.demos"]]),
            )
            for name in self.instructions
        }

    def choices(self) -> Iterable[dict[str, int]]:
        """Every configuration, lazily."""
        slots = self.slots()
        for options in product(*(range(n) for n in slots.values())):
            yield dict(zip(slots, options, strict=True))

    def members(self) -> dict[str, list[tuple[int, ...]]]:
        """Per slot of demo sets, what each set is made of, by number: its demos, and its size.

        Sets that share a demo or a size are alike, and what is learned of one says something of
        the other.
        """
        members: dict[str, list[tuple[int, ...]]] = {}
        for name, sets in self.demo_sets.items():
            numbers: dict[str, int] = {}
            members[f"{name}.demos"] = [
                tuple(
                    numbers.setdefault(part, len(numbers))
                    for part in (f"{len(demos)} demos", *(demo.key() for demo in demos))
                )
                for demos in sets
            ]
        return members
