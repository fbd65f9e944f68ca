"""A gate whose LM fails, over real HTTP: it never fails for it, and nothing is scored 0."""

from __future__ import annotations

import pytest
from scripted import Sorter, answer_right, exact, examples
from scripted_server import FAULTS, ScriptedServer

from pytest_mipro.files.committed import Committed
from pytest_mipro.files.location import Location
from pytest_mipro.files.promptfile import PromptFile, entries_of
from pytest_mipro.gate.accept import scores_of
from pytest_mipro.gate.judge import judge
from pytest_mipro.outcome import Scored
from pytest_mipro.prompts import prompts_of
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings
from pytest_mipro.task import make_task

SETTINGS = Settings(threshold=0.9)


@pytest.fixture(scope="module")
def task():
    return make_task(Sorter(), exact, examples(10), examples(10, 100), examples(100, 1000))


@pytest.fixture(scope="module")
def file():
    return PromptFile(name="x", program="x", predictors=entries_of(prompts_of(Sorter())))


@pytest.fixture(scope="module")
def recorded(task, file):
    with ScriptedServer(answer_right) as server, scorer_of(server, task) as scorer:
        outcomes = scorer.score(file.prompts(), task.split.test, kind="gate")
        return scores_of(task.facts, file, Scored(task.split.test, [outcomes]))


def scorer_of(server, task):
    return Scorer(task.program, task.metric, lm=server.lm(), threads=32)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_ends_in_pass_or_cannot_judge(task, file, recorded, tmp_path, fault, share):
    with ScriptedServer(fault=fault, share=share) as server, scorer_of(server, task) as scorer:
        committed = Committed(Location.at(tmp_path / "x.yaml"), file, recorded)
        result = judge(task, committed, SETTINGS, scorer).result
    failed = len(server.failed)
    assert failed >= 1
    assert result.verdict == ("pass" if failed <= 4 else "cannot judge")
    assert sum(score is None for score in result.scores) == failed
    assert {score for score in result.scores if score is not None} <= {1.0}
    assert sum(result.causes.values()) == failed
