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

from pytest_mipro.optimizers.mipro.demosets import DemoLimits, labeled_sets, spread
from pytest_mipro.outcome import Outcome, refuse_unscored
from pytest_mipro.prompts import (
    Demo,
    PredictorPrompt,
    prompts_of,
    with_prompts,
)
from pytest_mipro.scoring import Scorer

MAX_ROUNDS = 2


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

    def finish(self) -> Traces:
        """Wait for the traces.

        Raises:
            CannotJudge: the LM could not be asked for any example.
        """
        self._scorer.reporter.phase("bootstrap", self._wanted)
        outcomes: list[Outcome] = []
        for round_number in range(1, MAX_ROUNDS + 1):
            while self._running:
                outcomes.append(self._take())
                self._fill()
            if not self._shown or not self._more() or round_number == MAX_ROUNDS:
                break
            self._left = self._failed
            self._begin_round()
            self._fill()
        if outcomes and all(outcome.kind == "unreachable" for outcome in outcomes):
            refuse_unscored(outcomes)
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

    def _take(self) -> Outcome:
        example, run = self._running.popleft()
        outcome: Outcome = self._scorer.result(run)
        self._taken += 1
        self._asked.update(outcome.requests)
        if outcome.success:
            self._passed += 1
            _take(self._demos, self._teacher, outcome, self._rng)
            self._scorer.reporter.step()
        else:
            self._failed.append(example)
        return outcome


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
    chosen = {demo.inputs_key() for demo in spread(own[name], size, rng)}
    kept = dict(teacher.named_predictors())[name].signature.input_fields
    shown = [ex for ex in examples if _demo(ex, kept).inputs_key() in chosen]
    demos = labeled_sets(teacher, shown)
    prompts = {
        name: PredictorPrompt(prompt.instructions, tuple(spread(demos[name], size, rng)))
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
        if demo.key() not in {other.key() for other in demos[name]}:
            demos[name].append(demo)
