"""Wall clock and busy slots with simulated latency, ours beside dspy.MIPROv2."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import dspy

from benchmarks.gains import PEER, compile_ours, compile_peer, quiet
from benchmarks.landscapes import SimulatedTask, log_normal

LANDSCAPE = "additive"
MEAN_SECONDS = 0.1


def measure(threads: Sequence[int], budgets: Sequence[str], seeds: Sequence[int]) -> str:
    """A table: seconds, LM calls, share of the slots that were busy, and the true gain.

    Args:
        threads: numbers of LM calls under way at once.
        budgets: of ours, such as ``400calls``.
        seeds: of the tasks; figures are means over them.
    """
    lines = [
        f"\nwall clock, LM calls log-normal with a mean of {1000 * MEAN_SECONDS:.0f} ms, "
        f"2 predictors, {len(seeds)} seeds",
        f"  {'':24s}{'threads':>8s}{'seconds':>9s}{'of peer':>9s}{'calls':>7s}{'busy':>6s}"
        f"{'true gain':>11s}",
    ]
    for count in threads:
        peer_seconds = 0.0
        for who in (PEER, *budgets):
            runs = [_run(who, count, seed) for seed in seeds]
            columns = zip(*runs, strict=True)
            seconds, calls, busy, gain = (statistics.mean(column) for column in columns)
            peer_seconds = peer_seconds or seconds
            lines.append(
                f"  {who if who == PEER else f'ours {who}':24s}{count:8d}{seconds:9.1f}"
                f"{seconds / peer_seconds:9.2f}{calls:7.0f}{busy:6.2f}{gain:11.3f}"
            )
    return "\n".join(lines)


def _run(who: str, threads: int, seed: int) -> tuple[float, int, float, float]:
    task = SimulatedTask(seed, LANDSCAPE, delay=log_normal(MEAN_SECONDS))
    with quiet(), dspy.context(lm=task.lm()):
        began = time.perf_counter()
        if who == PEER:
            program, _ = compile_peer(task, threads, seed)
        else:
            program, _ = compile_ours(task, threads, seed, who, "outcomes")
        seconds = time.perf_counter() - began
    busy = task.engine.busy_seconds / (threads * seconds)
    gain = task.true_score(program) - task.true_score(task.program())
    return seconds, task.engine.calls, busy, gain
