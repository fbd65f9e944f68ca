"""Phase 3: find the best combination of instruction and demo set for every predictor, jointly.

An Optuna study over one categorical variable per slot (Opsahl-Ong et al. 2024, section 3.3).
Configurations meet the same validation examples in the same order, a few at a time, and every
outcome is kept: what wins is decided by a model of all outcomes (``effects.py``), not by the best
of many means. Most of the budget explores, by the sampler that was asked for; the rest goes to the
configurations that the model thinks best, until it is spent.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import optuna

from pytest_mipro.optimizers.mipro import samplers
from pytest_mipro.optimizers.mipro.race import Race, Runner, SearchResult, Visit

DROP_ERRORS = 0.5  # standard errors behind the leader at which TPE's trials are dropped
PRIOR_VARIANCE = 0.25  # of a coin toss
REPEATS_ALLOWED = 40  # proposals in a row that may have no examples left


def in_order(valset: Sequence[Any], seed: int) -> list[Any]:
    """The validation examples in the order in which every configuration meets them."""
    examples = list(valset)
    random.Random(f"order-{seed}").shuffle(examples)
    return examples


def search(race: Race) -> SearchResult:
    """Run a race to its end and return the configuration with the best estimate.

    Raises:
        CannotJudge: the LM could not be asked for a whole block of examples.
    """
    plan = race.plan
    race.reporter.phase("search", plan.calls)
    if plan.sampler == "tpe":
        _explore_by_tpe(race)
    else:
        _explore_by_outcomes(race)
    race.reporter.phase("finalists", plan.calls)
    race.choose_finalists()
    _explore_by_outcomes(race)
    return race.result()


def _explore_by_outcomes(race: Race) -> None:
    """Spend this part's budget on what our sampler proposes, a block of examples at a time."""
    repeats = 0
    if not race.runners:
        race.study.enqueue_trial(race.space.seed())
    while True:
        while repeats < REPEATS_ALLOWED and (runs := race.affordable()) > 0:
            trial = race.study.ask(race.distributions)
            visited = race.open_to(trial.params) and race.visit(dict(trial.params), trial, runs)
            if not visited:
                race.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            repeats = 0 if visited else repeats + 1
        if race.has_explored() or not race.running:
            return
        visit = race.take()
        visit.trial.set_user_attr(samplers.OUTCOMES, race.outcomes(visit))
        race.study.tell(visit.trial, visit.runner.mean())
        if race.explored and visit.exploring and not race.exploring:
            race.choose_finalists()


def _explore_by_tpe(race: Race) -> None:
    """Spend this part's budget on what TPE proposes, dropping what falls behind the leader."""
    study = optuna.create_study(
        direction="maximize", sampler=samplers.tpe(race.plan.seed, startup=10)
    )
    study.enqueue_trial(race.space.seed())
    leader: Runner | None = None
    repeats = 0
    while True:
        while repeats < REPEATS_ALLOWED and (runs := race.affordable()) > 0:
            trial = study.ask(race.distributions)
            new = race.open_to(trial.params) and race.key(trial.params) not in race.runners
            if not new or not race.visit(dict(trial.params), trial, runs):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            repeats = 0 if new else repeats + 1
        if not race.running:
            return
        visit = race.take()
        runner, trial = visit.runner, visit.trial
        _add(race, visit)
        trial.report(runner.mean(), step=len(runner.outcomes))
        behind = leader is not None and _behind(runner, leader)
        runs = race.affordable()
        if not behind and runs > 0 and race.visit(runner.choice, trial, runs):
            continue
        if not behind and (leader is None or runner.mean() > leader.mean()):
            leader = runner
        # TPE ranks a pruned trial by its last report, behind those that went further.
        pruned = optuna.trial.TrialState.PRUNED
        study.tell(trial, state=pruned) if behind else study.tell(trial, runner.mean())


def _add(race: Race, visit: Visit) -> None:
    """Let the model hear of a visit that another sampler proposed."""
    race.study.add_trial(
        optuna.trial.create_trial(
            params=visit.runner.choice,
            distributions=race.distributions,
            value=visit.runner.mean(),
            user_attrs={samplers.OUTCOMES: race.outcomes(visit)},
        )
    )


def _behind(runner: Runner, leader: Runner) -> bool:
    """Whether a trial is half a standard error behind the leader, where both have been.

    Paired one-sided test of the mean difference, with the variance of the differences shrunk
    towards that of two coin tosses (one pseudo-observation of each), so that a few equal
    differences do not make it look certain. Half a standard error keeps a trial that is as good as
    the leader with a probability of about 2 in 3 at each block: eager on purpose, as the sampler
    comes back to options that look good, and the model remembers what the dropped ones scored.
    """
    pairs = zip(runner.outcomes, leader.outcomes, strict=False)
    differences = [
        mine.score - best.score
        for mine, best in pairs
        if mine.score is not None and best.score is not None
    ]
    if not differences or runner is leader:
        return False
    n = len(differences)
    mean = math.fsum(differences) / n
    squares = math.fsum((difference - mean) ** 2 for difference in differences)
    variance = (squares + 2 * PRIOR_VARIANCE) / (n + 1)
    return mean < -DROP_ERRORS * math.sqrt(variance / n)
