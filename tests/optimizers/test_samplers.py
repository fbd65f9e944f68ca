"""What is proposed, given what was scored so far."""

from __future__ import annotations

import optuna
from racing import WAYS, space_of
from scripted import Pipeline, Sorter

from pytest_mipro.optimizers.mipro.samplers import OUTCOMES, OutcomeSampler, distributions


def proposals(space, outcomes, count=60, *, examples=20, finalists=(), open_to=lambda choice: True):
    """What is proposed after configurations scored so, nothing of it being answered."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    slots = distributions(space.slots())
    sampler = OutcomeSampler(space, examples, 0, open_to)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for choice, scores in outcomes:
        study.add_trial(
            optuna.trial.create_trial(
                params=choice,
                distributions=slots,
                value=sum(scores) / len(scores),
                user_attrs={OUTCOMES: list(enumerate(scores))},
            )
        )
    sampler.finalists = finalists
    return [dict(study.ask(slots).params) for _ in range(count)]


def test_new_configurations_often_keep_the_first_predictors_prompts_of_the_best():
    space = space_of(Pipeline(), WAYS)
    good, bad = (
        {slot: n if "instruction" in slot else 0 for slot in space.slots()} for n in (4, 7)
    )
    outcomes = [(good, [1.0, 0.0] * 10), (bad, [0.0] * 20)]
    new = [choice for choice in proposals(space, outcomes, 200) if choice != good]
    kept = [choice for choice in new if choice["sort.instruction"] == 4]
    alike = [choice for choice in new if choice["check.instruction"] == 4]
    assert len(kept) > 0.3 * len(new)
    assert len(kept) > len(alike) + 0.15 * len(new)


def test_a_configuration_that_lost_is_hardly_proposed_again():
    space = space_of(Sorter(), WAYS[:4])
    scores = {0: [0.0] * 20, 1: [1.0] * 20, 2: [0.0] * 20, 3: [1.0] * 20}
    outcomes = [({**space.seed(), "sort.instruction": n}, s) for n, s in scores.items()]
    found = [choice["sort.instruction"] for choice in proposals(space, outcomes)]
    assert set(found) == {1, 3}


def test_only_finalists_are_proposed_once_there_are_some():
    space = space_of(Sorter(), WAYS)
    outcomes = [({**space.seed(), "sort.instruction": n}, [1.0] * 10) for n in range(10)]
    finalists = [{**space.seed(), "sort.instruction": n} for n in (0, 7)]
    assert all(c in finalists for c in proposals(space, outcomes, finalists=finalists))


def test_a_finalist_that_met_all_examples_is_not_proposed():
    space = space_of(Sorter(), WAYS)
    outcomes = [({**space.seed(), "sort.instruction": n}, [1.0] * 10) for n in range(10)]
    finalists = [{**space.seed(), "sort.instruction": n} for n in (0, 7)]
    found = proposals(space, outcomes, finalists=finalists, open_to=lambda c: c != finalists[0])
    assert found == [finalists[1]] * len(found)
