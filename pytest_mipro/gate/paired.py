"""The paired test of the gate: are the same examples answered worse than before?

What binary scores need is written out: importing scipy.stats takes half as long as a replayed gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

RESAMPLES = 9_999
_EQUAL = 1e-9  # differences of rounding
ALL_FLIPS_UP_TO = 13  # pairs that differ; of more there are over 9,999 permutations
FLIPS_UP_TO = 2_000  # pairs that differ; beyond it the permutations are as good as normal
# Of many sets of graded scores at once: so many permutations, where so few pairs differ.
SETS_RESAMPLES = 2_000
SETS_FLIPS_UP_TO = 150
_CELLS = 2_000_000  # of an array that is made at once


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
    fewer, and a fixed seed; where more than 2,000 examples differ, its normal limit. Examples that
    score the same say nothing and are dropped.

    Args:
        then, now: scores of the same examples in the same order; means of their runs.
        runs: how many runs such a mean is of, then and now.
    """
    if len(then) != len(now):
        raise ValueError(f"paired scores must be equally many, not {len(then)} and {len(now)}")
    pairs = list(zip(then, now, strict=True))
    differences = [b - a for a, b in pairs]
    worse = sum(d < -_EQUAL for d in differences)
    better = sum(d > _EQUAL for d in differences)
    drop = -math.fsum(differences) / len(differences) if differences else 0.0
    p_value = float(p_values(pairs, [], [[]], runs)[0])
    if not is_binary(pairs, runs):
        return PairedTest(drop, p_value, worse, better, "paired permutation test")
    name = "McNemar's exact test" if runs == (1, 1) else "exact Mantel-Haenszel test"
    return PairedTest(drop, p_value, worse, better, name)


def p_values(
    shared: Sequence[tuple[float, float]],
    pairs: Sequence[tuple[float, float]],
    counts: Any,
    runs: tuple[int, int],
) -> Any:
    """The p-values of the paired test on many sets of scores that have much in common.

    Binary scores, and sets that are all equal, get the test itself. Sets of graded scores that
    differ get the permutation test with 2,000 permutations, the same for all sets: its standard
    error is 0.005 at p = 0.05. A set in which more than 150 pairs differ gets the normal limit
    with corrections. Against the test itself, p-values below 0.2 are off by up to 0.015, and by
    0.03 where a few differences are much larger than all others; ``tests`` measure it.

    Args:
        shared: scores then and now that are in every set.
        pairs: others that may be in a set.
        counts: how often each of them is: a row per set, a column per pair.
        runs: of which a score is the mean, then and now.
    """
    import numpy as np

    rows: Any = np.asarray(counts, dtype=float)
    if not len(rows):
        return np.ones(0)
    if is_binary([*shared, *pairs], runs):
        return _binary_p_values(shared, pairs, rows, runs)
    fixed: Any = np.array([now - then for then, now in shared])
    values: Any = np.array([now - then for then, now in pairs])
    fixed, differ = fixed[abs(fixed) > _EQUAL], abs(values) > _EQUAL
    values, rows = values[differ], rows[:, differ]
    if (rows == rows[:1]).all():
        changes = np.concatenate([fixed, np.repeat(values, rows[0].astype(int))])
        return np.full(len(rows), _sign_flips(changes))
    few = len(fixed) + rows.sum(axis=1) <= SETS_FLIPS_UP_TO
    chances: Any = np.ones(len(rows))
    chances[few] = _sets_sign_flips(fixed, values, rows[few])
    chances[~few] = _normal_limit(fixed, values, rows[~few])
    return chances


def is_binary(pairs: Sequence[tuple[float, float]], runs: tuple[int, int]) -> bool:
    """Whether every score may be a share of passed runs, so many as there were."""
    return all(
        abs(score * n - round(score * n)) < 1e-4 * n
        for pair in set(pairs)
        for score, n in zip(pair, runs, strict=True)
    )


def _binary_p_values(
    shared: Sequence[tuple[float, float]],
    pairs: Sequence[tuple[float, float]],
    rows: Any,
    runs: tuple[int, int],
) -> Any:
    """Count strata by the runs that passed in them, and today's passes; then the exact test."""
    import numpy as np

    total = sum(runs)
    # A column per stratum that is not all passed or all failed, and one of today's passes.
    cells: Any = np.zeros((len(shared) + len(pairs), total))
    for row, (then, now) in zip(cells, [*shared, *pairs], strict=True):
        today = round(now * runs[1])
        passed = round(then * runs[0]) + today
        if 0 < passed < total:
            row[passed - 1], row[-1] = 1, today
    sums = cells[: len(shared)].sum(axis=0) + rows @ cells[len(shared) :]
    return _strata(sums[:, :-1], sums[:, -1], runs)


def _strata(undecided: Any, today: Any, runs: tuple[int, int]) -> Any:
    """How likely so few passes today are, if today's runs are as good as any of an example's.

    Passes today are a sum of independent hypergeometric counts. Its distribution function is the
    discrete Fourier inversion of the product of their characteristic functions, exact but for
    rounding, about 1e-13 (Abate and Whitt 1992, The Fourier-series method for inverting transforms
    of probability distributions, section 5).

    Args:
        undecided: a row per set: examples of which 1, 2, ... of all runs passed, but not all.
        today: how many runs of those passed today.
        runs: then and today.
    """
    import numpy as np

    chances: Any = np.ones(len(undecided))
    sizes = undecided.sum(axis=1)
    # Sets of similar size together: the larger they are, the fewer frequencies matter.
    for part in np.array_split(np.argsort(sizes), 1 + len(sizes) // 500):
        chances[part] = _inverted(undecided[part], today[part], runs)
    return chances.clip(0.0, 1.0)


def _inverted(undecided: Any, today: Any, runs: tuple[int, int]) -> Any:
    import numpy as np

    total, drawn = sum(runs), runs[1]
    sizes = undecided.sum(axis=1)
    points = int(sizes.max()) * drawn // 2 * 2 + 3  # odd, and more than the sum can come to
    angles = 2 * math.pi / points * np.arange(1, points // 2 + 1)
    waves = np.exp(1j * np.outer(np.arange(drawn + 1), angles))
    ways = [_hypergeometric(total, passed, drawn) for passed in range(1, total)]
    logs: Any = np.log(np.array(ways) @ waves)
    # The moduli fall with the angle, as such counts are sums of Bernoulli variables (Pitman 1997).
    kept = int((sizes.min() * logs.real.max(axis=0) > -40.0).sum())
    logs, angles = logs[:, :kept], angles[:kept]
    phases = undecided @ logs.imag - np.outer(today, angles / 2)
    kernel = np.sin(np.outer(today + 1, angles / 2)) / np.sin(angles / 2)
    terms = np.exp(undecided @ logs.real) * np.cos(phases) * kernel
    return (today + 1 + 2 * terms.sum(axis=1)) / points


def _hypergeometric(total: int, passed: int, drawn: int) -> list[float]:
    """How likely 0, 1, ... of the drawn runs passed, when so many of all did."""
    ways = [math.comb(passed, k) * math.comb(total - passed, drawn - k) for k in range(drawn + 1)]
    return [count / math.comb(total, drawn) for count in ways]


def _sign_flips(changes: Any) -> float:
    """How likely a sum so low is if each difference were as likely positive as negative."""
    import numpy as np

    n = len(changes)
    if n > FLIPS_UP_TO:
        return float(_normal_limit(changes, np.zeros(0), np.zeros((1, 0)))[0])
    # In order of size, so that the order of the examples does not matter.
    sizes, observed = np.sort(abs(changes)), changes.sum() + _EQUAL
    if n <= ALL_FLIPS_UP_TO:
        positive: Any = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return float((2 * positive @ sizes - sizes.sum() <= observed).mean())
    rng = np.random.default_rng(0)
    low, left = 1, RESAMPLES
    while left:
        batch = min(left, max(1, _CELLS // n))
        positive = rng.integers(0, 2, size=(batch, n), dtype=bool)
        low += int((2 * (positive @ sizes) - sizes.sum() <= observed).sum())
        left -= batch
    return low / (RESAMPLES + 1)


def _sets_sign_flips(shared: Any, values: Any, rows: Any) -> Any:
    """The permutation test on many sets: of differences they share, and of others by count."""
    import numpy as np

    rows, back = np.unique(rows.astype(int), axis=0, return_inverse=True)
    changed = rows.sum(axis=1)
    sizes: Any = np.zeros((len(rows), changed.max(initial=0)), dtype=np.float32)
    places = np.arange(sizes.shape[1]) < changed[:, None]
    sizes[places] = np.repeat(np.tile(abs(values), len(rows)), rows.ravel())
    rng = np.random.default_rng(0)
    up = rng.integers(0, 2, size=(SETS_RESAMPLES, len(shared)), dtype=bool)
    common = 2 * (up @ abs(shared)) - abs(shared).sum()
    signs = rng.choice(np.array([-1, 1], dtype=np.float32), size=(sizes.shape[1], SETS_RESAMPLES))
    # Sums that differ by less are equal: they have seven digits here.
    observed = (shared.sum() + rows @ values + 1e-4).astype(np.float32)
    common = common.astype(np.float32)
    low: Any = np.ones(len(rows))
    for part in np.array_split(np.arange(len(rows)), 1 + len(rows) * SETS_RESAMPLES // _CELLS):
        sums = sizes[part] @ signs + common
        low[part] += np.count_nonzero(sums <= observed[part, None], axis=1)
    return low[back.reshape(-1)] / (SETS_RESAMPLES + 1)


def _normal_limit(shared: Any, values: Any, rows: Any) -> Any:
    """The normal limit of the permutation test, with Edgeworth's term of kurtosis.

    Feller, An Introduction to Probability Theory, volume II, section XVI.4; half a step between
    sums is added where differences have one (continuity correction).
    """
    import numpy as np
    from scipy.special import ndtr

    totals, squares, fourths = ((shared**power).sum() + rows @ values**power for power in (1, 2, 4))
    z = (totals + _step(np.concatenate([shared, values]))) / np.sqrt(squares)
    kurtosis = -2 * fourths / squares**2
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    # No sum is rarer than that of all differences down.
    least = 0.5 ** (len(shared) + rows.sum(axis=1))
    return (ndtr(z) - density * kurtosis / 24 * (z**3 - 3 * z)).clip(least, 1.0)


def _step(differences: Any) -> float:
    """What all differences are multiples of, at least a sixtieth; 0 where there is no such step."""
    import numpy as np

    for parts in range(1, 61):
        multiples = differences * parts
        if (abs(multiples - np.rint(multiples)) < 1e-4).all():
            return float(np.gcd.reduce(np.rint(multiples).astype(int))) / parts
    return 0.0
