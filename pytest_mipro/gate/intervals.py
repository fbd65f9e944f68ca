"""Confidence intervals, which stand beside every score a person reads.

What binary scores need is written out: importing scipy.stats takes half as long as a replayed gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

RESAMPLES = 2_000
_EQUAL = 1e-9  # differences of rounding
_CELLS = 2_000_000  # of an array that is made at once


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
        n_resamples=RESAMPLES,
        batch=max(1, _CELLS // n),
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
