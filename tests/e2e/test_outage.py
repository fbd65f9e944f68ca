"""A gate whose LM fails, over real HTTP: it never fails for it, and nothing is scored 0."""

from __future__ import annotations

import pytest
from scripted import Sorter, answer_right, exact, examples
from scripted_server import FAULTS, ScriptedServer

from pytest_mipro.baseline import scores_of
from pytest_mipro.decision import Scored
from pytest_mipro.gate import judge
from pytest_mipro.promptfile import PromptFile, entries_of
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
        return scores_of(task, file, Scored(task.split.test, [outcomes]), scorer)


def scorer_of(server, task):
    return Scorer(task.program, task.metric, lm=server.lm(), threads=32)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_ends_in_pass_or_cannot_judge(task, file, recorded, tmp_path, fault, share):
    with ScriptedServer(fault=fault, share=share) as server, scorer_of(server, task) as scorer:
        result, _ = judge(
            task, file, tmp_path / "x.yaml", SETTINGS, scorer, name="x", recorded=recorded
        )
    failed = len(server.failed)
    assert failed >= 1
    assert result.verdict == ("pass" if failed <= 4 else "cannot judge")
    assert sum(score is None for score in result.scores) == failed
    assert {score for score in result.scores if score is not None} <= {1.0}
    assert sum(result.causes.values()) == failed
