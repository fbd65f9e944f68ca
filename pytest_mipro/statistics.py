"""Intervals that stand beside every score a person reads, and the paired test of the gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 9_999
EXACT_UP_TO = 2_000  # pairs that differ; beyond it the permutations are as good as normal


def interval(scores: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of the mean of ``scores``.

    Binary scores get Wilson's score interval (Wilson 1927; recommended for small n by Brown,
    Cai and DasGupta 2001, section 3.1.1); all others the bias-corrected and accelerated
    bootstrap (Efron 1987), with a fixed seed so that a report says the same thing twice.

    Args:
        scores: one score per example, at least one.
        confidence: two-sided level, between 0 and 1.

    Returns:
        (low, high) on the scale of the scores. A single graded score, or graded scores that
        are all equal, say nothing of their spread: the interval is that value.
    """
    n = len(scores)
    if n == 0:
        raise ValueError("an interval needs at least one score")
    if all(s in (0, 1) for s in scores):
        from scipy.stats import binomtest

        wilson = binomtest(round(sum(scores)), n).proportion_ci(confidence, method="wilson")
        return float(wilson.low), float(wilson.high)
    if n == 1 or min(scores) == max(scores):
        return float(scores[0]), float(scores[0])
    import numpy as np
    from scipy.stats import bootstrap

    result = bootstrap(
        (np.asarray(scores, dtype=float),),
        np.mean,
        confidence_level=confidence,
        n_resamples=2000,
        batch=max(1, 2_000_000 // n),
        rng=np.random.default_rng(0),
    )
    low, high = result.confidence_interval
    return float(low), float(high)


@dataclass(frozen=True)
class PairedTest:
    """What the same examples say of two sets of scores.

    Attributes:
        drop: mean of the earlier scores minus mean of the later ones.
        p_value: one-sided; how likely so large a drop is when nothing got worse.
        worse, better: examples whose score fell or rose.
        test: the name of the test.
    """

    drop: float
    p_value: float
    worse: int
    better: int
    test: str


def paired_test(then: Sequence[float], now: Sequence[float]) -> PairedTest:
    """Test whether ``now`` is worse than ``then``, example by example, one-sided.

    Binary scores: McNemar's exact test, which is a binomial test of the examples that flipped
    (McNemar 1947; exact form: Agresti, Categorical Data Analysis, section 11.1.1). All others: a
    permutation test that flips the signs of the differences (Fisher 1935, section 21), with
    9,999 permutations, all of them where they are fewer, and a fixed seed. Where more than 2,000
    examples differ, its normal limit. Examples that score the same say nothing and are dropped.

    Args:
        then, now: scores of the same examples in the same order.
    """
    if len(then) != len(now):
        raise ValueError(f"paired scores must be equally many, not {len(then)} and {len(now)}")
    differences = [b - a for a, b in zip(then, now, strict=True)]
    worse = sum(d < 0 for d in differences)
    better = sum(d > 0 for d in differences)
    drop = -math.fsum(differences) / len(differences) if differences else 0.0
    if all(score in (0, 1) for score in (*then, *now)):
        return PairedTest(drop, _mcnemar(worse, better), worse, better, "McNemar's exact test")
    changed = [d for d in differences if d]
    return PairedTest(drop, _sign_flips(changed), worse, better, "paired permutation test")


def _mcnemar(worse: int, better: int) -> float:
    from scipy.stats import binomtest

    if not worse + better:
        return 1.0
    return float(binomtest(worse, worse + better, 0.5, alternative="greater").pvalue)


def _sign_flips(differences: Sequence[float]) -> float:
    """How likely a sum so low is if each difference were as likely positive as negative."""
    import numpy as np

    if not differences:
        return 1.0
    changes = np.asarray(differences, dtype=float)
    if len(changes) > EXACT_UP_TO:
        from scipy.stats import norm

        return float(norm.cdf(changes.sum() / math.sqrt(float(changes @ changes))))
    from scipy.stats import permutation_test

    result = permutation_test(
        (changes,),
        np.mean,
        permutation_type="samples",
        alternative="less",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 2_000_000 // len(changes)),
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)
