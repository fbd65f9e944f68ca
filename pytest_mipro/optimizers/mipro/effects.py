"""What the outcomes so far say of every configuration, also of those that did not run.

A Bayesian linear mixed model (Laird and Ware 1982; Searle, Casella and McCulloch 1992, chapter
7) of the score of a configuration on an example::

    score = mean + example + sum over slots of (option + demos in it)
                 + interaction of a predictor's instruction and demo set + configuration + noise

Every term but the mean is drawn from a normal distribution with a variance of its own kind, and
the variances are learned from the outcomes by expectation-maximisation (Dempster, Laird and Rubin
1977). So the model finds out by itself whether slots add up or interact, whether demos matter one
by one, and how much harder one example is than another. What it says of a configuration is
shrunk towards what is known of its parts: an estimate that, unlike the best of many means, is not
too good on average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from threadpoolctl import ThreadpoolController

# The kinds of terms, with the variances that the model begins with: scores go from 0 to 1, and
# options of a slot are expected to differ by some hundredths. They weigh as much as so many
# observed terms.
KINDS = ("mean", "option", "demo", "pair", "configuration")
START = (1.0, 0.004, 0.002, 0.001, 0.001)
EXAMPLE_START = 0.08
START_WEIGHT = 2.0
NOISE_START = 0.15
NOISE_WEIGHT = 20.0
NOISE_RANGE = (0.01, 0.25)
LEAST_VARIANCE = 1e-5

_MEAN, _OPTION, _DEMO, _PAIR, _CONFIGURATION = range(len(KINDS))
_Key = tuple[int, ...]


class Effects:
    """The model. Observe outcomes, fit, then ask for estimates or draws.

    Examples are eliminated from the equations (each outcome has just one of them), so that the
    cost of a fit is the cube of the number of other terms, however many examples there are.

    Args:
        slots: number of options per slot; the slots of one predictor share the part of their
            name before the last dot.
        members: per slot, which demos each option holds; slots may be left out.
        examples: how many examples there are.
    """

    def __init__(
        self,
        slots: Mapping[str, int],
        members: Mapping[str, Sequence[Sequence[int]]],
        examples: int,
    ) -> None:
        self._slots = list(slots)
        self._groups = _groups(self._slots)
        self._kinds: list[int] = [_MEAN]
        self._starts, self._demos = [], []
        for options in slots.values():
            self._starts.append(len(self._kinds))
            self._kinds += [_OPTION] * options
        for slot, options in slots.items():
            sets = members.get(slot) or [()] * options
            first, count = len(self._kinds), max((d for s in sets for d in s), default=-1) + 1
            self._kinds += [_DEMO] * count
            self._demos.append((first, _weights(sets, count)))
        self._pairs: list[dict[_Key, int]] = [{} for _ in self._groups]
        self._configurations: dict[_Key, int] = {}
        self._rows: dict[_Key, tuple[Any, Any]] = {}
        size = len(self._kinds) + 64
        self._gram = np.zeros((size, size))
        self._by_example = np.zeros((size, examples))
        self._moment = np.zeros(size)
        self._counts, self._totals = np.zeros(examples), np.zeros(examples)
        self._squares, self.observed = 0.0, 0
        self._variances = np.array(START)
        self._example_variance, self._noise = EXAMPLE_START, NOISE_START

    def observe(
        self, choice: Mapping[str, int], examples: Sequence[int], scores: Sequence[float]
    ) -> None:
        """Take note of what a configuration scored on some examples, by their positions."""
        columns, weights = self._row(self._key(choice))
        count = len(examples)
        self._gram[np.ix_(columns, columns)] += np.outer(weights, weights) * count
        self._moment[columns] += weights * sum(scores)
        self._by_example[np.ix_(columns, list(examples))] += weights[:, None]
        self._counts[list(examples)] += 1
        self._totals[list(examples)] += scores
        self._squares += sum(score * score for score in scores)
        self.observed += count

    def fit(self, *, learn: bool = True) -> None:
        """Work out the posterior.

        Args:
            learn: whether to update the variances as well (one step of
                expectation-maximisation).
        """
        # Several BLAS threads are slower on matrices of this size, and other in the last digits.
        with _blas().limit(limits=1, user_api="blas"):
            self._fit(learn)

    def _fit(self, learn: bool) -> None:
        n, noise = len(self._kinds), self._noise
        kinds = np.array(self._kinds)
        by_example = self._by_example[:n] / noise
        self._example_precision = self._counts / noise + 1 / self._example_variance
        precision = self._gram[:n, :n] / noise
        precision -= (by_example / self._example_precision) @ by_example.T
        precision[np.arange(n), np.arange(n)] += 1 / self._variances[kinds]
        self._factor = np.linalg.cholesky(precision)
        moment = self._moment[:n] / noise
        moment -= by_example @ (self._totals / noise / self._example_precision)
        half = solve_triangular(self._factor, moment, lower=True)
        self._mean = solve_triangular(self._factor, half, lower=True, trans="T")
        hardness = self._totals / noise - by_example.T @ self._mean
        self._hardness = hardness / self._example_precision
        if learn:
            self._learn(kinds, by_example)

    def draw(self, rng: Any, spread: float) -> Values:
        """Values of all terms drawn from the posterior.

        Args:
            rng: a numpy Generator.
            spread: 1 draws from the posterior itself; less stays closer to its mean; 0 is it.
        """
        noise = rng.normal(size=len(self._mean))
        drawn = self._mean + spread * solve_triangular(self._factor, noise, lower=True, trans="T")
        new = spread * float(self._variances[_CONFIGURATION]) ** 0.5
        return Values(self, drawn, float(rng.normal()) * new)

    def estimate(self, choice: Mapping[str, int]) -> tuple[float, float]:
        """Expected mean score of a configuration over all examples, and its standard error."""
        columns, weights = self._row(self._key(choice), add=False)
        met = self._counts > 0
        hardness = float(self._hardness[met].mean()) if met.any() else 0.0
        row = np.zeros(len(self._mean))
        row[columns] = weights
        share = self._by_example[: len(row), met] / self._noise / self._example_precision[met]
        row -= share.mean(axis=1) if met.any() else 0.0
        spread = solve_triangular(self._factor, row, lower=True)
        own = float((1 / self._example_precision[met]).sum()) / max(1, int(met.sum())) ** 2
        mean = float(weights @ self._mean[columns]) + hardness
        return mean, float(spread @ spread + own) ** 0.5

    def expected(self, choice: Mapping[str, int]) -> list[float]:
        """Expected score of a configuration on each example; an example that was never met is
        taken to be of average hardness."""
        columns, weights = self._row(self._key(choice), add=False)
        quality = float(weights @ self._mean[columns])
        return [quality + float(hardness) for hardness in self._hardness]

    def _learn(self, kinds: Any, by_example: Any) -> None:
        inverse = solve_triangular(self._factor, np.eye(len(kinds)), lower=True)
        covariance = inverse.T @ inverse
        spread = np.diag(covariance)
        for kind in range(1, len(KINDS)):
            of_kind = kinds == kind
            if of_kind.any():
                seen = float((self._mean[of_kind] ** 2 + spread[of_kind]).sum())
                weight = START_WEIGHT
                learned = (seen + weight * START[kind]) / (int(of_kind.sum()) + weight)
                self._variances[kind] = max(LEAST_VARIANCE, learned)
        met = self._counts > 0
        shares = by_example[:, met] / self._example_precision[met]
        example_spread = 1 / self._example_precision[met]
        example_spread += np.einsum("ij,ij->j", shares, covariance @ shares)
        seen = float((self._hardness[met] ** 2 + example_spread).sum())
        self._example_variance = (seen + START_WEIGHT * EXAMPLE_START) / (
            int(met.sum()) + START_WEIGHT
        )
        free = float((spread / self._variances[kinds]).sum() - len(kinds))
        free += float((example_spread / self._example_variance).sum()) - int(met.sum())
        degrees = max(self.observed + free, 5.0)
        noise = (self._residual() + NOISE_WEIGHT * NOISE_START) / (degrees + NOISE_WEIGHT)
        self._noise = float(np.clip(noise, *NOISE_RANGE))

    def _residual(self) -> float:
        n = len(self._mean)
        mean, hardness = self._mean, self._hardness
        explained = 2 * (mean @ self._moment[:n] + hardness @ self._totals)
        fitted = mean @ self._gram[:n, :n] @ mean + (hardness**2 * self._counts).sum()
        fitted += 2 * mean @ self._by_example[:n] @ hardness
        return max(0.0, float(self._squares - explained + fitted))

    def _key(self, choice: Mapping[str, int]) -> _Key:
        return tuple(choice[slot] for slot in self._slots)

    def _row(self, key: _Key, *, add: bool = True) -> tuple[Any, Any]:
        """The terms that a configuration has, and their weights."""
        row = self._rows.get(key)
        if row is not None:
            return row
        columns, weights = [0], [1.0]
        for slot, option in enumerate(key):
            first, members = self._demos[slot]
            held = np.nonzero(members[option])[0]
            columns += [self._starts[slot] + option, *(first + held)]
            weights += [1.0, *members[option][held]]
        for group, pairs in zip(self._groups, self._pairs, strict=True):
            pair = tuple(key[slot] for slot in group)
            if pair not in pairs and add:
                pairs[pair] = self._new_term(_PAIR)
            if pair in pairs:
                columns.append(pairs[pair])
        if add:
            self._configurations[key] = self._new_term(_CONFIGURATION)
            columns.append(self._configurations[key])
        weights += [1.0] * (len(columns) - len(weights))
        row = (np.array(columns), np.array(weights))
        if add:
            self._rows[key] = row
        return row

    def _new_term(self, kind: int) -> int:
        if len(self._kinds) == len(self._moment):
            more = len(self._kinds)
            self._gram = np.pad(self._gram, (0, more))
            self._by_example = np.pad(self._by_example, ((0, more), (0, 0)))
            self._moment = np.pad(self._moment, (0, more))
        self._kinds.append(kind)
        return len(self._kinds) - 1


class Values:
    """Values of all terms, by which configurations can be ranked."""

    def __init__(self, model: Effects, terms: Any, new: float) -> None:
        self._model = model
        self._new = new
        self._terms = terms
        self._tables = []
        for group, pairs in zip(model._groups, model._pairs, strict=True):
            table = np.zeros(())
            for slot in group:
                table = table[..., None] + self._options(slot)
            fitted = [(pair, term) for pair, term in pairs.items() if term < len(terms)]
            if fitted:
                places = tuple(np.array([pair for pair, _ in fitted]).T)
                table[places] += terms[[term for _, term in fitted]]
            self._tables.append(table)

    def best(self) -> dict[str, int]:
        """The configuration of the best parts, which need not have met."""
        choice = {}
        for group, table in zip(self._model._groups, self._tables, strict=True):
            options = np.unravel_index(int(np.argmax(table)), table.shape)
            for slot, option in zip(group, options, strict=True):
                choice[self._model._slots[slot]] = int(option)
        return choice

    def of(self, choice: Mapping[str, int]) -> float:
        """The value of a configuration; of one that did not run, with a term drawn for it."""
        key = self._model._key(choice)
        value = sum(
            float(table[tuple(key[slot] for slot in group)])
            for group, table in zip(self._model._groups, self._tables, strict=True)
        )
        term = self._model._configurations.get(key, len(self._terms))
        return value + (float(self._terms[term]) if term < len(self._terms) else self._new)

    def ranked(self) -> list[dict[str, int]]:
        """The configurations that ran, best first."""
        ran = [key for key, term in self._model._configurations.items() if term < len(self._terms)]
        keys = np.array(ran)
        values = self._terms[[self._model._configurations[key] for key in ran]].copy()
        for group, table in zip(self._model._groups, self._tables, strict=True):
            values += table[tuple(keys[:, slot] for slot in group)]
        order = np.argsort(-values, kind="stable")
        names = self._model._slots
        return [dict(zip(names, ran[n], strict=True)) for n in order]

    def _options(self, slot: int) -> Any:
        first, members = self._model._demos[slot]
        start = self._model._starts[slot]
        own = self._terms[start : start + len(members)]
        return own + members @ self._terms[first : first + members.shape[1]]


@lru_cache(maxsize=1)
def _blas() -> Any:
    return ThreadpoolController()


def _groups(slots: Sequence[str]) -> list[tuple[int, ...]]:
    groups: dict[str, list[int]] = {}
    for position, slot in enumerate(slots):
        groups.setdefault(slot.rpartition(".")[0], []).append(position)
    return [tuple(group) for group in groups.values()]


def _weights(sets: Sequence[Sequence[int]], count: int) -> Any:
    """Which demos a set holds; scaled so that sets of any size vary alike."""
    weights = np.zeros((len(sets), count))
    for option, demos in enumerate(sets):
        weights[option, list(demos)] = 1 / max(1, len(demos)) ** 0.5
    return weights
