"""What the race says of every configuration, also of those that did not run.

A ridge regression (Hoerl and Kennard 1970) of the per-example outcomes on the options of the
slots and on the examples: score = mean + example + sum of options + noise. An option's effect is
learned from all trials that had it, and a hard example does not count against the trials that met
it. The model assumes that slots add up, so it only shortlists: who wins is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Ratios of noise to prior variance. An outcome that is 0 or 1 has a variance of about 0.2; the
# options of a slot were seen to differ by a standard deviation of 0.1 to 0.15, examples by 0.4.
OPTION_PENALTY = 12.0
EXAMPLE_PENALTY = 1.0
# A configuration's own mean weighs as much as the model's word after so many examples.
OWN_WEIGHT = 12.0


@dataclass(frozen=True)
class Run:
    """What one trial scored, example by example; None where the LM could not be asked."""

    choice: Mapping[str, int]
    scores: Sequence[float | None]


@dataclass(frozen=True)
class Effects:
    """The fitted model: the mean, and per slot one effect per option."""

    mean: float
    options: Mapping[str, Any]
    own: Mapping[tuple[tuple[str, int], ...], tuple[float, int]]

    def estimate(self, choice: Mapping[str, int]) -> float:
        """Expected score of a configuration, drawn towards what it scored itself."""
        model = self.mean + sum(float(self.options[s][o]) for s, o in choice.items())
        own, count = self.own.get(_key(choice), (0.0, 0))
        return (own * count + model * OWN_WEIGHT) / (count + OWN_WEIGHT)


def fit(runs: Sequence[Run], slots: Mapping[str, int]) -> Effects:
    """Fit the model to the outcomes of a race.

    Args:
        runs: at least one, with at least one score.
        slots: number of options per slot.
    """
    starts, width = {}, 0
    for slot, options in slots.items():
        starts[slot] = width
        width += options
    longest = max(len(run.scores) for run in runs)
    rows, targets = [], []
    for run in runs:
        for example, score in enumerate(run.scores):
            if score is not None:
                rows.append([*(starts[s] + o for s, o in run.choice.items()), width + example])
                targets.append(score)
    design = np.zeros((len(rows), width + longest))
    for row, columns in enumerate(rows):
        design[row, columns] = 1.0
    y = np.asarray(targets, dtype=float)
    penalty = np.full(width + longest, OPTION_PENALTY)
    penalty[width:] = EXAMPLE_PENALTY
    mean = float(y.mean())
    found = np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ (y - mean))
    effects = {slot: found[start : start + slots[slot]] for slot, start in starts.items()}
    # A trial's own mean is freed of how hard its examples were.
    hardness = found[width:]
    own = {}
    for run in runs:
        freed = [s - hardness[e] for e, s in enumerate(run.scores) if s is not None]
        if freed:
            own[_key(run.choice)] = (float(np.mean(freed)), len(freed))
    return Effects(mean, effects, own)


def _key(choice: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(choice.items()))
