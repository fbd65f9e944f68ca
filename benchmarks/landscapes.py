"""Simulated tasks whose true scores are known, for any program and any prompts.

A program of one to four steps answers questions about items. How often a step is right depends
on its instruction, on the demos in its prompt, on how hard the item is, and on whether the step
before was right; all by hidden numbers that are drawn by hashing the texts, so that whatever an
optimiser comes up with has a quality of its own. An engine for ``dspy.LM`` plays the language
model; it never fails and answers the same request alike.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import dspy
from dspy import lm15

LABELS = ("alpha", "beta", "gamma", "delta")
ITEMS = re.compile(r"item (\d+)")
HARDNESS = 1.3  # standard deviation of how hard items are, on the logit scale
SHARED_LUCK = 0.5  # share of answers whose luck is the item's, whatever the prompt
POPULATION = 2000


@dataclass(frozen=True)
class Landscape:
    """How much the parts of a prompt matter, as standard deviations on the logit scale."""

    instruction: float
    demo: float
    interaction: float = 0.0
    noise: float = 0.0  # share of the metric's verdicts that are turned round


LANDSCAPES = {
    "additive": Landscape(0.45, 0.45),
    "interacting": Landscape(0.3, 0.3, interaction=0.6),
    "near-identical": Landscape(0.12, 0.12, interaction=0.1),
    "noisy metric": Landscape(0.45, 0.45, interaction=0.1, noise=0.15),
}

Demos = tuple[tuple[int, bool | None], ...]
"""Per demo the item, and whether its answer is right; None where it has no answer."""


def uniform(*parts: Any) -> float:
    """A number from 0 to 1 that depends on its arguments alone."""
    text = "\x1f".join(map(str, parts)).encode()
    return (int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") + 0.5) / 2**64


def normal(*parts: Any) -> float:
    """A standard normal number that depends on its arguments alone."""
    return NormalDist().inv_cdf(uniform(*parts))


class SimulatedTask:
    """A program, a metric, data, a language model and the truth about them.

    Args:
        seed: everything hidden is drawn from it.
        landscape: a key of LANDSCAPES.
        steps: predictors of the program.
        delay: seconds that an LM call takes, as a function of a random.Random; none without it.
    """

    def __init__(
        self,
        seed: int,
        landscape: str,
        *,
        steps: int = 2,
        train: int = 100,
        val: int = 100,
        delay: Callable[[random.Random], float] | None = None,
    ) -> None:
        self.seed, self.steps = f"{landscape}-{seed}-{steps}", steps
        self.landscape = LANDSCAPES[landscape]
        self.engine = SimulatedEngine(self, delay)
        self.trainset = [self._example(n) for n in range(train)]
        self.valset = [self._example(n) for n in range(10_000, 10_000 + val)]
        self._effects: dict[Any, float] = {}

    def program(self) -> Chain:
        """A fresh program."""
        return Chain(self.steps)

    def lm(self) -> Any:
        """The task's language model; how often it was asked is in ``engine``."""
        return dspy.LM("simulated/lm", engine=self.engine, cache=False, temperature=0.0)

    def metric(self, example: Any, prediction: Any, trace: Any = None) -> bool:
        """Whether the last step is right, now and then turned round in a noisy landscape."""
        right = bool(example.answer == prediction.answer)
        luck = uniform(self.seed, "metric", example.item, prediction.answer)
        return right != (luck < self.landscape.noise)

    def true_score(self, program: Any) -> float:
        """The expected score of a program over all items that there could be."""
        effects = [
            self.effect(step, predictor.signature.instructions, _demos_of(self, step, predictor))
            for step, predictor in enumerate(program.predictors())
        ]
        total = 0.0
        for n in range(POPULATION):
            hardness = HARDNESS * NormalDist().inv_cdf((n + 0.5) / POPULATION)
            right = 1.0
            for step, effect in enumerate(effects):
                after_right = _logistic(self._base(step, True) + effect - hardness)
                after_wrong = _logistic(self._base(step, False) + effect - hardness)
                right = right * after_right + (1 - right) * after_wrong
            total += right
        mean, noise = total / POPULATION, self.landscape.noise
        return mean * (1 - noise) + (1 - mean) * noise

    def effect(self, step: int, instruction: str, demos: Demos) -> float:
        """What a prompt does for its step, on the logit scale."""
        key = (step, instruction, demos)
        if key not in self._effects:
            shape, place = self.landscape, (self.seed, step)
            own = instruction != Chain.instruction(step)
            value = shape.instruction * normal(*place, "instruction", instruction) if own else 0.0
            if demos:
                worth = sum(self._worth(step, *demo) for demo in demos) / len(demos)
                whole = 0.5 * shape.demo * normal(*place, "set", sorted(demos, key=str))
                value += 0.25 + 1.2 * worth + whole
            if own or demos:
                pair = normal(*place, "pair", instruction, sorted(demos, key=str))
                value += shape.interaction * pair
            self._effects[key] = value
        return self._effects[key]

    def right(self, step: int, item: int, effect: float, prompt: str, after_right: bool) -> bool:
        """Whether a step answers right."""
        shared = uniform(self.seed, step, item, "kind") < SHARED_LUCK
        luck = uniform(self.seed, step, item, "luck" if shared else prompt)
        hardness = HARDNESS * normal(self.seed, item, "hardness")
        return luck < _logistic(self._base(step, after_right) + effect - hardness)

    def answer(self, step: int, item: int) -> str:
        """The right answer of a step."""
        return LABELS[int(4 * uniform(self.seed, step, item, "answer"))]

    def _worth(self, step: int, item: int, right: bool | None) -> float:
        worth = 1.3 * self.landscape.demo * normal(self.seed, step, "demo", item)
        return worth if right else (0.5 * worth if right is None else worth - 0.5)

    def _base(self, step: int, after_right: bool) -> float:
        if step == 0:
            return -0.35 + (0.6 if self.steps > 1 else 0.0)
        return 0.55 if after_right else -1.55

    def _example(self, number: int) -> Any:
        answer = self.answer(self.steps - 1, number)
        return dspy.Example(item=f"item {number}", answer=answer).with_inputs("item")


class Chain(dspy.Module):  # type: ignore[misc]
    """Steps that build on one another; the last one's output is the answer."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.names = [f"finding{n}" for n in range(steps - 1)] + ["answer"]
        for step, output in enumerate(self.names):
            before = self.names[step - 1 : step] if step else []
            setattr(self, f"step{step}", dspy.Predict(_signature(step, tuple(before), output)))

    @staticmethod
    def instruction(step: int) -> str:
        """What the program says at first."""
        return f"Find out number {step} about the item."

    def forward(self, item: str) -> Any:
        found: dict[str, str] = {}
        for step, output in enumerate(self.names):
            before = {self.names[step - 1]: found[self.names[step - 1]]} if step else {}
            found[output] = getattr(self, f"step{step}")(item=item, **before)[output]
        return dspy.Prediction(**found)


class SimulatedEngine:
    """The language model: answers for the task, and writes instructions when asked to."""

    def __init__(self, task: SimulatedTask, delay: Callable[[random.Random], float] | None) -> None:
        self._task, self._delay = task, delay
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._in_flight, self._since = 0, 0.0
        self.calls = 0
        self.busy_seconds = 0.0  # summed over calls in flight

    def complete(self, request: Any) -> Any:
        """Answer a request in the format of DSPy's ChatAdapter."""
        with self._lock:
            self.calls += 1
            seconds = self._delay(self._random) if self._delay else 0.0
        began = time.perf_counter()
        if seconds:
            time.sleep(seconds)
        fields = self._fields(request)
        text = "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items())
        with self._lock:
            self.busy_seconds += time.perf_counter() - began
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant(text + "\n\n[[ ## completed ## ]]"),
            finish_reason="stop",
            usage=lm15.Usage(input_tokens=10, output_tokens=2),
        )

    def _fields(self, request: Any) -> dict[str, str]:
        texts = [message.text or "" for message in request.messages]
        system = request.system if isinstance(request.system, str) else request.system[0].text
        wanted = re.findall(r"`\[\[ ## (\w+) ## \]\]`", texts[-1].split("Respond with")[-1])
        wanted = [name for name in wanted if name != "completed"]
        if len(wanted) == 1 and (wanted[0] == "answer" or wanted[0].startswith("finding")):
            return {wanted[0]: self._answer(wanted[0], system, texts)}
        digest = hashlib.blake2b("\n".join([system, *texts]).encode(), digest_size=6).hexdigest()
        return dict.fromkeys(wanted, f"Look at the item in the way of {digest}.")

    def _answer(self, output: str, system: str, texts: Sequence[str]) -> str:
        task = self._task
        step = task.steps - 1 if output == "answer" else int(output.removeprefix("finding"))
        instruction = system.split("your objective is:")[-1].strip()
        demos = tuple(
            (_item(asked), _judged(task, step, _item(asked), answered, output))
            for asked, answered in zip(texts[:-1:2], texts[1:-1:2], strict=True)
        )
        item, after_right = _item(texts[-1]), True
        if step:
            before = re.search(rf"## finding{step - 1} ## \]\]\n(\w+)", texts[-1])
            after_right = bool(before and before[1] == task.answer(step - 1, item))
        effect = task.effect(step, instruction, demos)
        prompt = f"{instruction}|{demos}"
        right = task.answer(step, item)
        if task.right(step, item, effect, prompt, after_right):
            return right
        return LABELS[(LABELS.index(right) + 1) % len(LABELS)]


def log_normal(mean: float, sigma: float = 0.5) -> Callable[[random.Random], float]:
    """Latencies with a mean, in seconds, and a long tail."""
    return lambda rng: rng.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)


@lru_cache(maxsize=64)
def _signature(step: int, before: tuple[str, ...], output: str) -> Any:
    fields: dict[str, Any] = {name: (str, dspy.InputField()) for name in ("item", *before)}
    fields[output] = (str, dspy.OutputField())
    return dspy.Signature(fields, Chain.instruction(step))


def _demos_of(task: SimulatedTask, step: int, predictor: Any) -> Demos:
    output = next(iter(predictor.signature.output_fields))
    return tuple(
        (
            _item(demo["item"]),
            demo[output] == task.answer(step, _item(demo["item"])) if output in demo else None,
        )
        for demo in predictor.demos
    )


def _judged(task: SimulatedTask, step: int, item: int, answered: str, output: str) -> bool | None:
    found = re.search(rf"\[\[ ## {output} ## \]\]\n(\w+)", answered)
    if found is None or found[1] not in LABELS:
        return None
    return found[1] == task.answer(step, item)


def _item(text: str) -> int:
    found = ITEMS.search(text)
    return int(found[1]) if found else -1


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))
