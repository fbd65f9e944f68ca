"""How often the gate is wrong, on simulated language models whose truth is known.

An example is answered right with a probability of its own; a language model at a temperature above
0 draws anew each time. How much examples differ decides how noisy a gate is: they may be all alike,
or nearly always right or nearly always wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from pytest_mipro.gate.accept import RECORDED_REPEATS
from pytest_mipro.gate.decision import Recorded, decide
from pytest_mipro.gate.fast import run as run_fast
from pytest_mipro.outcome import Outcome
from pytest_mipro.settings import Settings

NAMES = {0.8: "0.8, unchanged", "same": "0.8, temperature 0"}
GATES = 1_000
MEAN = 0.8
# Name of a population of examples, and the sum of the parameters of the beta distribution that
# their probabilities come from; None for examples that are all alike.
POPULATIONS = {"all alike": None, "mixed": 2.0, "mostly settled": 0.5}


@dataclass(frozen=True)
class Rule:
    """How a gate decides.

    Attributes:
        fails: whether it fails, from the recorded scores and today's.
        then, now: runs of each example that a score is the mean of.
    """

    fails: Callable[[list[float], list[float]], bool]
    then: int = 1
    now: int = 1


def paired(then: int = RECORDED_REPEATS, now: int = 1) -> Rule:
    """The gate's own rule, without a threshold."""
    settings = Settings(repeats=now)
    return Rule(lambda a, b: decide(b, settings, _recorded(a, then)) != "pass", then, now)


def means(points: float) -> Rule:
    """Compare today's mean with the old one."""
    return Rule(lambda then, now: sum(now) < sum(then) - points / 100 * len(then))


RULES = {
    "the gate's default: paired, 3 recorded runs": paired(),
    "paired, 1 recorded run": paired(1),
    "paired, --mipro-repeats=2": paired(RECORDED_REPEATS, 2),
    "mean below the old mean": means(0),
    "mean over 2 points below the old mean": means(2),
    "mean over 5 points below the old mean": means(5),
}


def alarms() -> str:
    """A table: share of gates that fail with nothing changed, and with a true drop of 10 points."""
    lines = [
        f"\n{GATES:,} gates each, true score {MEAN:g}, an LM that answers anew each time",
        f"  {'':44s}{'false alarms':>30s}{'10 points lost, 200 examples':>40s}",
        f"  {'examples':44s}" + 2 * "".join(f"{name:>16s}" for name in POPULATIONS),
    ]
    for name, rule in RULES.items():
        cells = [
            share(rule, drop, population, 200) for drop in (0.0, 0.1) for population in POPULATIONS
        ]
        lines.append(f"  {name:44s}" + "".join(f"{cell:16.1%}" for cell in cells))
    sizes = ", ".join(
        f"{n} examples {share(paired(), 0.1, 'mixed', n):.0%}" for n in (50, 100, 200, 400)
    )
    lines.append(f"  10 points lost, mixed examples, the gate's default catches: {sizes}")
    return "\n".join(lines)


def share(rule: Rule, drop: float, population: str, n: int, *, gates: int = GATES) -> float:
    """Share of gates that fail.

    Args:
        rule: how they decide.
        drop: true loss since the scores were recorded.
        population: a key of POPULATIONS.
        n: examples.
        gates: how many to draw.
    """
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(gates):
        then, now = _chances(rng, population, n, drop)
        scores = [
            (rng.random((runs, n)) < chances).mean(axis=0).tolist()
            for runs, chances in ((rule.then, then), (rule.now, now))
        ]
        failed += rule.fails(*scores)
    return failed / gates


def fast(gates: int = 300) -> str:
    """A table of what --mipro-fast saves, and how often its verdict is another one."""
    lines = [
        f"\n--mipro-fast, 200 mixed examples, threshold 0.7, recorded 0.8, {gates} gates each",
        f"  {'true score now':20s}{'calls':>10s}{'least - most':>18s}{'another verdict':>18s}",
    ]
    settings = Settings(threshold=0.7, threads=8)
    for mean in (0.95, 0.9, 0.8, "same", 0.75, 0.7, 0.65, 0.5, 0.3):
        shares, wrong = [], 0
        rng = np.random.default_rng(0)
        for gate in range(gates):
            drop = 0.0 if mean == "same" else MEAN - float(mean)
            chances, now = _chances(rng, "mixed", 200, drop)
            scores = (rng.random(200) < now).astype(float)
            then = (rng.random((RECORDED_REPEATS, 200)) < chances).mean(axis=0)
            recorded = _recorded(then.tolist(), RECORDED_REPEATS)
            if mean == "same":
                recorded = _recorded(scores.tolist())
            examples = [SimpleNamespace(n=n, labels=dict) for n in range(200)]
            stopped = run_fast(_answers(scores), examples, replace(settings, seed=gate), recorded)
            shares.append(1 - stopped.skipped / 200)
            wrong += stopped.verdict != decide(scores.tolist(), settings, recorded)
        lines.append(
            f"  {NAMES.get(mean, mean):<20}{np.mean(shares):10.0%}{min(shares):12.0%} - "
            f"{max(shares):.0%}{wrong / gates:15.1%}"
        )
    return "\n".join(lines)


def _answers(scores: Any) -> Callable[[Sequence[Any]], list[list[Outcome]]]:
    return lambda some: [[Outcome(float(scores[example.n])) for example in some]]


def _chances(rng: Any, population: str, n: int, drop: float) -> tuple[Any, Any]:
    """How likely each example is answered right, before and after a loss that costs ``drop`` on
    average and is the same for all on the logit scale."""
    weight = POPULATIONS[population]
    if weight is None:
        before = np.full(n, MEAN)
    else:
        before = rng.beta(MEAN * weight, (1 - MEAN) * weight, size=n).clip(1e-6, 1 - 1e-6)
    if not drop:
        return before, before
    goal = min(0.99, float(before.mean()) - drop)
    shift = brentq(lambda s: float(expit(logit(before) + s).mean()) - goal, -20, 20)
    return before, expit(logit(before) + shift)


def _recorded(scores: Sequence[float], runs: int = 1) -> Recorded:
    return Recorded(list(scores), runs)
