"""Configurations that race: what they meet, who is in the final, and what the winner scores."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import optuna
import pytest
from racing import WAYS, obeys, space_of
from scripted import Sorter, exact, examples, scripted_lm

from pytest_mipro.optimizers.mipro.race import Race, SearchPlan
from pytest_mipro.optimizers.mipro.search import in_order, search
from pytest_mipro.scoring import Scorer


class NotingScorer(Scorer):
    """Notes which examples it is asked to run, in this order, by instruction."""

    def submit(self, prompts, example, **options):
        self.met.setdefault(prompts["sort"].instructions, []).append(example.text)
        return super().submit(prompts, example, **options)


class NotingRace(Race):
    """Notes who is chosen as a finalist, whether explorations are under way then, and how many
    examples the first of them let each configuration meet."""

    def choose_finalists(self):
        if not self.chosen:
            self.met = [runner.submitted for runner in self.runners.values()]
        super().choose_finalists()
        self.chosen.append((self.exploring, list(self.model.finalists)))


@dataclass
class Raced:
    result: Any
    met: dict[str, list[str]]
    chosen: list[tuple[bool, list[dict[str, int]]]]
    phases: dict[str, int]
    explored: list[int]


def raced(space, *, script=None, calls=120, valset=40, threads=4, sampler="outcomes") -> Raced:
    lm = scripted_lm(script or obeys(1))
    phases: dict[str, int] = {}

    def note(now):
        phases.setdefault(now.phase, race.spent)

    with NotingScorer(Sorter(), exact, lm=lm, threads=threads, listener=note) as scorer:
        scorer.met = {}
        race = NotingRace(
            scorer,
            space,
            in_order(examples(valset), seed=0),
            SearchPlan(calls, seed=0, sampler=sampler),
        )
        race.chosen = []
        result = search(race)
    return Raced(result, scorer.met, race.chosen, phases, race.met)


@pytest.fixture(params=["outcomes", "tpe"])
def sampler(request):
    return request.param


def test_configurations_meet_the_examples_in_the_same_order(sampler):
    met = raced(space_of(Sorter(), WAYS), calls=200, sampler=sampler).met
    longest = max(met.values(), key=len)
    assert len(met) > 3
    assert [texts for texts in met.values() if texts != longest[: len(texts)]] == []


def test_no_configuration_meets_an_example_twice(sampler):
    met = raced(space_of(Sorter(), WAYS), sampler=sampler).met
    assert all(len(texts) == len(set(texts)) for texts in met.values())


def test_the_seed_prompt_is_among_the_finalists_though_it_is_the_worst():
    space = space_of(Sorter(), ["Do it in way 0.", *WAYS[4:]])
    found = raced(space)
    assert found.chosen
    assert all(space.seed() in finalists for _, finalists in found.chosen)


def test_the_finalists_are_few_and_the_winner_is_one_of_them():
    found = raced(space_of(Sorter(), WAYS, 3), calls=200)
    _, finalists = found.chosen[-1]
    assert 2 <= len(finalists) <= 9
    assert dict(found.result.best.choice) in finalists


def test_finalists_are_chosen_while_explorations_are_under_way_and_again_when_they_are_in():
    chosen = raced(space_of(Sorter(), WAYS)).chosen
    assert [exploring for exploring, _ in chosen] == [True, False]


def test_the_finalists_get_three_tenths_of_the_calls(sampler):
    found = raced(space_of(Sorter(), WAYS, 3), calls=200, threads=2, sampler=sampler)
    assert 0.6 * 200 <= found.phases["finalists"] <= 0.7 * 200
    assert found.result.calls > 0.9 * 200


def easy_until(position):
    """Right on the first examples that are met, and wrong on all others."""
    known = {example.text for example in in_order(examples(40), seed=0)[:position]}

    def script(asked):
        right = "good" if int(asked.field("text").split()[-1]) % 2 == 0 else "bad"
        wrong = "bad" if right == "good" else "good"
        return {"label": right if asked.field("text") in known else wrong}

    return script


def hard_until(position):
    easy = easy_until(position)
    return lambda asked: {"label": {"good": "bad", "bad": "good"}[easy(asked)["label"]]}


@pytest.mark.parametrize(("script", "direction"), [(easy_until(20), -1), (hard_until(20), 1)])
def test_the_winners_score_is_corrected_by_what_the_finalists_scored_since(script, direction):
    result = raced(space_of(Sorter(), WAYS[:3]), script=script, calls=80).result
    assert direction * (result.score - result.best.estimate) > 0.03


def test_what_falls_behind_is_dropped_by_tpe_after_a_few_examples():
    losers = ["Do it in way 1 " + "very " * n + "well." for n in range(9)]
    space = space_of(Sorter(), ["Do it in way 9 please.", *losers])
    first, second, *others = raced(space, calls=200, threads=1, sampler="tpe").explored
    assert first == second == 40  # until one has met all examples, there is no leader
    assert len(others) > 5
    assert max(others) <= 10


def test_optuna_says_nothing_of_its_studies(sampler, caplog, monkeypatch):
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    monkeypatch.setattr(logging.getLogger("optuna"), "handlers", [caplog.handler])
    try:
        raced(space_of(Sorter(), WAYS[:2]), calls=30, sampler=sampler)
    finally:
        optuna.logging.set_verbosity(before)
    assert [record.getMessage() for record in caplog.records] == []
