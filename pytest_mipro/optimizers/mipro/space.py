"""What there is to choose from, and what a choice stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from pytest_mipro.optimizers.mipro.demosets import DemoSet
from pytest_mipro.prompts import PredictorPrompt, Prompts

Choice = Mapping[str, int]
"""The option of each slot, by ``predictor.instruction`` and ``predictor.demos``."""


@dataclass(frozen=True)
class Space:
    """The instructions and demo sets to choose from, per predictor; index 0 is the seed prompt.

    Attributes:
        instructions, demo_sets: the options.
        kin: per predictor, which set each demo set goes back to; itself, unless it is a variation.
        room: demo sets that may be added to each predictor's later on.
    """

    instructions: Mapping[str, Sequence[str]]
    demo_sets: Mapping[str, Sequence[DemoSet]]
    kin: Mapping[str, Sequence[int]] = field(default_factory=dict)
    room: int = 0

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

    def most(self) -> dict[str, int]:
        """Number of options per slot when all demo sets have been added that there is room for."""
        return {
            slot: count + (self.room if slot.endswith(".demos") else 0)
            for slot, count in self.slots().items()
        }

    def roots(self, name: str) -> Sequence[int]:
        """Per demo set of a predictor, the set that it goes back to."""
        return self.kin.get(name) or range(len(self.demo_sets[name]))

    def with_more(self, sets: Mapping[str, Sequence[tuple[DemoSet, int]]]) -> Space:
        """The space with variations added, each given with the set that it was made from."""
        demo_sets, kin = {}, {}
        for name, known in self.demo_sets.items():
            added, roots = sets.get(name, ()), self.roots(name)
            demo_sets[name] = [*known, *(demos for demos, _ in added)]
            kin[name] = [*roots, *(roots[parent] for _, parent in added)]
        room = self.room - max(map(len, sets.values()), default=0)
        return Space(self.instructions, demo_sets, kin, room)

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

    def members(self) -> dict[str, list[tuple[str, ...]]]:
        """Per slot of demo sets, what each set is made of: its demos, its size, and its kin.

        Sets that share one of them are alike, and what is learned of one says something of the
        other.
        """
        members = {}
        for name, sets in self.demo_sets.items():
            roots = self.roots(name)
            families = {root for n, root in enumerate(roots) if root != n}
            members[f"{name}.demos"] = [
                (
                    f"{len(demos)} demos",
                    *((f"kin of {root}",) if root in families else ()),
                    *(demo.key() for demo in demos),
                )
                for demos, root in zip(sets, roots, strict=True)
            ]
        return members
