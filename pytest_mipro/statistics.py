"""Intervals that stand beside every score a person reads."""

from __future__ import annotations

from collections.abc import Sequence


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
