"""Accepting what prompts score today."""

from __future__ import annotations

import pytest
from prompted import Prompted, wrong_on
from scripted import answer_right, fails_with, learns_from_demos, scripted_lm

from pytest_mipro.errors import CannotJudge
from pytest_mipro.gate import accept
from pytest_mipro.lm.description import varies
from pytest_mipro.settings import Settings


@pytest.fixture
def prompted(tmp_path):
    return Prompted(tmp_path).optimized(scripted_lm(learns_from_demos))


def lm(temperature):
    made = scripted_lm(answer_right)
    made.kwargs["temperature"] = temperature
    return made


@pytest.mark.parametrize(
    ("settings", "temperature", "runs"),
    [
        ({}, 0.0, 1),
        ({}, 0.7, 3),
        ({}, None, 3),
        ({"repeats": 5}, 0.7, 5),
        ({"repeats": 2}, 0.0, 2),
        ({"recorded_repeats": 2}, 0.7, 2),
        ({"recorded_repeats": 4}, 0.0, 4),
        ({"recorded_repeats": 1, "repeats": 2}, 0.7, 2),
    ],
)
def test_runs_to_record_rest_on_the_temperature_unless_they_are_set(settings, temperature, runs):
    assert accept.runs_to_record(Settings(**settings), varies=varies(lm(temperature))) == runs


def test_how_the_prompts_came_about_stays_as_it_is(prompted):
    before = prompted.file
    prompted.gate(scripted_lm(wrong_on(2)), update_baseline=True, seed=9, auto="heavy")
    after = prompted.file
    assert after.scores.baseline == before.scores.baseline
    assert (after.fitted_with, after.search) == (before.fitted_with, before.search)
    assert after.predictors == before.predictors


def test_the_score_in_the_prompt_file_is_that_of_the_scores_file(prompted):
    prompted.gate(scripted_lm(wrong_on(5)), update_baseline=True)
    scores = [entry.score for entry in prompted.scores.scores.values()]
    compiled = prompted.file.scores.compiled
    assert (compiled.n, compiled.mean, compiled.split) == (20, 0.75, "test")
    assert sum(scores) / len(scores) == 0.75
    assert compiled.interval[0] < 0.75 < compiled.interval[1]


def test_an_example_is_recorded_with_its_worst_answer(prompted):
    calls = iter(range(10_000))

    def moody(asked):
        fields = answer_right(asked)
        return {**fields, "label": "bad"} if next(calls) < 20 else fields

    moody_lm = scripted_lm(moody)
    moody_lm.kwargs["temperature"] = 1.0
    prompted.gate(moody_lm, update_baseline=True)
    entries = prompted.scores.scores.values()
    assert {(round(entry.score, 2), entry.answer) for entry in entries} == {
        (0.67, "label=bad"),
        (1.0, "label=bad"),
    }


def test_the_sizes_of_the_split_are_those_of_today(prompted):
    prompted.gate(testset=prompted.prepared().task.split.test[:12], update_baseline=True)
    assert prompted.file.fitted_with["split"]["test"] == 12
    assert len(prompted.scores.scores) == 12


def test_an_outage_in_the_further_runs_writes_nothing(prompted):
    before = prompted.bytes()
    calls = iter(range(10_000))

    def goes_away(asked):
        if next(calls) >= 20:
            raise ConnectionError("gone")
        return answer_right(asked)

    away = scripted_lm(goes_away)
    away.kwargs["temperature"] = 1.0
    with pytest.raises(CannotJudge, match="could not be asked for 40 of 60 examples"):
        prompted.gate(away, update_baseline=True)
    assert prompted.bytes() == before


def test_accepting_the_same_again_changes_no_byte(prompted):
    prompted.gate(scripted_lm(answer_right), update_baseline=True)
    before = prompted.bytes()
    prompted.gate(scripted_lm(answer_right), update_baseline=True)
    assert prompted.bytes() == before


def test_an_outage_before_anything_was_scored_records_nothing(prompted):
    before = prompted.bytes()
    result = prompted.gate(
        scripted_lm(fails_with(lambda: ConnectionError("gone"))), update_baseline=True
    )
    assert (result.verdict, sum(result.causes.values())) == ("cannot judge", 20)
    assert prompted.bytes() == before
