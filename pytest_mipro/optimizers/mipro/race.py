"""Configurations that race: what they met, what it cost, and what is expected of them.

Every configuration meets the same validation examples in the same order, a few at a time, and every
outcome is kept. Who is visited next is the sampler's to say (``search.py``).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import optuna

from pytest_mipro.optimizers.mipro import samplers
from pytest_mipro.optimizers.mipro.space import Choice, Space
from pytest_mipro.outcome import Outcome, means_over
from pytest_mipro.prompts import Prompts
from pytest_mipro.scoring import Scorer

BLOCK = 5  # examples between two decisions
FINAL_SHARE = 0.3  # of the budget, for the configurations that look best
PROVISIONAL_SHARE = 0.15  # of the finalists' runs, while the last explorations are under way
LEAST_FINALISTS, MOST_FINALISTS = 3, 8
UNSURPRISED = 20.0  # outcomes' worth of doubt about how far the finalists were overrated
LEAST_CALLS_A_RUN = 0.05  # when nearly all is answered from the store of responses
# Program runs under way, as a multiple of the pool's threads. More keep the slots busy while the
# oldest run is waited for, fewer let what is learned take effect sooner: many only where they are
# few beside all runs.
LOOK_AHEAD, MOST_AHEAD, SHARE_AHEAD = 2.0, 4.0, 0.125


@dataclass(frozen=True)
class TrialRecord:
    """One configuration that ran.

    Attributes:
        number: from 0, in the order in which they began.
        choice: the option of each slot, by ``predictor.instruction`` and ``predictor.demos``.
        score: mean over the examples that it met.
        examples: how many those were.
        estimate: what its mean over all validation examples is expected to be, given the
            outcomes of all trials. Unlike ``score`` it can be compared between trials.
        error: standard error of the estimate.
    """

    number: int
    choice: Choice
    score: float
    examples: int
    estimate: float
    error: float


@dataclass(frozen=True)
class SearchResult:
    """What the search found.

    Attributes:
        best: the trial with the best estimate.
        prompts: its prompts.
        trials: all of them.
        calls: LM calls that the search took.
        score: what the best is expected to score on examples like the validation set's: its
            estimate, corrected by how the finalists did on outcomes that came after they had been
            chosen.
    """

    best: TrialRecord
    prompts: Prompts
    trials: tuple[TrialRecord, ...]
    calls: int
    score: float


@dataclass(frozen=True)
class SearchPlan:
    """How long to search, and how.

    Attributes:
        calls: LM calls to spend.
        trials: different configurations at most; None for as many as the calls allow.
        minibatch: examples of a configuration while exploring; None for all.
        sampler: what proposes configurations, by name.
        seed: randomness of the sampler.
        warm_up: examples that the seed prompt meets at once; they may be under way already.
    """

    calls: int
    seed: int
    warm_up: int = BLOCK
    trials: int | None = None
    minibatch: int | None = None
    sampler: str = "outcomes"


@dataclass
class Runner:
    """A configuration that has met some examples."""

    number: int
    choice: dict[str, int]
    prompts: Prompts
    outcomes: list[Outcome] = field(default_factory=list)
    submitted: int = 0

    def mean(self) -> float:
        return means_over(self.outcomes)


@dataclass(frozen=True)
class Forecast:
    """What the model expected of a finalist when it was chosen, having met so many examples."""

    choice: dict[str, int]
    met: int
    expected: Sequence[float]
    estimate: float


@dataclass
class Visit:
    """Some examples of a configuration under way, and the trial that stands for them."""

    runner: Runner
    start: int
    futures: Sequence[Future[Outcome]]
    trial: Any
    exploring: bool


class Race:
    """Configurations, what they met, and what it cost.

    Results are taken in the order in which they were asked for, whichever came first, and what
    is asked next depends on nothing else. So the outcome depends on the seed, the number of
    threads and the LM's answers alone. That there is always more asked for than threads can
    take keeps them busy meanwhile.

    Args:
        scorer: runs the program.
        space: what to choose from; the seed prompt is trial 0.
        examples: of the validation set, in the order in which they are met.
        plan: what it may cost.
    """

    def __init__(
        self,
        scorer: Scorer,
        space: Space,
        examples: Sequence[Any],
        plan: SearchPlan,
    ) -> None:
        self.space, self.plan, self.reporter = space, plan, scorer.reporter
        self.model = samplers.OutcomeSampler(space, len(examples), plan.seed, self.open_to)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(direction="maximize", sampler=self.model)
        self.distributions = samplers.distributions(space.slots())
        self.running: deque[Visit] = deque()
        self.explored = False
        self._forecasts: list[Forecast] = []
        self.runners: dict[str, Runner] = {}
        self._scorer, self._examples = scorer, examples
        runs = plan.calls / len(space.instructions)
        ahead = min(MOST_AHEAD, max(LOOK_AHEAD, SHARE_AHEAD * runs / scorer.threads))
        self._width = max(2 * BLOCK, math.ceil(ahead * scorer.threads))
        self._asked: set[str] = set()
        self._runs, self._provisional, self._dearest = 0, 0, len(space.instructions)

    @property
    def spent(self) -> int:
        """LM calls of the visits that have ended."""
        return len(self._asked)

    @property
    def under_way(self) -> int:
        """Program runs that are asked for and not taken yet."""
        return sum(len(visit.futures) for visit in self.running)

    @property
    def exploring(self) -> bool:
        """Whether explorations are under way."""
        return any(visit.exploring for visit in self.running)

    def open_to(self, choice: Choice) -> bool:
        """Whether a configuration may meet more examples."""
        runner = self.runners.get(self.key(choice))
        if runner is not None:
            return runner.submitted < self._limit()
        return self.plan.trials is None or len(self.runners) < self.plan.trials

    def has_explored(self) -> bool:
        """Whether this part's budget is spent, and enough is known to choose finalists, though
        explorations may be under way."""
        enough = self._runs >= samplers.WARM_UP
        return not self.explored and enough and self.affordable_runs() < 1

    def affordable_runs(self) -> float:
        """Program runs that the rest of this part's budget allows."""
        share = 1.0 if self.explored else 1 - FINAL_SHARE
        # Before there is anything to go by, a run is taken to call each predictor once.
        each = len(self.space.instructions) if not self._runs else self.spent / self._runs
        left = self.plan.calls * share - self.spent
        likely = left / max(each, LEAST_CALLS_A_RUN) - self.under_way
        # Near the end of the budget, what is under way may turn out dearer than the runs so far;
        # the calls in flight are all that may be over.
        over = self.plan.calls - self.spent + self._scorer.threads
        return min(likely, over / max(self._dearest, 1) - self.under_way)

    def affordable(self) -> int:
        """The same, as far as the pool can take them."""
        runs = min(int(self.affordable_runs()), self._width - self.under_way)
        return min(runs, self._provisional) if self.explored and self.exploring else runs

    def choose_finalists(self) -> None:
        """Leave only the best and the seed prompt in the race: so many as can meet most of the
        examples with what is left.

        The last explorations may still be under way, so that no slot waits for them; when they
        have been taken, the finalists are chosen again.
        """
        first, self.explored = not self.explored, True
        runs = self.affordable_runs()
        if first:
            self._provisional = int(PROVISIONAL_SHARE * runs)
        count = math.ceil(runs / len(self._examples)) + 1
        count = min(MOST_FINALISTS, max(LEAST_FINALISTS, count))
        best = self.model.best(self.study, count)
        self._forecasts = [self._forecast(choice) for choice in best]
        seed = self.space.seed()
        self.model.finalists = best if seed in best else [*best, seed]

    def visit(self, choice: dict[str, int], trial: Any, runs: int) -> bool:
        """Let a configuration meet its next examples; say whether there were any."""
        first = not self.runners
        runner = self._runner(choice)
        size = self.plan.warm_up if first else min(BLOCK, runs)
        block = self._examples[runner.submitted : self._limit()][:size]
        if not block:
            return False
        futures = [self._scorer.submit(runner.prompts, ex, kind="search") for ex in block]
        exploring = not self.explored
        self.running.append(Visit(runner, runner.submitted, futures, trial, exploring))
        runner.submitted += len(block)
        self._provisional -= 0 if exploring else len(block)
        return True

    def take(self) -> Visit:
        """Wait for the visit that was asked for first, and keep what came of it."""
        visit = self.running.popleft()
        outcomes = [self._scorer.result(future) for future in visit.futures]
        visit.runner.outcomes += outcomes
        for outcome in outcomes:
            # A program that asks its LMs by ways of its own is taken to call each predictor once.
            self._asked.update(outcome.requests or self._unseen_calls())
            self._dearest = max(self._dearest, len(outcome.requests))
        self._runs += len(outcomes)
        favourite = max(self.runners.values(), key=lambda runner: len(runner.outcomes))
        self.reporter.advance(self.spent, visit.runner.mean(), favourite.mean())
        return visit

    def outcomes(self, visit: Visit) -> list[tuple[int, float]]:
        """Positions and scores of a visit's examples, without those that have no score."""
        taken = visit.runner.outcomes[visit.start : visit.start + len(visit.futures)]
        return [(visit.start + n, o.score) for n, o in enumerate(taken) if o.score is not None]

    def result(self) -> SearchResult:
        """The trials with their estimates, and the best of them."""
        model = self.model.fitted(self.study)
        trials = []
        for runner in self.runners.values():
            mean, error = model.estimate(runner.choice)
            trials.append(
                TrialRecord(
                    runner.number,
                    runner.choice,
                    runner.mean(),
                    len(runner.outcomes),
                    min(1.0, max(0.0, mean)),
                    error,
                )
            )
        finalists = [self.key(choice) for choice in self.model.finalists]
        ran = [trial for trial in trials if self.key(trial.choice) in finalists] or trials
        best = max(ran, key=lambda trial: (trial.estimate, -trial.number))
        score = min(1.0, max(0.0, best.estimate + self._surprise()))
        prompts = self.space.prompts(best.choice)
        return SearchResult(best, prompts, tuple(trials), self.spent, score)

    def _forecast(self, choice: dict[str, int]) -> Forecast:
        runner = self.runners.get(self.key(choice))
        model = self.model.model
        return Forecast(
            choice,
            len(runner.outcomes) if runner else 0,
            model.expected(choice),
            model.estimate(choice)[0],
        )

    def _surprise(self) -> float:
        """By how much the finalists did better than forecast on the outcomes since; negative when
        they had looked too good.

        Finalists are chosen for looking good, in part by luck that the model cannot tell from
        merit: the same first steps on the same examples recur in many configurations. What they
        score from then on is free of that choice. Few new outcomes say little, so the surprise is
        shrunk as if there were some more without any.
        """
        total, count = 0.0, 0
        for forecast in self._forecasts:
            runner = self.runners.get(self.key(forecast.choice))
            if runner is None:
                continue
            learned = self.model.model.estimate(forecast.choice)[0] - forecast.estimate
            for n in range(forecast.met, len(runner.outcomes)):
                score = runner.outcomes[n].score
                if score is not None:
                    total += score - forecast.expected[n] - learned
                    count += 1
        return total / (count + UNSURPRISED)

    def _runner(self, choice: dict[str, int]) -> Runner:
        key = self.key(choice)
        if key not in self.runners:
            prompts = self.space.prompts(choice)
            self.runners[key] = Runner(len(self.runners), choice, prompts)
        return self.runners[key]

    def _unseen_calls(self) -> list[str]:
        first = len(self._asked)
        return [f"unseen-{first + n}" for n in range(len(self.space.instructions))]

    def _limit(self) -> int:
        if self.explored or self.plan.minibatch is None:
            return len(self._examples)
        return min(self.plan.minibatch, len(self._examples))

    def key(self, choice: Choice) -> str:
        """A text that is the same for the same choice."""
        return ",".join(str(choice[slot]) for slot in self.distributions)
