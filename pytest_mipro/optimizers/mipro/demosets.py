"""What demo sets are made of."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mipro.prompts import Demo, DemoSet, Prompts, labeled_demos

MAX_ATTEMPTS_PER_SET = 20


@dataclass(frozen=True)
class DemoLimits:
    """How many demos of each origin a demo set may hold."""

    bootstrapped: int
    labeled: int

    @property
    def zero_shot(self) -> bool:
        """Whether no demos are wanted at all."""
        return self.bootstrapped == 0 and self.labeled == 0

    @property
    def most(self) -> int:
        """Demos of a set at most."""
        return max(self.bootstrapped, self.labeled)


def labeled_sets(program: Any, trainset: Sequence[Any]) -> dict[str, list[Demo]]:
    """Per predictor, the training examples that hold all of its fields, as demos."""
    return {
        name: labeled_demos(predictor.signature, trainset)
        for name, predictor in program.named_predictors()
    }


def demo_sets(
    seed_prompts: Prompts,
    bootstrapped: Mapping[str, Sequence[Demo]],
    labeled: Mapping[str, Sequence[Demo]],
    *,
    limits: DemoLimits,
    count: int,
    seed: int,
) -> dict[str, list[DemoSet]]:
    """Build several distinct demo sets per predictor.

    Set 0 is what the program came with, so that the seed prompt is in the space; then come the
    empty set, a labeled-only set, and mixtures of random size, every second one even in its
    output values. A demo never stands twice in a set, nor a set twice in the list.

    Returns:
        Per predictor at most ``count`` sets, fewer where there are not so many different ones,
        and at least set 0.
    """
    sets: dict[str, list[DemoSet]] = {}
    for name, prompt in seed_prompts.items():
        rng = random.Random(f"demos-{seed}-{name}")
        found: list[DemoSet] = [prompt.demos]
        seen = {_identity(prompt.demos)}

        def add(
            demos: Sequence[Demo],
            found: list[DemoSet] = found,
            seen: set[tuple[str, ...]] = seen,
        ) -> None:
            if len(found) < count and _identity(demos) not in seen:
                seen.add(_identity(demos))
                found.append(tuple(demos))

        if not limits.zero_shot:
            own, given = list(bootstrapped.get(name, ())), list(labeled.get(name, ()))
            add(())
            if limits.labeled:
                add(spread(given, limits.labeled, rng))
            for attempt in range(count * MAX_ATTEMPTS_PER_SET):
                if len(found) >= count:
                    break
                add(_mixture(own, given, limits, rng, even=attempt % 2 == 0))
        sets[name] = found
    return sets


def _mixture(
    own: Sequence[Demo],
    given: Sequence[Demo],
    limits: DemoLimits,
    rng: random.Random,
    *,
    even: bool,
) -> list[Demo]:
    """Some bootstrapped demos, filled up with labeled ones to a size drawn at random.

    More demos are not always better, above all for small models, so the size is searched too.
    """
    size = rng.randint(1, limits.most)
    most = min(limits.bootstrapped, len(own), size)
    chosen = _sample(own, rng.randint(min(1, most), most), rng)
    taken = {demo.inputs_key() for demo in chosen}
    rest = [demo for demo in given if demo.inputs_key() not in taken]
    wanted = max(0, min(size, limits.labeled) - len(chosen))
    if even:
        return _in_turn([*chosen, *_balancing(chosen, rest, wanted, rng)], rng)
    chosen += _sample(rest, wanted, rng)
    rng.shuffle(chosen)
    return chosen


def _sample(demos: Sequence[Demo], size: int, rng: random.Random) -> list[Demo]:
    return rng.sample(list(demos), min(size, len(demos)))


def spread(demos: Sequence[Demo], size: int, rng: random.Random) -> list[Demo]:
    """Sample with each output value as often as the others, as far as there are enough."""
    return _in_turn(_balancing([], demos, size, rng), rng)


def _balancing(
    chosen: Sequence[Demo], rest: Sequence[Demo], size: int, rng: random.Random
) -> list[Demo]:
    """So many of the rest, each of the output value that is rarest so far."""
    groups = _by_outputs(_sample(rest, len(rest), rng))
    counts = dict.fromkeys(groups, 0)
    for demo in chosen:
        key = demo.outputs_key()
        counts[key] = counts.get(key, 0) + 1
    picked: list[Demo] = []
    while len(picked) < size and any(groups.values()):
        key = min((key for key in groups if groups[key]), key=lambda key: counts[key])
        picked.append(groups[key].pop())
        counts[key] += 1
    return picked


def _in_turn(demos: Sequence[Demo], rng: random.Random) -> list[Demo]:
    """Order demos so that the output values take turns.

    A language model leans towards the answers it saw most, and last (Zhao et al. 2021,
    "Calibrate Before Use", section 4).
    """
    groups = _by_outputs(_sample(demos, len(demos), rng))
    ordered: list[Demo] = []
    while groups:
        for key in list(groups):
            ordered.append(groups[key].pop())
            if not groups[key]:
                del groups[key]
    return ordered


def _by_outputs(demos: Sequence[Demo]) -> dict[str, list[Demo]]:
    groups: dict[str, list[Demo]] = {}
    for demo in demos:
        groups.setdefault(demo.outputs_key(), []).append(demo)
    return groups


def _identity(demos: Sequence[Demo]) -> tuple[str, ...]:
    return tuple(sorted(demo.key() for demo in demos))
