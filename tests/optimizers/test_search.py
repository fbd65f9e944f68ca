"""The search for the best combination."""

from __future__ import annotations

import pytest
from racing import WAYS, obeys, space_of
from scripted import Pipeline, Sorter, exact, examples, hash_of, scripted_lm

from pytest_mipro.optimizers.mipro.race import Race, SearchPlan
from pytest_mipro.optimizers.mipro.search import in_order, search
from pytest_mipro.scoring import Scorer


def searched(
    space,
    *,
    script=None,
    program=None,
    calls=300,
    trials=None,
    valset=40,
    seed=0,
    delay=None,
    threads=4,
    sampler="outcomes",
):
    lm = scripted_lm(script or obeys(1), delay=delay)
    with Scorer(program or Sorter(), exact, lm=lm, threads=threads) as scorer:
        plan = SearchPlan(calls, seed, trials=trials, sampler=sampler)
        ordered = in_order(examples(valset), seed)
        result = search(Race(scorer, space, ordered, plan))
    return result, lm.engine


@pytest.fixture(params=["outcomes", "tpe"])
def sampler(request):
    return request.param


def test_it_finds_a_good_instruction(sampler):
    result, _ = searched(space_of(Sorter(), WAYS), sampler=sampler)
    assert result.prompts["sort"].instructions in WAYS[8:]


def test_the_seed_prompt_is_trial_0(sampler):
    result, _ = searched(space_of(Sorter(), WAYS), sampler=sampler)
    assert set(result.trials[0].choice.values()) == {0}


def test_a_seed_prompt_that_is_best_wins(sampler):
    space = space_of(Sorter(), ["Do it in way 9 please.", *WAYS[:4]])
    result, _ = searched(space, sampler=sampler)
    assert result.prompts["sort"].instructions == "Do it in way 9 please."


def test_slots_of_all_predictors_are_searched_jointly():
    result, _ = searched(space_of(Pipeline(), WAYS[:3], 2), program=Pipeline())
    assert set(result.best.choice) == {
        "sort.instruction",
        "sort.demos",
        "check.instruction",
        "check.demos",
    }


@pytest.mark.parametrize("options", [1, 2, 5])
def test_an_exhausted_space_ends_the_search(options, sampler):
    result, engine = searched(space_of(Sorter(), WAYS[:options]), calls=10_000, sampler=sampler)
    assert len(result.trials) == options
    assert len(engine.asked) <= options * 40


def test_a_configuration_is_one_trial_however_often_it_is_visited(sampler):
    result, _ = searched(space_of(Sorter(), WAYS, 3), sampler=sampler)
    choices = [tuple(sorted(trial.choice.items())) for trial in result.trials]
    assert len(choices) == len(set(choices))


def test_there_are_no_more_trials_than_were_asked_for(sampler):
    result, _ = searched(space_of(Sorter(), WAYS, 3), trials=6, sampler=sampler)
    assert len(result.trials) <= 6


@pytest.mark.parametrize("calls", [30, 100, 400])
@pytest.mark.parametrize("program", [Sorter, Pipeline])
def test_the_budget_is_exceeded_by_no_more_than_the_calls_in_flight(calls, program, sampler):
    space = space_of(program(), WAYS, 3)
    result, engine = searched(
        space, program=program(), calls=calls, valset=100, threads=4, sampler=sampler
    )
    assert result.calls == len(engine.asked) <= calls + 8
    assert result.calls >= 0.7 * calls


def test_losers_meet_fewer_examples_than_the_winner():
    losers = ["Do it in way 1 " + "very " * n + "well." for n in range(9)]
    space = space_of(Sorter(), ["Do it in way 9 please.", *losers])
    result, _ = searched(space, calls=160)
    met = sorted(t.examples for t in result.trials if t.number != result.best.number)
    assert met[len(met) // 2] <= 15 < 25 <= result.best.examples


def test_the_validation_examples_are_met_in_an_order_that_the_seed_shuffles():
    given = examples(40)
    orders = [[example.text for example in in_order(given, seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(example.text for example in given)
    assert orders[0] != [example.text for example in given]


def test_no_example_is_run_twice_with_the_same_prompts(sampler):
    _, engine = searched(space_of(Sorter(), WAYS, 3), sampler=sampler)
    seen = [(asked.system, tuple(asked.messages)) for asked in engine.asked]
    assert len(seen) == len(set(seen))


def test_slow_and_fast_calls_give_the_same_result(sampler):
    space = space_of(Pipeline(), WAYS, 3)
    first, _ = searched(space, program=Pipeline(), sampler=sampler)
    second, _ = searched(
        space,
        program=Pipeline(),
        delay=lambda asked: hash_of(asked.last) % 5 / 500,
        sampler=sampler,
    )
    assert first == second


def test_the_pool_is_kept_busy_and_not_overfilled():
    _, engine = searched(space_of(Sorter(), WAYS), threads=8, delay=lambda asked: 0.01)
    assert engine.most_in_flight == 8


@pytest.mark.parametrize("valset", [1, 2, 7])
def test_a_small_validation_set_works(valset, sampler):
    result, _ = searched(space_of(Sorter(), WAYS[:4]), valset=valset, sampler=sampler)
    assert 1 <= result.best.examples <= valset


def test_the_winners_score_is_an_estimate_that_is_not_the_best_of_many_means():
    alike = [f"Do it in way 5 {'very ' * n}well." for n in range(12)]
    errors = []
    for seed in range(6):
        result, _ = searched(space_of(Sorter(), alike), seed=seed, script=obeys(seed))
        errors.append(result.best.estimate - 0.5)
    assert abs(sum(errors) / len(errors)) < 0.1
