"""Scores to a verdict: the rule, without what it is applied to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_mipro.gate.paired import PairedTest, paired_test
from pytest_mipro.outcome import Scored
from pytest_mipro.settings import Settings

# Rounding in the last place must neither fail a score that equals its threshold, nor make a
# regression of one that equals its limit.
_EQUAL = 1e-9

Verdict = Literal["pass", "below threshold", "regressed", "stale", "missing", "cannot judge"]


@dataclass(frozen=True)
class Recorded:
    """What there is to compare with.

    Attributes:
        scores: the recorded score of each example, None for one that has none.
        runs: how many runs such a score is the mean of.
    """

    scores: Sequence[float | None]
    runs: int = 1

    def at(self, positions: Sequence[int]) -> Recorded:
        """The recorded scores of some of the examples."""
        return Recorded([self.scores[n] for n in positions], self.runs)


@dataclass(frozen=True)
class Comparison:
    """Today's scores beside the recorded ones, example by example.

    Attributes:
        n: examples that have both.
        runs: runs of each example that were recorded, and today's.
        recorded_score: mean of their recorded scores.
        test: what the paired test says.
        significance: the p-value below which a drop is a regression.
        max_drop: the drop up to which it is none.
    """

    n: int
    runs: tuple[int, int]
    recorded_score: float
    test: PairedTest
    significance: float
    max_drop: float


@dataclass(frozen=True)
class Stopped:
    """A verdict, and what was scored for it.

    Attributes:
        scored: the examples that were scored, in the order of the data: all, or as many as
            ``--mipro-fast`` needed.
        positions: of those examples in the data.
        recorded: their recorded scores.
        verdict: of all examples, as it is predicted.
        probability: of that verdict; 1 where the rest cannot change it.
        skipped: examples that were not scored.
    """

    scored: Scored
    positions: Sequence[int]
    recorded: Recorded | None
    verdict: Verdict
    probability: float = 1.0
    skipped: int = 0


def verdict_of(scored: Scored, settings: Settings, recorded: Recorded | None = None) -> Verdict:
    """The verdict on scored examples.

    Where the LM could not be asked for some runs, the verdict stands only if it is the same
    whether all of them scored 0 or all of them 1.

    Args:
        scored: today's outcomes.
        settings: threshold, significance and allowed drop.
        recorded: what there is to compare with.
    """
    if all(outcome.score is None for outcome in scored.outcomes):
        return "cannot judge"
    least = decide(_numbers(scored.scores(missing=0.0)), settings, recorded)
    if scored.complete:
        return least
    if settings.threshold is None and recorded is None:
        return "cannot judge"
    most = decide(_numbers(scored.scores(missing=1.0)), settings, recorded)
    return least if least == most else "cannot judge"


def decide(
    scores: Sequence[float],
    settings: Settings,
    recorded: Recorded | None = None,
) -> Verdict:
    """The verdict on complete scores: threshold first, then the paired comparison."""
    if is_below(math.fsum(scores), len(scores), settings):
        return "below threshold"
    comparison = compare(scores, settings, recorded)
    return "regressed" if comparison and is_regression(comparison) else "pass"


def compare(
    scores: Sequence[float | None],
    settings: Settings,
    recorded: Recorded | None,
) -> Comparison | None:
    """Compare with recorded scores, where an example has both; None where none has."""
    if recorded is None:
        return None
    pairs = [
        (then, now)
        for then, now in zip(recorded.scores, scores, strict=True)
        if then is not None and now is not None
    ]
    if not pairs:
        return None
    runs = (recorded.runs, settings.repeats)
    then, now = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Comparison(
        len(pairs),
        runs,
        math.fsum(then) / len(then),
        paired_test(then, now, runs=runs),
        settings.significance,
        settings.max_drop,
    )


def is_regression(comparison: Comparison) -> bool:
    """Whether the scores fell credibly, and further than allowed."""
    test = comparison.test
    return bool(is_fall(test.p_value, test.drop, comparison))


def is_below(total: Any, n: int, settings: Settings) -> Any:
    """Whether n scores that add up to ``total`` miss the threshold.

    A bool, or for an array of totals an array: both rooms decide by this one inequality.
    """
    return total < (settings.threshold or 0.0) * n - _EQUAL


def is_fall(p_value: Any, drop: Any, limits: Settings | Comparison) -> Any:
    """Whether a drop is credible, and further than allowed.

    A bool, or for arrays an array: both rooms decide by this one inequality.
    """
    credible = p_value < limits.significance * (1.0 - _EQUAL)
    return credible & (drop > limits.max_drop + _EQUAL)


def _numbers(scores: Sequence[float | None]) -> list[float]:
    return [score for score in scores if score is not None]
