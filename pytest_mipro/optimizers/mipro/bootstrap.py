"""Phase 1: demonstrations that the program itself made, and that led to a good end result.

After MIPRO (Opsahl-Ong et al. 2024, "Optimizing Instructions and Demonstrations for
Multi-Stage Language Model Programs", section 3.1): run the program on training inputs; when the
end result passes the metric, every predictor in the trace gets a demo of what it did. Nothing
but the end result is supervised.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pytest_mipro.outcome import Outcome, unreachable
from pytest_mipro.progress import Reporter
from pytest_mipro.prompts import (
    Demo,
    PredictorPrompt,
    Prompts,
    labeled_demos,
    prompts_of,
    with_prompts,
)
from pytest_mipro.scoring import Scorer, result_of

MAX_ROUNDS = 2
MAX_ATTEMPTS_PER_SET = 20

DemoSet = tuple[Demo, ...]


@dataclass(frozen=True)
class DemoLimits:
    """How many demos of each origin a demo set may hold."""

    bootstrapped: int
    labeled: int

    @property
    def zero_shot(self) -> bool:
        """Whether no demos are wanted at all."""
        return self.bootstrapped == 0 and self.labeled == 0


@dataclass(frozen=True)
class Traces:
    """What bootstrapping found.

    Attributes:
        demos: per predictor, one per passing trace that it took part in.
        calls: LM calls that it took.
    """

    demos: Mapping[str, Sequence[Demo]]
    calls: int


class Bootstrap:
    """Runs the teacher over training inputs until there are enough passing traces.

    Where the examples have labels for every field of a predictor, the teacher gets labeled demos,
    as in dspy.BootstrapFewShot: others in the second round, which asks again for the examples
    that did not pass. An example whose label it was shown is not asked for in that round. As many
    runs as the pool can take are under way, and their results are taken in the order of the
    examples, so that what is found depends on the seed and the number of threads but not on the
    order in which calls return.

    Args:
        scorer: runs programs; its metric decides which traces pass.
        trainset: the training examples.
        teacher: the program that shows how it is done.
        limits: how many demos a set may hold.
        wanted: passing traces after which to stop.
        most_calls: LM calls after which to stop.
        seed: randomness.
    """

    def __init__(
        self,
        scorer: Scorer,
        trainset: Sequence[Any],
        *,
        teacher: Any,
        limits: DemoLimits,
        wanted: int,
        most_calls: int,
        seed: int,
    ) -> None:
        self._scorer, self._teacher, self._limits = scorer, teacher, limits
        self._wanted = wanted if limits.bootstrapped else 0
        self._most_calls = most_calls
        self._rng = random.Random(f"bootstrap-{seed}")
        self._left = list(trainset)
        self._rng.shuffle(self._left)
        self._demos: dict[str, list[Demo]] = {n: [] for n, _ in scorer.program.named_predictors()}
        self._running: deque[tuple[Any, Future[Outcome]]] = deque()
        self._asked: set[str] = set()
        self._passed, self._taken = 0, 0
        self._begin_round()
        self._fill()

    def finish(self, reporter: Reporter) -> Traces:
        """Wait for the traces.

        Raises:
            CannotJudge: the LM could not be asked for any example.
        """
        reporter.phase("bootstrap", self._wanted)
        outcomes: list[Outcome] = []
        for round_number in range(1, MAX_ROUNDS + 1):
            while self._running:
                outcomes.append(self._take(reporter))
                self._fill()
            if not self._shown or not self._more() or round_number == MAX_ROUNDS:
                break
            self._left = self._failed
            self._begin_round()
            self._fill()
        if outcomes and all(outcome.kind == "unreachable" for outcome in outcomes):
            raise unreachable(outcomes)
        return Traces(self._demos, len(self._asked))

    def _begin_round(self) -> None:
        self._program, self._shown = _with_labeled(
            self._teacher, self._left, self._limits.labeled, self._rng
        )
        self._failed = [ex for ex in self._left if any(ex is s for s in self._shown)]
        self._left = [ex for ex in self._left if not any(ex is s for s in self._shown)]

    def _more(self) -> bool:
        return self._passed < self._wanted and len(self._asked) < self._most_calls

    def _fill(self) -> None:
        """Start runs: as many as are likely to be needed, and the pool can take."""
        width = 2 * self._scorer.threads
        each = len(self._asked) / self._taken if self._taken else len(self._demos)
        affordable = math.ceil((self._most_calls - len(self._asked)) / max(each, 1.0))
        most = min(width, 2 * (self._wanted - self._passed), affordable)
        while self._more() and self._left and len(self._running) < most:
            example = self._left.pop(0)
            run = self._scorer.traced(self._program, example, kind="bootstrap")
            self._running.append((example, run))

    def _take(self, reporter: Reporter) -> Outcome:
        example, run = self._running.popleft()
        outcome: Outcome = result_of(run, reporter.tick)
        self._taken += 1
        self._asked.update(outcome.requests)
        if outcome.success:
            self._passed += 1
            _take(self._demos, self._teacher, outcome, self._rng)
            reporter.step()
        else:
            self._failed.append(example)
        return outcome


def labeled_sets(program: Any, trainset: Sequence[Any]) -> dict[str, list[Demo]]:
    """Per predictor, the training examples that hold all of its fields, as demos."""
    return {
        name: labeled_demos(predictor.signature, trainset)
        for name, predictor in program.named_predictors()
    }


def demo_sets(
    seed_prompts: Prompts,
    bootstrapped: Mapping[str, Sequence[Demo]],
    labeled: Mapping[str, Sequence[Demo]],
    *,
    limits: DemoLimits,
    count: int,
    seed: int,
) -> dict[str, list[DemoSet]]:
    """Build several distinct demo sets per predictor.

    Set 0 is what the program came with, so that the seed prompt is in the space; then come the
    empty set, a labeled-only set, and mixtures of random size, every second one even in its
    output values. A demo never stands twice in a set, nor a set twice in the list.

    Returns:
        Per predictor at most ``count`` sets, fewer where there are not so many different ones,
        and at least set 0.
    """
    sets: dict[str, list[DemoSet]] = {}
    for name, prompt in seed_prompts.items():
        rng = random.Random(f"demos-{seed}-{name}")
        found: list[DemoSet] = [prompt.demos]
        seen = {_identity(prompt.demos)}

        def add(
            demos: Sequence[Demo],
            found: list[DemoSet] = found,
            seen: set[tuple[str, ...]] = seen,
        ) -> None:
            if len(found) < count and _identity(demos) not in seen:
                seen.add(_identity(demos))
                found.append(tuple(demos))

        if not limits.zero_shot:
            own, given = list(bootstrapped.get(name, ())), list(labeled.get(name, ()))
            add(())
            if limits.labeled:
                add(_spread(given, limits.labeled, rng))
            for attempt in range(count * MAX_ATTEMPTS_PER_SET):
                if len(found) >= count:
                    break
                add(_mixture(own, given, limits, rng, even=attempt % 2 == 0))
        sets[name] = found
    return sets


def _mixture(
    own: Sequence[Demo],
    given: Sequence[Demo],
    limits: DemoLimits,
    rng: random.Random,
    *,
    even: bool,
) -> list[Demo]:
    """Some bootstrapped demos, filled up with labeled ones to a size drawn at random.

    More demos are not always better, above all for small models, so the size is searched too.
    """
    size = rng.randint(1, max(limits.bootstrapped, limits.labeled))
    most = min(limits.bootstrapped, len(own), size)
    chosen = _sample(own, rng.randint(min(1, most), most), rng)
    taken = {_inputs(demo) for demo in chosen}
    rest = [demo for demo in given if _inputs(demo) not in taken]
    wanted = max(0, min(size, limits.labeled) - len(chosen))
    if even:
        return _in_turn([*chosen, *_balancing(chosen, rest, wanted, rng)], rng)
    chosen += _sample(rest, wanted, rng)
    rng.shuffle(chosen)
    return chosen


def _sample(demos: Sequence[Demo], size: int, rng: random.Random) -> list[Demo]:
    return rng.sample(list(demos), min(size, len(demos)))


def _spread(demos: Sequence[Demo], size: int, rng: random.Random) -> list[Demo]:
    """Sample with each output value as often as the others, as far as there are enough."""
    return _in_turn(_balancing([], demos, size, rng), rng)


def _balancing(
    chosen: Sequence[Demo], rest: Sequence[Demo], size: int, rng: random.Random
) -> list[Demo]:
    """So many of the rest, each of the output value that is rarest so far."""
    groups = _by_outputs(_sample(rest, len(rest), rng))
    counts = dict.fromkeys(groups, 0)
    for demo in chosen:
        key = _outputs(demo)
        counts[key] = counts.get(key, 0) + 1
    picked: list[Demo] = []
    while len(picked) < size and any(groups.values()):
        key = min((key for key in groups if groups[key]), key=lambda key: counts[key])
        picked.append(groups[key].pop())
        counts[key] += 1
    return picked


def _in_turn(demos: Sequence[Demo], rng: random.Random) -> list[Demo]:
    """Order demos so that the output values take turns.

    A language model leans towards the answers it saw most, and last (Zhao et al. 2021,
    "Calibrate Before Use", section 4).
    """
    groups = _by_outputs(_sample(demos, len(demos), rng))
    ordered: list[Demo] = []
    while groups:
        for key in list(groups):
            ordered.append(groups[key].pop())
            if not groups[key]:
                del groups[key]
    return ordered


def _by_outputs(demos: Sequence[Demo]) -> dict[str, list[Demo]]:
    groups: dict[str, list[Demo]] = {}
    for demo in demos:
        groups.setdefault(_outputs(demo), []).append(demo)
    return groups


def _outputs(demo: Demo) -> str:
    return Demo({}, demo.outputs, "labeled").key()


def _identity(demos: Sequence[Demo]) -> tuple[str, ...]:
    return tuple(sorted(demo.key() for demo in demos))


def _inputs(demo: Demo) -> str:
    return Demo(demo.inputs, {}, "labeled").key()


def _with_labeled(
    teacher: Any, examples: Sequence[Any], size: int, rng: random.Random
) -> tuple[Any, list[Any]]:
    """The teacher with labeled demos, and the examples that they are.

    A teacher that brings demos keeps them, and so does one whose predictors have fields that the
    examples do not label. At most a quarter of the examples is used up.
    """
    seed = prompts_of(teacher)
    own = labeled_sets(teacher, examples)
    size = min(size, len(examples) // 4)
    if size == 0 or any(prompt.demos for prompt in seed.values()) or not any(own.values()):
        return teacher, []
    name = max(own, key=lambda name: len(own[name]))
    chosen = {_inputs(demo) for demo in _spread(own[name], size, rng)}
    kept = dict(teacher.named_predictors())[name].signature.input_fields
    shown = [ex for ex in examples if _inputs(_demo(ex, kept)) in chosen]
    demos = labeled_sets(teacher, shown)
    prompts = {
        name: PredictorPrompt(prompt.instructions, tuple(_spread(demos[name], size, rng)))
        for name, prompt in seed.items()
    }
    return with_prompts(teacher, prompts), shown


def _demo(example: Any, inputs: Any) -> Demo:
    return Demo({k: example[k] for k in inputs if k in example}, {}, "labeled")


def _take(demos: dict[str, list[Demo]], teacher: Any, outcome: Outcome, rng: random.Random) -> None:
    """Give every predictor of a passing trace one demo; of repeated calls, one by chance."""
    steps: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for name, inputs, outputs in outcome.trace:
        steps.setdefault(name, []).append((inputs, outputs))
    signatures = {name: predictor.signature for name, predictor in teacher.named_predictors()}
    for name, calls in steps.items():
        if name not in demos:
            continue
        inputs, outputs = rng.choice(calls)
        signature = signatures[name]
        demo = Demo(
            {k: inputs[k] for k in signature.input_fields if k in inputs},
            {k: outputs[k] for k in signature.output_fields if k in outputs},
            "bootstrapped",
        )
        if demo.key() not in {known.key() for known in demos[name]}:
            demos[name].append(demo)
