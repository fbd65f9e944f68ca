"""The search for the best combination."""

from __future__ import annotations

import pytest
from scripted import Pipeline, Sorter, exact, examples, hash_of, scripted_lm

from pytest_mipro.optimizers.mipro.search import SearchPlan, Space, search
from pytest_mipro.progress import Reporter
from pytest_mipro.prompts import Demo
from pytest_mipro.scoring import Scorer


def space_of(program, instructions, sets=1):
    demo_sets = [()] + [
        (Demo({"text": f"demo {n}"}, {"label": "good"}, "labeled"),) for n in range(1, sets)
    ]
    names = [name for name, _ in program.named_predictors()]
    return Space(dict.fromkeys(names, instructions), dict.fromkeys(names, demo_sets))


def obeys(quality):
    """A script whose accuracy is said by the instruction: 'way 7' is right for 70 per cent."""

    def script(asked):
        number = int(asked.field("text").split()[-1])
        digits = [int(word) for word in asked.instructions.split() if word.isdigit()]
        knows = hash_of(f"{number} {quality}") % 10 < (digits[0] if digits else 2)
        right = "good" if number % 2 == 0 else "bad"
        return {"label": right if knows else {"good": "bad", "bad": "good"}[right], "sure": "yes"}

    return script


def searched(
    space, *, script=None, program=None, trials=30, valset=40, seed=0, delay=None, threads=4
):
    lm = scripted_lm(script or obeys(1), delay=delay)
    with Scorer(program or Sorter(), exact, lm=lm, threads=threads) as scorer:
        result = search(
            scorer,
            space,
            examples(valset),
            SearchPlan(trials, 20, 3, seed),
            Reporter(None, lambda: 0),
        )
    return result, lm.engine


WAYS = ["Do it.", *(f"Do it in way {n} please." for n in range(1, 10))]


def test_it_finds_the_best_instruction():
    result, _ = searched(space_of(Sorter(), WAYS))
    assert result.prompts["sort"].instructions == WAYS[9]


def test_the_seed_prompt_is_trial_0():
    result, _ = searched(space_of(Sorter(), WAYS))
    assert set(result.trials[0].choice.values()) == {0}


def test_the_winner_is_never_worse_than_the_seed_prompt_on_the_validation_set():
    result, _ = searched(space_of(Sorter(), ["Do it in way 9 please.", *WAYS[:4]]))
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
def test_an_exhausted_space_ends_the_search(options):
    result, _ = searched(space_of(Sorter(), WAYS[:options]), trials=100)
    assert len(result.trials) == options


def test_no_configuration_is_tried_twice():
    result, _ = searched(space_of(Sorter(), WAYS, 3), trials=25)
    choices = [tuple(sorted(trial.choice.items())) for trial in result.trials]
    assert len(choices) == len(set(choices)) == 25


def test_losers_are_dropped_after_a_few_examples():
    result, engine = searched(
        space_of(
            Sorter(),
            [
                "Do it in way 9 please.",
                *["Do it in way 1 " + "very " * n + "well." for n in range(9)],
            ],
        )
    )
    assert sum(trial.dropped for trial in result.trials) >= 5
    assert len(engine.asked) < 10 * 20


def test_all_trials_meet_the_same_examples_in_the_same_order():
    _, engine = searched(space_of(Sorter(), WAYS), threads=1)
    met = {}
    for asked in engine.asked:
        met.setdefault(asked.instructions, []).append(asked.field("text"))
    longest = max(met.values(), key=len)
    for order in met.values():
        assert order == longest[: len(order)]


def test_the_finalists_are_scored_on_the_whole_validation_set():
    result, _ = searched(space_of(Sorter(), WAYS))
    assert result.best.full_score is not None
    assert result.best.full_score == max(t.full_score or 0 for t in result.trials)


def test_slow_and_fast_calls_give_the_same_result():
    space = space_of(Sorter(), WAYS, 3)
    first, _ = searched(space)
    second, _ = searched(space, delay=lambda asked: hash_of(asked.last) % 5 / 500)
    assert first == second


def test_the_pool_is_kept_busy_beyond_a_block():
    _, engine = searched(space_of(Sorter(), WAYS), threads=8, delay=lambda asked: 0.01)
    assert engine.most_in_flight == 8


@pytest.mark.parametrize("valset", [1, 2, 7])
def test_a_small_validation_set_works(valset):
    result, _ = searched(space_of(Sorter(), WAYS[:4]), valset=valset)
    assert result.best.full_score is not None
