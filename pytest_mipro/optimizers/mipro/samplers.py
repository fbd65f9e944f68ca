"""What proposes configurations: Optuna samplers, chosen by name.

``outcomes`` is ours; ``tpe`` is Optuna's tree-structured Parzen estimator, as in the MIPRO paper
(Opsahl-Ong et al. 2024, section 3.3).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from pytest_mipro.optimizers.mipro.effects import Effects
from pytest_mipro.optimizers.mipro.space import Choice, Space

SAMPLERS = ("outcomes", "tpe")

# Trial attribute: pairs of (position of an example, score) that the trial adds.
OUTCOMES = "outcomes"

WARM_UP = 15  # outcomes before the model is asked
REFIT_SHARE = 0.03  # new outcomes, as a share of all, after which the model is fitted anew
LEARN_EVERY = 4  # fits between two that update the variances
UPSTREAM_KEPT = 0.3  # share of proposals that keep the first predictors as the best one has them
SPREAD = 0.8  # of the draws; 1 is Thompson sampling proper, less favours what looks good


class OutcomeSampler(optuna.samplers.BaseSampler):
    """Thompson sampling over a model of the per-example outcomes.

    Values of all options are drawn from the posterior of :class:`Effects`, and the configuration
    that is best by them is proposed (Thompson 1933; Russo et al. 2018, "A Tutorial on Thompson
    Sampling", section 4): one that ran before, which then meets its next examples, or a new one.
    So a loser is dropped by not being proposed again, with the probability that it is one, and
    comes back if its parts turn out to be good. Once there are ``finalists``, only those are
    proposed.

    A trial is a few examples of a configuration. It carries what they scored in its user
    attribute ``outcomes``, as (position of the example, score); the model is fitted to those of
    all trials of the study.

    Args:
        space: what there is to choose from.
        examples: number of validation examples.
        seed: randomness.
        open_to: says whether a configuration has examples left to run.
    """

    def __init__(
        self, space: Space, examples: int, seed: int, open_to: Callable[[Choice], bool]
    ) -> None:
        self.model = Effects(space.slots(), space.members(), examples)
        self.finalists: Sequence[dict[str, int]] = ()
        self._slots = space.slots()
        self._rng = np.random.default_rng([seed, 7])
        self._plain = random.Random(f"sampler-{seed}")
        self._open_to = open_to
        self._heard: set[int] = set()
        self._fitted_at = self._fits = 0

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        """All slots are chosen together."""
        return distributions(self._slots)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, optuna.distributions.BaseDistribution],
    ) -> dict[str, Any]:
        """The next configuration."""
        self._hear(study)
        if self.model.observed < WARM_UP:
            return self._at_random()
        self._fit_if_due()
        if self.finalists:
            drawn = self.model.draw(self._rng, 1.0)
            left = [choice for choice in self.finalists if self._open_to(choice)]
            return max(left or self.finalists, key=drawn.of)
        values = self.model.draw(self._rng, SPREAD)
        best = self._with_upstream_kept(values.best())
        for choice in values.ranked():
            if self._open_to(choice) and values.of(choice) > values.of(best):
                return choice
            if values.of(choice) <= values.of(best):
                break
        return best if self._open_to(best) else self._beside(best)

    def best(self, study: optuna.Study, count: int) -> list[dict[str, int]]:
        """The configurations that the model thinks best; the first may be one that did not run,
        of parts that did."""
        means = self.fitted(study).draw(self._rng, 0.0)
        best = means.best()
        return [best, *(choice for choice in means.ranked() if choice != best)][:count]

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: optuna.distributions.BaseDistribution,
    ) -> Any:
        """Parameters that are no slot are drawn at random."""
        return self._plain.choice(param_distribution.choices)  # type: ignore[attr-defined]

    def fitted(self, study: optuna.Study) -> Effects:
        """The model, fitted to all outcomes so far."""
        self._hear(study)
        # Each fit moves the variances by one step towards what the outcomes say; after three they
        # hardly move any more. The last one is of the means alone, by those variances.
        for _ in range(3):
            self.model.fit()
        self.model.fit(learn=False)
        return self.model

    def _hear(self, study: optuna.Study) -> None:
        for trial in study.get_trials(deepcopy=False):
            if trial.number in self._heard or not trial.state.is_finished():
                continue
            self._heard.add(trial.number)
            outcomes = trial.user_attrs.get(OUTCOMES)
            if outcomes:
                examples, scores = zip(*outcomes, strict=True)
                self.model.observe(trial.params, examples, scores)

    def _fit_if_due(self) -> None:
        new = self.model.observed - self._fitted_at
        if self._fits and new < max(1, REFIT_SHARE * self.model.observed):
            return
        self._fits += 1
        self._fitted_at = self.model.observed
        self.model.fit(learn=self._fits % LEARN_EVERY == 1)

    def _with_upstream_kept(self, choice: dict[str, int]) -> dict[str, int]:
        """Now and then, keep the first predictors' prompts of the best configuration: their LM
        calls are paid for."""
        names = list(dict.fromkeys(slot.rpartition(".")[0] for slot in self._slots))
        if len(names) < 2 or self._rng.random() >= UPSTREAM_KEPT:
            return choice
        best = self.model.draw(self._rng, 0.0).ranked()[0]
        kept = set(names[: int(self._rng.integers(1, len(names)))])
        return {s: best[s] if s.rpartition(".")[0] in kept else o for s, o in choice.items()}

    def _beside(self, choice: Mapping[str, int]) -> dict[str, int]:
        """A configuration next to one that has met all examples."""
        slot = self._plain.choice([s for s, n in self._slots.items() if n > 1] or [*self._slots])
        return {**choice, slot: self._plain.randrange(self._slots[slot])}

    def _at_random(self) -> dict[str, int]:
        return {slot: self._plain.randrange(options) for slot, options in self._slots.items()}


def tpe(seed: int, startup: int) -> optuna.samplers.BaseSampler:
    """Optuna's TPE, for several trials under way at once."""
    return optuna.samplers.TPESampler(
        seed=seed, multivariate=True, constant_liar=True, n_startup_trials=startup
    )


def distributions(
    slots: Mapping[str, int],
) -> dict[str, optuna.distributions.BaseDistribution]:
    """The slots as Optuna's categorical parameters."""
    return {
        slot: optuna.distributions.CategoricalDistribution(_range(options))
        for slot, options in slots.items()
    }


def _range(options: int) -> Sequence[int]:
    return tuple(range(options))
