"""How much to spend, and on what: a budget of LM calls, and the pools that are sized for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_mipro.optimizers.mipro.demosets import DemoLimits
from pytest_mipro.settings import Settings, calls_of

CALLS_PER_PREDICTOR = {"light": 500, "medium": 1500, "heavy": 5000}
VALIDATION_EXAMPLES = {"light": 100, "medium": 300, "heavy": 1000}

BOOTSTRAP_SHARE = 0.15  # of the budget, at most
# Options of a slot per LM call of a predictor's share: as many as can be told apart with it.
INSTRUCTIONS_A_CALL, MOST_INSTRUCTIONS = 0.02, 24
DEMO_SETS_A_CALL, MOST_DEMO_SETS = 0.06, 40
TRACES_A_CALL, MOST_TRACES = 0.05, 40


@dataclass(frozen=True)
class Effort:
    """The figures that a run is sized by.

    Attributes:
        calls: LM calls to spend: bootstrapping, proposing and searching.
        instructions, demo_sets: options per predictor at most, the seed prompt's included.
        traces: passing traces to collect for demos.
        val_size: validation examples at most.
        trials: configurations at most; None for as many as the calls allow.
        minibatch: examples of a configuration while exploring; None for all.
    """

    calls: int
    instructions: int
    demo_sets: int
    traces: int
    val_size: int
    trials: int | None = None
    minibatch: int | None = None

    @property
    def bootstrap_calls(self) -> int:
        """LM calls after which bootstrapping stops."""
        return max(1, round(self.calls * BOOTSTRAP_SHARE))

    @classmethod
    def named(cls, auto: str, predictors: int, limits: DemoLimits) -> Effort:
        """One of the named efforts: a budget for each predictor."""
        effort = cls.within(CALLS_PER_PREDICTOR[auto] * predictors, predictors, limits)
        return replace(effort, val_size=VALIDATION_EXAMPLES[auto])

    @classmethod
    def within(cls, calls: int, predictors: int, limits: DemoLimits) -> Effort:
        """The pools for a budget of LM calls: few candidates well compared when it is small."""
        share = calls / predictors
        instructions = round(share * INSTRUCTIONS_A_CALL * (2 if limits.zero_shot else 1))
        runs = round(share)
        return cls(
            calls=calls,
            instructions=min(MOST_INSTRUCTIONS, max(1, instructions)),
            demo_sets=min(MOST_DEMO_SETS, max(4, round(share * DEMO_SETS_A_CALL))),
            traces=min(MOST_TRACES, max(2 * limits.bootstrapped, round(share * TRACES_A_CALL))),
            val_size=min(VALIDATION_EXAMPLES["heavy"], max(20, runs // 4)),
        )

    def with_overrides(
        self, candidates: int | None, trials: int | None, minibatch: int | None
    ) -> Effort:
        """This effort with the given figures in place of its own."""
        return replace(
            self,
            instructions=candidates or self.instructions,
            demo_sets=candidates or self.demo_sets,
            trials=trials or self.trials,
            minibatch=minibatch or self.minibatch,
        )


def effort_of(settings: Settings, predictors: int) -> tuple[Effort, DemoLimits]:
    """What the settings of a test ask for, for a program of so many predictors."""
    limits = DemoLimits(settings.max_bootstrapped_demos, settings.max_labeled_demos)
    if settings.budget is None:
        effort = Effort.named(settings.auto, predictors, limits)
    else:
        effort = Effort.within(calls_of(settings.budget), predictors, limits)
    effort = effort.with_overrides(
        settings.num_candidates, settings.num_trials, settings.minibatch_size
    )
    return effort, limits
