"""What a gate costs in seconds: a replay, and pytest's start in a project without a mipro test."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = 1_000
ROOT = Path(__file__).resolve().parent.parent

_CONFTEST = """
import socket
import pytest
from benchmarks.landscapes import SimulatedTask

if {offline}:
    def refused(*args, **kwargs):
        raise AssertionError("a socket was opened")
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused

@pytest.fixture(scope="session")
def task():
    return SimulatedTask(0, "additive", steps=2, train=100, val={examples})

@pytest.fixture(scope="session")
def mipro_lm(task):
    return task.lm()
"""

_TEST = """
import pytest

@pytest.mark.mipro(threshold=0.2)
def test_chain(mipro, task):
    mipro(task.program(), metric=task.metric, trainset=task.trainset, valset=task.trainset,
          testset=task.valset)
"""


def replay(times: int = 5) -> str:
    """Wall clock of a replayed gate as a whole, from the command to its prompt."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "pytest.ini").write_text("[pytest]\n")
        (path / "test_chain.py").write_text(_TEST)
        (path / "conftest.py").write_text(_CONFTEST.format(offline=False, examples=EXAMPLES))
        _pytest(path, "--mipro-optimize", "--mipro-budget=100calls", "--mipro-record")
        recording = next(path.glob("prompts/*.responses.jsonl*"))
        size = recording.stat().st_size / 1e6
        asked = min(_timed(path) for _ in range(times))
        (path / "conftest.py").write_text(_CONFTEST.format(offline=True, examples=EXAMPLES))
        seconds = [_timed(path, "--mipro-replay") for _ in range(times)]
        bare = min(_timed(path, "-p", "no:mipro", "--collect-only") for _ in range(times))
    return (
        f"\nreplayed gate, {EXAMPLES:,} examples, 2 predictors, no socket opened, {times} times\n"
        f"  {statistics.median(seconds):.2f} s in all ({min(seconds):.2f} to {max(seconds):.2f}); "
        f"pytest alone with the task's imports {bare:.2f} s; recording {size:.2f} MB "
        f"({recording.name})\n"
        f"  the same gate asking a simulated LM that answers at once: {asked:.2f} s"
    )


def start_up(times: int = 40) -> str:
    """What the plugin adds to pytest in a project without a mipro test, in alternating runs.

    Processor time, as the machine's other work disturbs it less than the wall clock.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "pytest.ini").write_text("[pytest]\n")
        (path / "test_plain.py").write_text("def test_plain():\n    assert True\n")
        _timed(path)
        without, having = [], []
        for _ in range(times):
            without.append(_processor_seconds(path, "-p", "no:mipro"))
            having.append(_processor_seconds(path))
    added = [1000 * (b - a) for a, b in zip(without, having, strict=True)]
    return (
        f"\npytest in a project without a mipro test, {times} pairs of runs\n"
        f"  processor time without the plugin {1000 * statistics.median(without):.0f} ms, with it "
        f"{1000 * statistics.median(having):.0f} ms: {statistics.median(added):+.1f} ms (median of "
        f"the differences; the fastest of each: {1000 * (min(having) - min(without)):+.1f} ms), "
        f"ratio {statistics.median(having) / statistics.median(without):.3f}"
    )


def _timed(path: Path, *options: str) -> float:
    began = time.perf_counter()
    _pytest(path, *options)
    return time.perf_counter() - began


def _processor_seconds(path: Path, *options: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _pytest(path, *options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _pytest(path: Path, *options: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Compiled modules are cached, as on a user's machine.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        command, cwd=path, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
