"""Gates under xdist. Workers take seconds to start, so most of these tests share one run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from prompted import TRAIN, VAL, Prompted, python_path
from scripted import examples

CONFTEST = """
import os
from pathlib import Path
import pytest
from scripted import *

LM = scripted_lm(answer_right, delay=lambda asked: 0.02)

@pytest.fixture
def mipro_lm():
    yield LM
    path = Path("most_in_flight_" + os.environ["PYTEST_XDIST_WORKER"])
    path.write_text(str(LM.engine.most_in_flight))
"""

TEST = """
import pytest
from prompted import TRAIN, VAL
from scripted import *

AWAY = scripted_lm(fails_with(lambda: ConnectionError("gone")))

@pytest.mark.parametrize("name", ["one", "two", "three", "four"])
def test_sorter(mipro, name):
    mipro(Sorter(), metric=exact, trainset=TRAIN, valset=VAL, testset=examples(40, 200), name=name)

@pytest.mark.mipro(name="one")
@pytest.mark.parametrize("mipro_lm", [AWAY], ids=["away"])
def test_outage(mipro):
    mipro(Sorter(), metric=exact, trainset=TRAIN, valset=VAL, testset=examples(40, 200))

@pytest.mark.mipro(threshold=80)
def test_bad_marker(mipro):
    assert False, "not reached"
"""

NAMES = ("one", "two", "three", "four")


def pytest_run(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "--assert=plain"]
    run = subprocess.run(
        [*command, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
    )
    return run.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A project of four gates that pass, one that cannot judge, and a test with a bad marker."""
    folder = tmp_path_factory.mktemp("project")
    committed = Prompted(folder).optimized(trainset=TRAIN, valset=VAL, testset=examples(40, 200))
    for path in committed.location.prompt_file.parent.iterdir():
        for name in NAMES:
            path.with_name(path.name.replace("sorter", name)).write_bytes(path.read_bytes())
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TEST)
    return folder


@pytest.fixture(scope="module")
def shown(folder) -> str:
    """What two workers show that may have six calls under way."""
    return pytest_run(folder, "-n", "2", "--mipro-threads=6", "--junitxml=out.xml")


def test_the_gates_of_all_workers_are_in_one_summary(shown):
    assert len(re.findall(r"^name +verdict +score", shown, re.MULTILINE)) == 1
    for name in NAMES:
        assert len(re.findall(rf"^{name} +pass +1\.000", shown, re.MULTILINE)) == 1


def test_the_workers_share_the_calls_that_are_permitted(shown, folder):
    most = {path.name[-3:]: int(path.read_text()) for path in folder.glob("most_in_flight_*")}
    assert set(most) == {"gw0", "gw1"}
    assert set(most.values()) == {3}


def test_a_bad_marker_fails_its_test_and_not_the_run(shown):
    assert "threshold=80 in @pytest.mark.mipro on test_bad_marker" in shown
    assert re.search(r"1 failed, 4 passed, 1 error in", shown)


def test_a_gate_that_cannot_judge_is_an_error_of_its_test(shown):
    assert re.search(r"^ERROR test_it\.py::test_outage", shown, re.MULTILINE)
    assert re.search(r"^one +cannot judge", shown, re.MULTILINE)


def test_the_figures_of_each_gate_are_in_the_junit_xml(shown, folder):
    names = {p.get("name") for p in ET.parse(folder / "out.xml").iter("property")}
    assert {f"mipro.{name}.score" for name in NAMES} <= names


def test_a_plan_is_one_report(folder):
    shown = pytest_run(folder, "-n", "1", "--mipro-plan", "-k", "one")
    assert shown.count("mipro plan: one") == 1
