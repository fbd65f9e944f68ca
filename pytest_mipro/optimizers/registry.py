"""Optimisers by name: what each must offer, and where it is found.

The registry holds addresses and not objects, so that no optimiser is imported before it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_mipro.prompts import Prompts
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings

OPTIMIZERS: Mapping[str, str] = {"mipro": "pytest_mipro.optimizers.mipro.optimizer"}


@dataclass(frozen=True)
class Candidate:
    """What an optimiser found.

    Attributes:
        prompts: the best prompts.
        score: what they are expected to score on examples like the validation set's, 0 to 1.
        trials: how many configurations ran.
    """

    prompts: Prompts
    score: float
    trials: int


class Optimizer(Protocol):
    """A module of this folder that optimises a program's prompts."""

    def propose(
        self,
        scorer: Scorer,
        trainset: Sequence[Any],
        valset: Sequence[Any],
        settings: Settings,
        *,
        prompt_lm: Any,
    ) -> Candidate:
        """Find better prompts for the scorer's program, within what the settings allow.

        Raises:
            CannotJudge: the LM could not be asked.
            MetricError: the metric raised or did not return a score.
        """


def optimizer(name: str) -> Optimizer:
    """The optimiser of that name."""
    module: Any = importlib.import_module(OPTIMIZERS[name])
    return module  # type: ignore[no-any-return]
