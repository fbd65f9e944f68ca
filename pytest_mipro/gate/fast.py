"""``--mipro-fast``: score examples in a random order and stop as soon as the verdict is settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pytest_mipro.gate.decision import Recorded, Stopped, Verdict, decide, verdict_of
from pytest_mipro.outcome import Outcome, Scored
from pytest_mipro.settings import Settings

ERROR = 0.01  # probability, at a look, that all examples would give another verdict
LEAST = 20  # examples before the first look
LOOKS = 20
DRAWS = 10_000
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
        scored, known = _so_far(done, examples, recorded)
        if len(done) == len(examples):
            return Stopped(scored, sorted(done), known, verdict_of(scored, settings, recorded))
        verdict, probability = predict(done, examples, settings, recorded)
        if verdict is not None and probability >= 1.0 - ERROR:
            return Stopped(
                scored, sorted(done), known, verdict, probability, len(examples) - len(done)
            )


def predict(
    done: dict[int, tuple[Outcome, ...]],
    examples: Sequence[Any],
    settings: Settings,
    recorded: Recorded | None,
) -> tuple[Verdict | None, float]:
    """The most likely verdict of all examples, and its probability, after some of them."""
    scores = _scores(done, examples)
    known = {n: score for n, score in scores.items() if score is not None}
    if not known:
        return None, 0.0
    bounds = [
        decide([known.get(n, missing) for n in range(len(examples))], settings, recorded)
        for missing in (0.0, 1.0)
    ]
    if bounds[0] == bounds[1]:
        return bounds[0], 1.0
    drawn = _Drawn(known, len(examples), settings, recorded)
    shares = drawn.shares()
    verdict = max(shares, key=lambda name: shares[name])
    return verdict, shares[verdict]


class _Drawn:
    """Totals over all examples, in many draws of what the rest may score."""

    def __init__(
        self, known: dict[int, float], size: int, settings: Settings, recorded: Recorded | None
    ) -> None:
        self._settings = settings
        self._size = size
        self._random = np.random.default_rng(settings.seed)
        self._total: Any = np.full(DRAWS, float(sum(known.values())))
        self._worse: Any = np.zeros(DRAWS)
        self._better: Any = np.zeros(DRAWS)
        self._sum: Any = np.zeros(DRAWS)
        self._squares: Any = np.zeros(DRAWS)
        then: list[float | None] = list(recorded.scores) if recorded else [None] * size
        self._compared = any(score is not None for score in then)
        self._binary = all(
            score in (0, 1) for score in (*known.values(), *then) if score is not None
        )
        for kind in ("new", "low", "high"):
            self._add(kind, known, [n for n in range(size) if _kind(then[n]) == kind], then)

    def shares(self) -> dict[Verdict, float]:
        """How often each verdict was drawn."""
        below = self._total < (self._settings.threshold or 0.0) * self._size - 1e-9
        regressed = np.zeros(DRAWS, dtype=bool)
        if self._compared:
            drop = -self._sum / self._size
            regressed = (self._p_values() < self._settings.significance) & (
                drop > self._settings.max_drop + 1e-9
            )
        regressed &= ~below
        return {
            "below threshold": float(below.mean()),
            "regressed": float(regressed.mean()),
            "pass": float((~below & ~regressed).mean()),
        }

    def _p_values(self) -> Any:
        from scipy.special import bdtrc, ndtr

        if self._binary:
            changed = self._worse + self._better
            # At least so many worse among those that changed; bdtrc counts from one more.
            tail = bdtrc(self._worse - 1, np.maximum(changed, 1).astype(int), 0.5)
            return np.where(self._worse > 0, tail, 1.0)
        spread = np.sqrt(self._squares)
        return np.where(spread > 0, ndtr(self._sum / np.where(spread > 0, spread, 1.0)), 1.0)

    def _add(
        self, kind: str, known: dict[int, float], group: list[int], then: list[float | None]
    ) -> None:
        """Add the examples of one kind: differences to what they scored, or scores of new ones."""
        seen = Counter(known[n] - (then[n] or 0.0) for n in group if n in known)
        left = [n for n in group if n not in known]
        self._total = self._total + sum(then[n] or 0.0 for n in left)
        # The way that the prior adds to what was seen: a flip, or of a new example, full marks.
        prior = Counter({0.0: PRIOR, {"new": 1.0, "low": 1.0, "high": -1.0}[kind]: PRIOR})
        weights = prior + seen
        values: Any = np.array(list(weights))
        if left:
            shares = self._random.dirichlet(list(weights.values()), size=DRAWS)
            counts: Any = self._random.multinomial(len(left), shares)
        else:
            counts = np.zeros((DRAWS, len(values)))
        self._total = self._total + counts @ values
        if kind != "new":
            counts = counts + np.array([seen[value] for value in weights])
            self._worse = self._worse + counts @ (values < 0)
            self._better = self._better + counts @ (values > 0)
            self._sum = self._sum + counts @ values
            self._squares = self._squares + counts @ values**2


def _kind(then: float | None) -> str:
    if then is None:
        return "new"
    return "high" if then >= 0.5 else "low"


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
