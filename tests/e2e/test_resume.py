"""An optimisation that is killed and run again."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from prompted import python_path

THREADS = 4
# Without what costs a start more than the rest of it.
LIGHT = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--assert=plain")
PYTEST = (sys.executable, "-m", "pytest", *LIGHT)

CONFTEST = """
import hashlib
import os
import pytest
from scripted import *

class Logging(ScriptedEngine):
    def complete(self, request):
        response = super().complete(request)
        asked = Asked(request)
        text = repr((asked.system, asked.messages))
        line = hashlib.sha256(text.encode()).hexdigest() + "\\n"
        with open("asked.log", "a") as log:
            log.write(line)
        return response

@pytest.fixture
def mipro_lm():
    engine = Logging(learns_from_demos, delay=lambda asked: 0.004)
    return scripted_lm().copy(engine=engine)
"""

TEST = """
import pytest
from scripted import *

@pytest.mark.mipro(threshold=0.3, budget="300calls", threads=4)
def test_pipeline(mipro):
    mipro(Pipeline(), metric=exact, trainset=examples(40), valset=examples(40, 100),
          testset=examples(20, 200))
"""


def command(*options: str) -> list[str]:
    return [*PYTEST, "--mipro-optimize", *options]


def project(path: Path) -> Path:
    path.mkdir()
    (path / "conftest.py").write_text(CONFTEST)
    (path / "test_it.py").write_text(TEST)
    (path / "pytest.ini").write_text("[pytest]\n")
    return path


def finished(path: Path, *options: str) -> str:
    done = subprocess.run(
        command(*options), cwd=path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def killed_after(path: Path, seconds: float) -> None:
    process = subprocess.Popen(
        command(), cwd=path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def prompts(path: Path) -> str:
    text = (path / "prompts" / "pipeline.yaml").read_text()
    return re.sub(r"seconds: .*", "", text)


def asked(path: Path) -> list[str]:
    return (path / "asked.log").read_text().split()


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("PYTHONPATH", python_path())
    return project(tmp_path / "whole"), project(tmp_path / "killed")


def test_a_killed_run_goes_on_where_it_was(paths: tuple[Path, Path]) -> None:
    whole, killed = paths
    began = time.monotonic()
    finished(whole)
    seconds = time.monotonic() - began
    rng = random.Random(4)
    kills = 20
    for _ in range(kills):
        killed_after(killed, rng.uniform(0.3, 0.9) * seconds)
    output = finished(killed)
    assert prompts(killed) == prompts(whole)
    repeated = sum(count - 1 for count in Counter(asked(killed)).values())
    assert repeated <= kills * THREADS
    assert set(asked(killed)) == set(asked(whole))
    assert "were answered by what an earlier run paid for" in output


def test_fresh_asks_anew(paths: tuple[Path, Path]) -> None:
    path, _ = paths
    finished(path)
    once = len(asked(path))
    finished(path)
    assert len(asked(path)) == once
    finished(path, "--mipro-fresh")
    assert len(asked(path)) == 2 * once


def test_a_gate_asks_the_lm_of_today(paths: tuple[Path, Path]) -> None:
    path, _ = paths
    finished(path)
    once = len(asked(path))
    subprocess.run(PYTEST, cwd=path, capture_output=True, check=True)
    assert len(asked(path)) == once + 2 * 20
