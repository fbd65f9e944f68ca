"""``--mipro-fast``: score examples in a random order and stop as soon as the verdict is settled."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_mipro.gate.decision import (
    Recorded,
    Stopped,
    Verdict,
    decide,
    is_below,
    is_fall,
    verdict_of,
)
from pytest_mipro.gate.paired import is_binary, p_values
from pytest_mipro.outcome import Outcome, Scored
from pytest_mipro.settings import Settings

ERROR = 0.01  # probability, at a look, that all examples would give another verdict
LEAST = 20  # examples before the first look
LOOKS = 20
DRAWS = 4_000
WAYS = 16  # for a group of examples to come out, at most about so many are told apart
# Weight, in observations, of each way in which an example may come out before any was seen; little,
# as flips are rare where nothing changed.
PRIOR = 0.2


def run(
    score: Callable[[Sequence[Any]], Sequence[Sequence[Outcome]]],
    examples: Sequence[Any],
    settings: Settings,
    recorded: Recorded | None,
) -> Stopped:
    """Score examples until what is left would hardly change the verdict.

    Stochastic curtailment: a look is taken after each twentieth of the examples, and scoring
    stops when the predictive probability that all examples would give another verdict is at most
    1 %. The prediction is Bayesian: outcomes of the examples to come are drawn from a
    Dirichlet-multinomial with a weak prior, apart for examples that were right and that were wrong
    when scores were recorded (Spiegelhalter, Freedman and Blackburn 1986; Jennison and Turnbull,
    Group Sequential Methods, section 10.3). Several looks add up, so that another verdict than
    that of all examples is a little likelier than at one look: ``benchmarks`` measures how often.

    Args:
        score: runs some of the examples and returns a list of outcomes per repeat.
        examples: of the gate's split.
        settings: threshold, significance, seed and threads.
        recorded: the recorded score of each example.
    """
    order = np.random.default_rng(settings.seed).permutation(len(examples)).tolist()
    step = max(settings.threads, -(-len(examples) // LOOKS))
    done: dict[int, tuple[Outcome, ...]] = {}
    while True:
        batch = order[len(done) : max(LEAST, len(done) + step)]
        outcomes = score([examples[n] for n in batch])
        done |= zip(batch, zip(*outcomes, strict=True), strict=True)
        positions = sorted(done)
        scored, recorded_so_far = _so_far(done, examples, recorded)
        if len(done) == len(examples):
            verdict = verdict_of(scored, settings, recorded)
            return Stopped(scored, positions, recorded_so_far, verdict)
        likely, probability = predict(done, examples, settings, recorded)
        if likely is not None and probability >= 1.0 - ERROR:
            left = len(examples) - len(done)
            return Stopped(scored, positions, recorded_so_far, likely, probability, left)


def predict(
    done: dict[int, tuple[Outcome, ...]],
    examples: Sequence[Any],
    settings: Settings,
    recorded: Recorded | None,
) -> tuple[Verdict | None, float]:
    """The most likely verdict of all examples, and its probability, after some of them.

    The probability is 1 only where nothing that is left can change the verdict.
    """
    scores = _scores(done, examples)
    seen_scores = {n: score for n, score in scores.items() if score is not None}
    if not seen_scores:
        return None, 0.0
    drawn = shares(seen_scores, len(examples), settings, recorded)
    verdict = max(drawn, key=lambda name: drawn[name])
    if drawn[verdict] < 1.0:
        return verdict, drawn[verdict]
    # A higher score never makes a verdict worse: where both extremes agree, all between them do.
    certain = all(
        decide([seen_scores.get(n, left) for n in range(len(examples))], settings, recorded)
        == verdict
        for left in (0.0, 1.0)
    )
    return verdict, 1.0 if certain else 1.0 - 1.0 / DRAWS


def shares(
    seen_scores: dict[int, float], size: int, settings: Settings, recorded: Recorded | None
) -> dict[Verdict, float]:
    """How often each verdict comes when what the other examples score is drawn.

    Drawn examples are judged as scored ones are: the same inequalities, and p-values of the same
    test, see :func:`pytest_mipro.gate.paired.p_values`.

    Args:
        seen_scores: of the examples that were scored, by position.
        size: how many examples there are.
        settings: threshold, significance, allowed drop, repeats and seed.
        recorded: the recorded score of each example.
    """
    then: list[float | None] = list(recorded.scores) if recorded else [None] * size
    runs = (recorded.runs if recorded else 1, settings.repeats)
    random = np.random.default_rng(settings.seed)
    total: Any = np.full(DRAWS, math.fsum(seen_scores.values()))
    fallen: Any = np.zeros(DRAWS)
    pairs: list[tuple[float, float]] = []
    columns: list[Any] = [np.zeros((DRAWS, 0))]
    for group in _groups(seen_scores, then, runs):
        values, counts = group.draw(random)
        total = total + group.base + counts @ values
        if group.then is not None:
            fallen = fallen - counts @ values
            pairs += [(group.then, group.then + value) for value in values.tolist()]
            columns.append(counts)
    below = is_below(total, size, settings)
    compared = sum(score is not None for score in then)
    regressed = np.zeros(DRAWS, dtype=bool)
    if compared:
        shared = _pairs(seen_scores, then)
        drop = (math.fsum(a - b for a, b in shared) + fallen) / compared
        p_value: Any = np.ones(DRAWS)
        p_value[~below] = p_values(shared, pairs, np.hstack(columns)[~below], runs)
        regressed = ~below & is_fall(p_value, drop, settings)
    return {
        "below threshold": float(below.mean()),
        "regressed": float(regressed.mean()),
        "pass": float((~below & ~regressed).mean()),
    }


@dataclass(frozen=True)
class _Group:
    """Examples that are alike before they are scored.

    Attributes:
        then: what they scored when scores were recorded, of graded scores a middle one; None for
            examples that have no recorded score.
        base: sum of the recorded scores of those that are left.
        left: how many are not scored yet.
        weights: how far the others are above what they had scored, or of examples without a
            recorded score, what they score: how often each, with the prior.
    """

    then: float | None
    base: float
    left: int
    weights: Mapping[float, float]

    def draw(self, random: Any) -> tuple[Any, Any]:
        """Ways for an example to come out, and in each draw how many of those left do."""
        weights = _condensed(self.weights)
        chances = random.dirichlet(list(weights.values()), size=DRAWS)
        return np.array(list(weights)), random.multinomial(self.left, chances)


def _groups(
    seen_scores: Mapping[int, float], then: Sequence[float | None], runs: tuple[int, int]
) -> list[_Group]:
    """Groups of examples, those of which some are left.

    Binary scores: a group for each count of recorded runs that passed. Graded scores: two, below
    one half and not.
    """
    binary = is_binary(_pairs(seen_scores, then), runs) and is_binary(
        [(score, 0.0) for score in then if score is not None], runs
    )
    positions: dict[float | None, list[int]] = {}
    for n, score in enumerate(then):
        key = score if binary or score is None else float(score >= 0.5)
        positions.setdefault(key, []).append(n)
    groups = [_group(members, seen_scores, then, binary) for members in positions.values()]
    return [group for group in groups if group.left]


def _group(
    members: Sequence[int],
    seen_scores: Mapping[int, float],
    then: Sequence[float | None],
    binary: bool,
) -> _Group:
    left = [then[n] or 0.0 for n in members if n not in seen_scores]
    seen = Counter(seen_scores[n] - (then[n] or 0.0) for n in members if n in seen_scores)
    if then[members[0]] is None:
        return _Group(None, 0.0, len(left), _weights(seen, (0.0, 1.0)))
    middle = sorted(left)[len(left) // 2] if left else 0.0
    # Down to no marks and up to full marks; what is graded may also stay.
    ways = (-middle, 1.0 - middle) if binary else (-middle, 0.0, 1.0 - middle)
    return _Group(middle, math.fsum(left), len(left), _weights(seen, ways))


def _weights(seen: Mapping[float, int], ways: Sequence[float]) -> dict[float, float]:
    """What was seen, and a little of each way that there is."""
    weights: dict[float, float] = dict.fromkeys(ways, PRIOR)
    for value, count in seen.items():
        weights[value] = weights.get(value, 0.0) + count
    return weights


def _condensed(weights: Mapping[float, float]) -> dict[float, float]:
    """Weights of fewer values with the same mean: neighbours are merged, but not with 0."""
    if len(weights) <= WAYS:
        return dict(weights)
    merged = {0.0: weights[0.0]} if weights.get(0.0) else {}
    for some in (
        sorted(value for value in weights if value < 0),
        sorted(value for value in weights if value > 0),
    ):
        for part in np.array_split(some, min(len(some), WAYS // 2)) if some else ():
            weight = math.fsum(weights[value] for value in part)
            merged[math.fsum(value * weights[value] for value in part) / weight] = weight
    return merged


def _pairs(
    seen_scores: Mapping[int, float], then: Sequence[float | None]
) -> list[tuple[float, float]]:
    """Scores then and now of the examples that have both."""
    return [
        (score, seen_scores[n])
        for n, score in enumerate(then)
        if score is not None and n in seen_scores
    ]


def _so_far(
    done: dict[int, tuple[Outcome, ...]], examples: Sequence[Any], recorded: Recorded | None
) -> tuple[Scored, Recorded | None]:
    positions = sorted(done)
    runs = list(zip(*(done[n] for n in positions), strict=True))
    scored = Scored([examples[n] for n in positions], runs)
    return scored, None if recorded is None else recorded.at(positions)


def _scores(
    done: dict[int, tuple[Outcome, ...]], examples: Sequence[Any]
) -> dict[int, float | None]:
    scored, _ = _so_far(done, examples, None)
    return dict(zip(sorted(done), scored.scores(), strict=True))
