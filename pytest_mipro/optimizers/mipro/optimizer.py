"""The three phases in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mipro.lm.usage import Usage
from pytest_mipro.optimizers.mipro.bootstrap import Bootstrap
from pytest_mipro.optimizers.mipro.demosets import DemoLimits, demo_sets, labeled_sets
from pytest_mipro.optimizers.mipro.effort import Effort, effort_of
from pytest_mipro.optimizers.mipro.propose import Grounding, Proposer
from pytest_mipro.optimizers.mipro.race import BLOCK, Race, SearchPlan, SearchResult
from pytest_mipro.optimizers.mipro.search import in_order, search
from pytest_mipro.optimizers.mipro.space import Space
from pytest_mipro.optimizers.registry import Candidate
from pytest_mipro.prompts import Prompts, prompts_of
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings

WARM_UP_CALLS = 60  # of the budget, for each example that the seed prompt meets at first
# Runs and calls that go before those: they fill the slots that bootstrapping and proposing leave.
GOES_BEFORE = 1_000


@dataclass(frozen=True)
class Compiled:
    """What a run found and what it took.

    Attributes:
        prompts: the best prompts.
        score: what they are expected to score on all validation examples, 0 to 1: an estimate
            that is shrunk for their having been selected (see ``effects.py`` and
            ``SearchResult.score``), not the best of many means.
        score_error: its standard error.
        search: every trial, and the best one.
        usage: LM calls and tokens of the run.
        seconds: wall clock.
    """

    prompts: Prompts
    score: float
    score_error: float
    search: SearchResult
    usage: Usage
    seconds: float


def optimize(
    scorer: Scorer,
    trainset: Sequence[Any],
    valset: Sequence[Any],
    *,
    teacher: Any = None,
    prompt_lm: Any = None,
    effort: Effort,
    limits: DemoLimits,
    sampler: str = "outcomes",
    seed: int,
    grounding: Grounding | None = None,
    temperature: float = 1.0,
) -> Compiled:
    """Bootstrap, propose and search, within a budget of LM calls.

    The phases share one pool: the proposer's summaries and the seed prompt's first validation
    examples are under way while demos are bootstrapped, so that no slot waits for a phase to end.

    Args:
        scorer: runs the program; made with the task LM, metric and number of threads.
        trainset: where demos come from.
        valset: what configurations are compared on; a sample of it when it is larger than
            the effort asks for.
        teacher: the program that bootstraps demos; the program itself without it.
        prompt_lm: writes the instructions; the task LM without it.
        effort: how much to spend.
        limits: how many demos a set may hold.
        sampler: what proposes configurations, by name.
        seed: randomness.
        grounding: which signals the proposals get.
        temperature: of the LM that writes the instructions.

    Raises:
        CannotJudge: the LM could not be asked.
        MetricError: the metric raised or did not return a score.
    """
    seed_prompts = prompts_of(scorer.program)
    examples = in_order(valset, seed)[: effort.val_size]
    proposer = Proposer(
        scorer,
        seed_prompts,
        trainset,
        lm=prompt_lm,
        count=effort.instructions,
        seed=seed,
        grounding=grounding or Grounding(),
        temperature=temperature,
    )
    bootstrap = Bootstrap(
        scorer,
        trainset,
        teacher=teacher if teacher is not None else scorer.program.deepcopy(),
        limits=limits,
        wanted=effort.traces,
        most_calls=effort.bootstrap_calls,
        seed=seed,
    )
    warm_up = min(len(examples), 2 * scorer.threads, max(BLOCK, effort.calls // WARM_UP_CALLS))
    for example in examples[:warm_up]:
        scorer.submit(seed_prompts, example, kind="search", after=GOES_BEFORE)
    traces = bootstrap.finish()
    proposals = proposer.finish(traces.demos)
    sets = demo_sets(
        seed_prompts,
        traces.demos,
        labeled_sets(scorer.program, trainset),
        limits=limits,
        count=effort.demo_sets,
        seed=seed,
    )
    plan = SearchPlan(
        calls=max(1, effort.calls - traces.calls - proposals.calls),
        seed=seed,
        warm_up=warm_up,
        trials=effort.trials,
        minibatch=effort.minibatch,
        sampler=sampler,
    )
    space = Space(proposals.instructions, sets)
    result = search(Race(scorer, space, examples, plan))
    return Compiled(
        result.prompts,
        result.score,
        result.best.error,
        result,
        scorer.meter.usage,
        scorer.reporter.seconds,
    )


def propose(
    scorer: Scorer,
    trainset: Sequence[Any],
    valset: Sequence[Any],
    settings: Settings,
    *,
    prompt_lm: Any,
) -> Candidate:
    """Optimise as the settings of a test say: see :class:`~pytest_mipro.optimizers.registry.
    Optimizer`."""
    effort, limits = effort_of(settings, len(scorer.program.predictors()))
    compiled = optimize(
        scorer,
        trainset,
        valset,
        prompt_lm=prompt_lm,
        effort=effort,
        limits=limits,
        sampler=settings.sampler,
        seed=settings.seed,
    )
    return Candidate(compiled.prompts, compiled.score, len(compiled.search.trials))
