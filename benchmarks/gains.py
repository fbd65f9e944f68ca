"""True gain against LM calls, ours beside dspy.MIPROv2, on simulated tasks."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import multiprocessing
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partialmethod
from typing import Any
from unittest import mock

import dspy
import tqdm

from benchmarks.landscapes import SimulatedTask
from pytest_mipro import MIPRO

PEER = "dspy.MIPROv2 light"
VALIDATION = 100


@dataclass(frozen=True)
class Run:
    """One compilation.

    Attributes:
        who: the optimiser and its budget.
        landscape, steps, seed: the task.
        calls: LM calls, counted by the language model itself.
        baseline, true: true scores before and after.
        reported: the score that the optimiser says the winner has.
    """

    who: str
    landscape: str
    steps: int
    seed: int
    calls: int
    baseline: float
    true: float
    reported: float


def compile_peer(task: SimulatedTask, threads: int, seed: int) -> tuple[Any, float]:
    """Run dspy.MIPROv2 and return the program and the score it reports, 0 to 1."""
    optimizer = dspy.MIPROv2(
        metric=task.metric,
        auto="light",
        num_threads=threads,
        seed=seed + 1,
        prompt_model=dspy.settings.lm,
        task_model=dspy.settings.lm,
    )
    program = optimizer.compile(task.program(), trainset=task.trainset, valset=task.valset)
    return program, program.score / 100


def compile_ours(
    task: SimulatedTask, threads: int, seed: int, budget: str, sampler: str
) -> tuple[Any, float]:
    """Run pytest_mipro.MIPRO and return the program and the score it reports, 0 to 1."""
    optimizer = MIPRO(
        metric=task.metric, budget=budget, num_threads=threads, seed=seed, sampler=sampler
    )
    program = optimizer.compile(task.program(), trainset=task.trainset, valset=task.valset)
    return program, program.mipro.score


def measure(job: tuple[str, int, int, tuple[str, ...], tuple[str, ...], int]) -> list[Run]:
    """Run the peer and ours on one task, in this process."""
    landscape, steps, seed, budgets, samplers, threads = job
    contenders = [(PEER, "", "")] + [
        (f"ours {sampler} {budget}", budget, sampler) for sampler in samplers for budget in budgets
    ]
    runs = []
    for who, budget, sampler in contenders:
        task = SimulatedTask(seed, landscape, steps=steps, val=VALIDATION)
        with quiet(), dspy.context(lm=task.lm()):
            if who == PEER:
                program, reported = compile_peer(task, threads, seed)
            else:
                program, reported = compile_ours(task, threads, seed, budget, sampler)
        baseline, true = task.true_score(task.program()), task.true_score(program)
        calls = task.engine.calls
        runs.append(Run(who, landscape, steps, seed, calls, baseline, true, reported))
    return runs


@contextlib.contextmanager
def quiet() -> Any:
    """Without the peer's log lines and progress bars, and without DSPy's caches."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    logging.disable(logging.CRITICAL)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
        mock.patch("tqdm.tqdm.__init__", partialmethod(tqdm.tqdm.__init__, disable=True)),
    ):
        warnings.simplefilter("ignore")
        yield


def run_all(
    landscapes: Sequence[str],
    steps: Sequence[int],
    seeds: Sequence[int],
    budgets: Sequence[str],
    samplers: Sequence[str],
    *,
    processes: int,
    threads: int = 8,
) -> list[Run]:
    """Measure every combination, several tasks at a time."""
    jobs = [
        (landscape, count, seed, tuple(budgets), tuple(samplers), threads)
        for landscape in landscapes
        for count in steps
        for seed in seeds
    ]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        return [run for runs in pool.imap_unordered(measure, jobs) for run in runs]


def report(runs: Sequence[Run]) -> str:
    """A table per kind of task: calls, true gain, and what was reported less what is true."""
    lines = []
    kinds = sorted({(run.landscape, run.steps) for run in runs})
    for landscape, steps in kinds:
        here = [run for run in runs if (run.landscape, run.steps) == (landscape, steps)]
        peer = [run for run in here if run.who == PEER]
        baseline = statistics.mean(run.baseline for run in peer)
        lines.append(
            f"\n{landscape}, {steps} predictor{'s' if steps > 1 else ''}, {len(peer)} seeds, "
            f"true score at first {baseline:.3f}"
        )
        lines.append(
            f"  {'':32s}{'calls':>8s}{'of peer':>9s}{'true gain':>11s}{'(s.e.)':>9s}"
            f"{'of peer':>9s}{'reported - true':>17s}{'(sd)':>7s}"
        )
        lines += [_row(who, here, peer) for who in dict.fromkeys(run.who for run in here)]
    return "\n".join(lines)


def _row(who: str, here: Sequence[Run], peer: Sequence[Run]) -> str:
    runs = [run for run in here if run.who == who]
    calls = statistics.mean(run.calls for run in runs)
    gains = [run.true - run.baseline for run in runs]
    gain, peer_gain = statistics.mean(gains), statistics.mean(r.true - r.baseline for r in peer)
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    too_good = [100 * (run.reported - run.true) for run in runs]
    spread = statistics.stdev(too_good) if len(too_good) > 1 else 0.0
    share = calls / statistics.mean(run.calls for run in peer)
    return (
        f"  {who:32s}{calls:8.0f}{share:9.2f}{gain:11.3f}{error:9.3f}"
        f"{gain / peer_gain:9.2f}{statistics.mean(too_good):+13.1f} pts{spread:7.1f}"
    )
