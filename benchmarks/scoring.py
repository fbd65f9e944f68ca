"""What scoring an example costs beside the program itself, ours beside dspy.Evaluate."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

import dspy

from benchmarks.gains import quiet
from pytest_mipro import MIPRO
from pytest_mipro.prompts import prompts_of
from pytest_mipro.scoring import Scorer


class Echo(dspy.Module):  # type: ignore[misc]
    """A program that takes next to no time."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("text -> label")

    def forward(self, text: str) -> Any:
        return dspy.Prediction(label=text)


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    """Whether the label is right."""
    return bool(example.label == prediction.label)


def overhead(sizes: Sequence[int], threads: int = 8) -> str:
    """A table: microseconds an example for the bare program, ours and dspy.Evaluate."""
    lines = [
        f"\nmicroseconds an example, {threads} threads, a program without LM calls (included)",
        f"  {'examples':>8s}{'bare loop':>11s}{'ours':>8s}{'Evaluate':>10s}{'of peer':>9s}",
    ]
    _times(100, threads)  # the first round pays for imports
    for size in sizes:
        bare, ours, theirs = (1e6 * seconds / size for seconds in _times(size, threads))
        lines.append(f"  {size:8,d}{bare:11.0f}{ours:8.0f}{theirs:10.0f}{ours / theirs:9.2f}")
    return "\n".join(lines)


def _times(size: int, threads: int) -> tuple[float, float, float]:
    """Seconds for a bare loop, ours, and dspy.Evaluate."""
    examples, program = _examples(size), Echo()
    bare = _seconds(lambda: [exact(e, program(**e.inputs())) for e in examples])
    with Scorer(program, exact, threads=threads) as scorer:
        prompts = prompts_of(program)
        ours = _seconds(lambda: scorer.score(prompts, examples, kind="search"))
    with quiet():
        evaluate = dspy.Evaluate(devset=examples, metric=exact, num_threads=threads)
        theirs = _seconds(lambda: evaluate(program))
    return bare, ours, theirs


def memory(size: int = 20_000) -> str:
    """Peak memory of scoring and of a whole compilation, beyond the data."""
    from benchmarks.landscapes import SimulatedTask

    lines = [f"\npeak memory beyond the data, {size:,} validation examples (tracemalloc)"]
    examples = _examples(size)

    def score() -> None:
        with Scorer(Echo(), exact, threads=8) as scorer:
            scorer.score(prompts_of(scorer.program), examples, kind="search")

    def evaluate() -> None:
        with quiet():
            dspy.Evaluate(devset=examples[:5000], metric=exact, num_threads=8)(Echo())

    task = SimulatedTask(0, "additive", val=size)

    def compile_ours() -> None:
        with quiet(), dspy.context(lm=task.lm()):
            optimizer = MIPRO(metric=task.metric, budget="2478calls", num_threads=8, seed=0)
            optimizer.compile(task.program(), trainset=task.trainset, valset=task.valset)

    def gate() -> None:
        with quiet(), Scorer(task.program(), task.metric, lm=task.lm(), threads=8) as scorer:
            scorer.score(prompts_of(scorer.program), task.valset, kind="gate")

    for name, work in (
        ("scoring, no LM", score),
        ("dspy.Evaluate, no LM, first 5,000", evaluate),
        ("MIPRO.compile, 2,478 calls", compile_ours),
        ("scoring all, 2 LM calls each", gate),
    ):
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        lines.append(f"  {name:36s}{peak:8.0f} MiB")
    return "\n".join(lines)


def _examples(size: int) -> list[Any]:
    return [dspy.Example(text=str(n), label=str(n)).with_inputs("text") for n in range(size)]


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
