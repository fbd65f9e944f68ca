"""Intervals that stand beside every score a person reads, and the paired test of the gate.

What binary scores need is written out: importing scipy.stats takes half as long as a replayed gate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

RESAMPLES = 9_999
_EQUAL = 1e-9  # differences of rounding
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
        return _wilson(round(sum(scores)), n, confidence)
    if max(scores) - min(scores) < _EQUAL:
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


def _wilson(passed: int, n: int, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = passed / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    low = 0.0 if passed == 0 else middle - half
    return low, 1.0 if passed == n else middle + half


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


def paired_test(
    then: Sequence[float], now: Sequence[float], *, runs: tuple[int, int] = (1, 1)
) -> PairedTest:
    """Test whether ``now`` is worse than ``then``, example by example, one-sided.

    Binary scores: the exact conditional test in which each example is a stratum: if nothing
    changed, each of its runs is as likely as any other to be one of today's. With one run then and
    one now that is McNemar's exact test, a binomial test of the examples that flipped (McNemar
    1947; exact form: Agresti, Categorical Data Analysis, section 11.1.1); with more, the exact
    Mantel-Haenszel test (section 7.3.5). All others: a permutation test that flips the signs of
    the differences (Fisher 1935, section 21), with 9,999 permutations, all of them where they are
    fewer, and a fixed seed. Where more than 2,000 examples differ, the normal limit of either.
    Examples that score the same say nothing and are dropped.

    Args:
        then, now: scores of the same examples in the same order; means of their runs.
        runs: how many runs such a mean is of, then and now.
    """
    if len(then) != len(now):
        raise ValueError(f"paired scores must be equally many, not {len(then)} and {len(now)}")
    differences = [b - a for a, b in zip(then, now, strict=True)]
    worse = sum(d < -_EQUAL for d in differences)
    better = sum(d > _EQUAL for d in differences)
    drop = -math.fsum(differences) / len(differences) if differences else 0.0
    counts = _counts(then, runs[0]), _counts(now, runs[1])
    if counts[0] is not None and counts[1] is not None:
        p_value = _strata(counts[0], counts[1], runs)
        name = "McNemar's exact test" if runs == (1, 1) else "exact Mantel-Haenszel test"
        return PairedTest(drop, p_value, worse, better, name)
    changed = [d for d in differences if abs(d) > _EQUAL]
    return PairedTest(drop, _sign_flips(changed), worse, better, "paired permutation test")


def _counts(scores: Sequence[float], runs: int) -> list[int] | None:
    """How many of its runs each example passed; None where scores are graded."""
    counts = [round(score * runs) for score in scores]
    exact = all(abs(s * runs - c) < 1e-4 * runs for s, c in zip(scores, counts, strict=True))
    return counts if exact else None


def _strata(then: Sequence[int], now: Sequence[int], runs: tuple[int, int]) -> float:
    """How likely so few passes today are, if today's runs are as good as any of an example's."""
    import numpy as np

    total = sum(runs)
    passed = Counter(a + b for a, b in zip(then, now, strict=True))
    undecided = {count: n for count, n in passed.items() if 0 < count < total}
    if not undecided:
        return 1.0
    fixed = passed[total] * runs[1]  # passes of examples whose every run passed
    today = sum(now) - fixed
    if sum(undecided.values()) > EXACT_UP_TO:
        shares = [(count / total, n) for count, n in undecided.items()]
        mean = runs[1] * sum(n * share for share, n in shares)
        variance = sum(n * share * (1 - share) for share, n in shares)
        variance *= runs[1] * runs[0] / (total - 1)
        return NormalDist().cdf((today + 0.5 - mean) / math.sqrt(variance))
    chances: Any = np.ones(1)
    for count, n in sorted(undecided.items()):
        chances = np.convolve(chances, _sum_of(_hypergeometric(total, count, runs[1]), n))
    return float(min(1.0, chances[: today + 1].sum()))


def _hypergeometric(total: int, passed: int, drawn: int) -> list[float]:
    """How likely 0, 1, ... of the drawn runs passed, when so many of all did."""
    ways = [math.comb(passed, k) * math.comb(total - passed, drawn - k) for k in range(drawn + 1)]
    return [count / math.comb(total, drawn) for count in ways]


def _sum_of(chances: Any, n: int) -> Any:
    """Distribution of a sum of n independent draws from 0, 1, ... with these chances."""
    import numpy as np

    total: Any = np.ones(1)
    while n:
        if n % 2:
            total = np.convolve(total, chances)
        chances, n = np.convolve(chances, chances), n // 2
    return total


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
