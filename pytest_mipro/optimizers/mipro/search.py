"""Phase 3: find the best combination of instruction and demo set for every predictor, jointly.

Bayesian optimisation with Optuna's tree-structured Parzen estimator over one categorical
variable per slot (Opsahl-Ong et al. 2024, section 3.3), with racing (Maron and Moore 1994;
Birattari et al. 2002): every trial meets the same validation examples in the same order, block
by block, and is dropped when it falls clearly behind the best one on the same examples. What is
saved on losers pays for more trials. The best go on to the whole validation set.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import optuna

from pytest_mipro.optimizers.mipro import effects
from pytest_mipro.optimizers.mipro.bootstrap import DemoSet
from pytest_mipro.progress import Reporter
from pytest_mipro.prompts import PredictorPrompt, Prompts, digest
from pytest_mipro.scoring import Outcome, Scorer, means_over, result_of

# How many times in a row the sampler may repeat itself before the rest of the space is drawn
# from at random, and how many more before the space counts as exhausted.
REPEATS_ALLOWED = 20

BLOCK = 5  # examples between two decisions of the race
DROP_ERRORS = 0.5  # standard errors behind the leader at which a trial is dropped
FINAL_BLOCK = 20
ENUMERATED = 20_000  # configurations up to which the whole space is looked at
FINAL_ERRORS = 2.0  # the same for a finalist
PRIOR_VARIANCE = 0.25  # of a coin toss


@dataclass(frozen=True)
class Space:
    """The instructions and demo sets to choose from, per predictor; index 0 is the seed prompt."""

    instructions: Mapping[str, Sequence[str]]
    demo_sets: Mapping[str, Sequence[DemoSet]]

    @property
    def size(self) -> int:
        """Number of different configurations."""
        return math.prod(
            len(options)
            for slots in (self.instructions, self.demo_sets)
            for options in slots.values()
        )

    def distributions(self) -> dict[str, int]:
        """Number of options per slot, in a fixed order."""
        slots = {}
        for name in self.instructions:
            slots[f"{name}.instruction"] = len(self.instructions[name])
            slots[f"{name}.demos"] = len(self.demo_sets[name])
        return slots

    def prompts(self, choice: Mapping[str, int]) -> Prompts:
        """The prompts that a choice of options stands for."""
        return {
            name: PredictorPrompt(
                self.instructions[name][choice[f"{name}.instruction"]],
                tuple(self.demo_sets[name][choice[f"{name}.demos"]]),
            )
            for name in self.instructions
        }


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: from 0, in the order in which they were decided.
        choice: the option of each slot, by ``predictor.instruction`` and ``predictor.demos``.
        score: mean over the examples that it met.
        examples: how many those were.
        dropped: whether the race ended early for it.
        full_score: mean over the whole validation set, None unless it ran over all of it.
    """

    number: int
    choice: Mapping[str, int]
    score: float
    examples: int
    dropped: bool = False
    full_score: float | None = None


@dataclass(frozen=True)
class SearchResult:
    """What the search found."""

    best: TrialRecord
    prompts: Prompts
    trials: tuple[TrialRecord, ...]


@dataclass(frozen=True)
class SearchPlan:
    """How long to search.

    Attributes:
        trials: at most this many different configurations.
        minibatch: validation examples of a trial that is not dropped.
        finalists: configurations that get the whole validation set, beside the seed prompt.
        seed: randomness of the sampler and of the order of the examples.
    """

    trials: int
    minibatch: int
    finalists: int
    seed: int


def search(
    scorer: Scorer,
    space: Space,
    valset: Sequence[Any],
    plan: SearchPlan,
    reporter: Reporter,
) -> SearchResult:
    """Search the space and return the configuration with the best mean on the validation set.

    The seed prompt is trial 0 and always a finalist, so that the winner is never worse than it
    on the validation set. Of equal means the earlier trial wins.

    Raises:
        CannotJudge: the LM could not be asked for a whole block of examples.
    """
    examples = list(valset)
    random.Random(f"order-{plan.seed}").shuffle(examples)
    runners = _race(scorer, space, examples[: plan.minibatch], plan, reporter)
    return _final(scorer, space, examples, runners, plan, reporter)


@dataclass
class _Runner:
    """A trial under way."""

    number: int
    choice: dict[str, int]
    prompts: Prompts
    outcomes: list[Outcome]
    block: list[Future[Outcome]]
    dropped: bool = False

    def mean(self) -> float:
        return means_over(self.outcomes)

    def record(self) -> TrialRecord:
        return TrialRecord(self.number, self.choice, self.mean(), len(self.outcomes), self.dropped)


def _race(
    scorer: Scorer,
    space: Space,
    minibatch: Sequence[Any],
    plan: SearchPlan,
    reporter: Reporter,
) -> list[_Runner]:
    total = min(plan.trials, space.size)
    reporter.phase("search", total)
    trials = _Trials(space, plan.seed, total)
    ended: list[_Runner] = []
    leader: _Runner | None = None
    running: deque[_Runner] = deque()
    # Several trials are under way so that the pool never idles at the end of a block. Their
    # number is fixed by the pool's width, and decisions are taken in turn, so neither depends
    # on which call returned first.
    width = max(2, math.ceil(2 * scorer.threads / BLOCK))

    def submit_block(runner: _Runner) -> None:
        start = len(runner.outcomes)
        block = minibatch[start : start + BLOCK]
        runner.block = [scorer.submit(runner.prompts, ex, kind="search") for ex in block]

    while True:
        while len(running) < width and (asked := trials.ask()) is not None:
            number, choice = asked
            running.append(_Runner(number, choice, space.prompts(choice), [], []))
            submit_block(running[-1])
        if not running:
            return sorted(ended, key=lambda runner: runner.number)
        runner = running.popleft()
        runner.outcomes += [result_of(future, reporter.tick) for future in runner.block]
        finished = len(runner.outcomes) >= len(minibatch)
        runner.dropped = (
            not finished and leader is not None and _behind(runner, leader, DROP_ERRORS)
        )
        if not finished and not runner.dropped:
            submit_block(runner)
            running.append(runner)
            continue
        score = runner.mean()
        trials.tell(runner.number, score, len(runner.outcomes), dropped=runner.dropped)
        if finished and (leader is None or score > leader.mean()):
            leader = runner
        ended.append(runner)
        reporter.step(score, leader.mean() if leader else None)


def _behind(runner: _Runner, leader: _Runner, errors: float) -> bool:
    """Whether a trial is more than so many standard errors behind, where both have been.

    Paired one-sided test of the mean difference, with the variance of the differences shrunk
    towards that of two coin tosses (one pseudo-observation of each), so that a few equal
    differences do not make it look certain. Half a standard error keeps a trial that is as good as
    the leader with a probability of about 2 in 3 at each block: eager on purpose, as the sampler
    comes back to options that look good. Two keep it with about 49 in 50.
    """
    pairs = zip(runner.outcomes, leader.outcomes, strict=False)
    differences = [
        mine.score - best.score
        for mine, best in pairs
        if mine.score is not None and best.score is not None
    ]
    if not differences:
        return False
    n = len(differences)
    mean = math.fsum(differences) / n
    squares = math.fsum((difference - mean) ** 2 for difference in differences)
    variance = (squares + 2 * PRIOR_VARIANCE) / (n + 1)
    return mean < -errors * math.sqrt(variance / n)


def _final(
    scorer: Scorer,
    space: Space,
    examples: Sequence[Any],
    ended: Sequence[_Runner],
    plan: SearchPlan,
    reporter: Reporter,
) -> SearchResult:
    """Run the finalists over the validation set side by side; who falls far behind stops there."""
    runners = _finalists(space, ended, plan)
    reporter.phase("finalists", len(examples))
    everyone, leader = list(runners), runners[0]
    for start in range(0, len(examples), FINAL_BLOCK):
        block = examples[start : start + FINAL_BLOCK]
        for runner in runners:
            runner.block = [scorer.submit(runner.prompts, ex, kind="search") for ex in block]
        for runner in runners:
            runner.outcomes += [result_of(future, reporter.tick) for future in runner.block]
        leader = min(runners, key=lambda r: (-r.mean(), r.number))
        for runner in runners:
            runner.dropped = runner is not leader and _behind(runner, leader, FINAL_ERRORS)
        runners = [runner for runner in runners if not runner.dropped]
        for _ in block:
            reporter.step(leader.mean(), leader.mean())
    full = {runner.number: runner.mean() for runner in runners}
    met = {runner.number for runner in ended}
    trials = tuple(
        replace(runner.record(), full_score=full.get(runner.number))
        for runner in (*ended, *(r for r in everyone if r.number not in met))
    )
    best = next(trial for trial in trials if trial.number == leader.number)
    return SearchResult(best, leader.prompts, trials)


def _finalists(space: Space, ended: Sequence[_Runner], plan: SearchPlan) -> list[_Runner]:
    """The seed prompt, the best of the race, and what its outcomes say is best of the whole space.

    The last may be configurations that did not run: good options that did not meet.
    """
    runs = [effects.Run(r.choice, [o.score for o in r.outcomes]) for r in ended]
    fitted = effects.fit(runs, space.distributions())
    if space.size <= ENUMERATED:
        choices = list(_choices(space.distributions()))
    else:
        choices = [r.choice for r in ended]
        choices.append({slot: int(e.argmax()) for slot, e in fitted.options.items()})
    expected = sorted(choices, key=lambda choice: -fitted.estimate(choice))
    ranked = sorted(ended, key=lambda r: (r.dropped, -r.mean(), r.number))
    wanted = [ended[0].choice, *(r.choice for r in ranked[: plan.finalists // 2])]
    numbers = {digest(r.prompts): r.number for r in ended}
    finalists: dict[str, _Runner] = {}
    for choice in (*wanted, *expected):
        if len(finalists) > plan.finalists:
            break
        prompts = space.prompts(choice)
        key = digest(prompts)
        if key not in finalists:
            number = numbers.setdefault(key, len(numbers))
            finalists[key] = _Runner(number, dict(choice), prompts, [], [])
    return list(finalists.values())


class _Trials:
    """An Optuna study that hands out each configuration once, in an order that can be repeated."""

    def __init__(self, space: Space, seed: int, total: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._total = total
        self._seen: set[str] = set()
        self._distributions: dict[str, optuna.distributions.BaseDistribution] = {
            slot: optuna.distributions.CategoricalDistribution(tuple(range(options)))
            for slot, options in space.distributions().items()
        }
        sampler = optuna.samplers.TPESampler(
            seed=seed,
            multivariate=True,
            constant_liar=True,
            n_startup_trials=max(4, total // 3),
        )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._study.enqueue_trial(dict.fromkeys(self._distributions, 0))
        self._rng = random.Random(f"trials-{seed}")
        self._asked: dict[int, Any] = {}

    def ask(self) -> tuple[int, dict[str, int]] | None:
        """The next configuration that has not been handed out, or None when there are enough."""
        if len(self._asked) >= self._total:
            return None
        for attempt in range(2 * REPEATS_ALLOWED):
            if attempt >= REPEATS_ALLOWED:
                self._study.enqueue_trial(self._at_random())
            trial = self._study.ask(self._distributions)
            choice = {slot: int(option) for slot, option in trial.params.items()}
            if self._is_new(choice):
                number = len(self._asked)
                self._asked[number] = trial
                return number, choice
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return self._first_unseen()

    def tell(self, number: int, score: float, examples: int, *, dropped: bool) -> None:
        """Report the mean score of a configuration over so many examples."""
        trial = self._asked[number]
        trial.report(score, step=examples)
        if dropped:
            # TPE ranks a pruned trial by its last report, behind those that went further.
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(trial, score)

    def _is_new(self, choice: Mapping[str, int]) -> bool:
        key = digest(self._space.prompts(choice))
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _at_random(self) -> dict[str, int]:
        return {s: self._rng.randrange(n) for s, n in self._space.distributions().items()}

    def _first_unseen(self) -> tuple[int, dict[str, int]] | None:
        for choice in _choices(self._space.distributions()):
            if self._is_new(choice):
                self._study.enqueue_trial(choice)
                number = len(self._asked)
                self._asked[number] = self._study.ask(self._distributions)
                return number, choice
        return None


def _choices(slots: Mapping[str, int]) -> Iterable[dict[str, int]]:
    """Every configuration, lazily."""
    for options in product(*(range(n) for n in slots.values())):
        yield dict(zip(slots, options, strict=True))
