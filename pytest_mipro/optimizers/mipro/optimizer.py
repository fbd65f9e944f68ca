"""The three phases in one run, and the class that is used without pytest."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dspy
from dspy.teleprompt import Teleprompter

from pytest_mipro.budget import Usage
from pytest_mipro.errors import SettingsError, TaskError
from pytest_mipro.models import adapter_for
from pytest_mipro.optimizers.mipro.bootstrap import (
    DemoLimits,
    bootstrap,
    demo_sets,
    labeled_sets,
)
from pytest_mipro.optimizers.mipro.propose import Grounding, propose
from pytest_mipro.optimizers.mipro.search import SearchPlan, SearchResult, Space, search
from pytest_mipro.progress import Listener, Reporter
from pytest_mipro.prompts import Prompts, prompts_of, with_prompts
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings
from pytest_mipro.task import check_examples, check_program

DEMO_SOURCES = 2  # passing traces to collect, as a multiple of the demos in a set


@dataclass(frozen=True)
class Effort:
    """How much to spend: the figures that a search is sized by."""

    candidates: int
    trials: int
    minibatch: int
    val_size: int
    finalists: int

    @classmethod
    def of(cls, auto: str, predictors: int, *, zero_shot: bool) -> Effort:
        """The named efforts; trials grow with the number of slots to fill."""
        candidates, per_slot, minibatch, val_size, finalists = {
            "light": (12, 10, 20, 100, 4),
            "medium": (18, 20, 40, 300, 6),
            "heavy": (24, 40, 100, 1000, 8),
        }[auto]
        slots = predictors * (1 if zero_shot else 2)
        return cls(candidates, per_slot * (slots + 1), minibatch, val_size, finalists)

    def with_overrides(
        self, candidates: int | None, trials: int | None, minibatch: int | None
    ) -> Effort:
        """This effort with the given figures in place of its own."""
        return replace(
            self,
            candidates=candidates or self.candidates,
            trials=trials or self.trials,
            minibatch=minibatch or self.minibatch,
        )


@dataclass(frozen=True)
class Compiled:
    """What a run found and what it took.

    Attributes:
        prompts: the best prompts.
        search: every trial, and the best one.
        usage: LM calls and tokens of the run.
        seconds: wall clock.
    """

    prompts: Prompts
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
    seed: int,
    grounding: Grounding | None = None,
    temperature: float = 1.0,
    reporter: Reporter,
) -> Compiled:
    """Bootstrap, propose and search.

    Args:
        scorer: runs the program; made with the task LM, metric and number of threads.
        trainset: where demos come from.
        valset: what configurations are compared on; a sample of it when it is larger than
            the effort asks for.
        teacher: the program that bootstraps demos; the program itself without it.
        prompt_lm: writes the instructions; the task LM without it.
        effort: how much to spend.
        limits: how many demos a set may hold.
        seed: randomness.
        grounding: which signals the proposals get.
        temperature: of the LM that writes the instructions.
        reporter: told of the progress.

    Raises:
        CannotJudge: the LM could not be asked.
        MetricError: the metric raised or did not return a score.
    """
    seed_prompts = prompts_of(scorer.program)
    wanted = max(effort.candidates, limits.bootstrapped * DEMO_SOURCES)
    teacher = teacher if teacher is not None else scorer.program.deepcopy()
    demos = bootstrap(
        scorer,
        trainset,
        teacher=teacher,
        limits=limits,
        wanted=wanted,
        seed=seed,
        reporter=reporter,
    )
    instructions = propose(
        scorer,
        seed_prompts,
        trainset,
        demos,
        lm=prompt_lm,
        seed=seed,
        reporter=reporter,
        count=effort.candidates if limits.zero_shot else max(2, effort.candidates // 3),
        grounding=grounding or Grounding(),
        temperature=temperature,
    )
    sets = demo_sets(
        seed_prompts,
        demos,
        labeled_sets(scorer.program, trainset),
        limits=limits,
        count=effort.candidates,
        seed=seed,
    )
    sample = list(valset)
    if len(sample) > effort.val_size:
        sample = random.Random(f"valset-{seed}").sample(sample, effort.val_size)
    plan = SearchPlan(effort.trials, min(effort.minibatch, len(sample)), effort.finalists, seed)
    result = search(scorer, Space(instructions, sets), sample, plan, reporter)
    return Compiled(result.prompts, result, scorer.meter.usage, reporter.seconds)


class MIPRO(Teleprompter):  # type: ignore[misc]
    """Optimise the instructions and demos of a DSPy program; a drop-in for ``dspy.MIPROv2``.

    Args:
        metric: ``metric(example, prediction, trace=None)``, returning a bool, a number from 0
            to 1, or ``dspy.Prediction(score=...)``.
        prompt_model: the LM that writes instructions; ``dspy.settings.lm`` without it.
        task_model: the LM that runs the program; ``dspy.settings.lm`` without it.
        teacher_settings: DSPy settings for the teacher; only ``lm`` has a meaning here.
        max_bootstrapped_demos, max_labeled_demos: demos per predictor.
        auto: how much to spend: light, medium or heavy; None to give num_candidates here and
            num_trials to :meth:`compile`.
        num_candidates: instructions and demo sets per predictor.
        num_threads: LM calls under way at once.
        seed: randomness; 0 is a seed like any other.
        init_temperature: of the LM that writes instructions.
        metric_threshold: the score from which a trace becomes a demo.
        verbose, track_stats, log_dir, max_errors: accepted as by ``dspy.MIPROv2``, without
            effect; a value other than its default is warned of.
        on_progress: called with a :class:`~pytest_mipro.progress.Progress` several times a
            second.

    Example::

        optimizer = MIPRO(metric=exact_label, auto="light")
        better = optimizer.compile(Triage(), trainset=train, valset=val)
    """

    def __init__(
        self,
        metric: Callable[..., Any],
        prompt_model: Any = None,
        task_model: Any = None,
        teacher_settings: Mapping[str, Any] | None = None,
        max_bootstrapped_demos: int = 4,
        max_labeled_demos: int = 4,
        auto: str | None = "light",
        num_candidates: int | None = None,
        num_threads: int | None = None,
        max_errors: int | None = None,
        seed: int = 9,
        init_temperature: float = 1.0,
        verbose: bool = False,
        track_stats: bool = True,
        log_dir: str | None = None,
        metric_threshold: float | None = None,
        *,
        on_progress: Listener | None = None,
    ) -> None:
        if auto not in (None, "light", "medium", "heavy"):
            raise SettingsError(f"auto={auto!r}: must be one of light, medium, heavy, or None")
        if auto is None and num_candidates is None:
            raise SettingsError("auto=None needs num_candidates, and num_trials in compile()")
        if auto is not None and num_candidates is not None:
            raise SettingsError("num_candidates has no meaning beside auto; pass auto=None")
        _warn_ignored(
            verbose=(verbose, False),
            track_stats=(track_stats, True),
            log_dir=(log_dir, None),
            max_errors=(max_errors, None),
        )
        self.metric = metric
        self.prompt_model = prompt_model
        self.task_model = task_model
        self.teacher_settings = dict(teacher_settings or {})
        self.limits = DemoLimits(max_bootstrapped_demos, max_labeled_demos)
        self.auto = auto
        self.num_candidates = num_candidates
        self.num_threads = num_threads
        self.seed = seed
        self.init_temperature = init_temperature
        self.metric_threshold = metric_threshold
        self.on_progress = on_progress

    def compile(
        self,
        student: Any,
        *,
        trainset: Sequence[Any],
        teacher: Any = None,
        valset: Sequence[Any] | None = None,
        num_trials: int | None = None,
        max_bootstrapped_demos: int | None = None,
        max_labeled_demos: int | None = None,
        seed: int | None = None,
        minibatch: bool = True,
        minibatch_size: int = 35,
        program_aware_proposer: bool = True,
        data_aware_proposer: bool = True,
        view_data_batch_size: int = 10,
        tip_aware_proposer: bool = True,
        fewshot_aware_proposer: bool = True,
    ) -> Any:
        """Return a copy of ``student`` with the best prompts found.

        Args:
            student: the program; it is not changed.
            trainset: examples with declared inputs, where demos come from.
            teacher: a program with the same predictors that bootstraps the demos.
            valset: examples that configurations are compared on; without it, a seeded,
                shuffled half of the training set.
            num_trials: search trials; only with ``auto=None``.
            max_bootstrapped_demos, max_labeled_demos, seed: in place of the constructor's.
            minibatch: whether trials see a minibatch rather than the whole validation set.
            minibatch_size: its size; with ``auto``, the effort's own is used.
            program_aware_proposer, data_aware_proposer, tip_aware_proposer,
            fewshot_aware_proposer, view_data_batch_size: which signals proposals get.

        Returns:
            The compiled program. Its attribute ``mipro`` is the :class:`Compiled` record.

        Raises:
            TaskError: the program or the data cannot be used.
            CannotJudge: the LM could not be asked.
            MetricError: the metric raised or did not return a score.
        """
        check_program(student)
        check_examples("trainset", trainset)
        if valset is not None:
            check_examples("valset", valset)
        if self.auto is not None and num_trials is not None:
            raise SettingsError("num_trials has no meaning beside auto; pass auto=None")
        if self.auto is None and num_trials is None:
            raise SettingsError("auto=None needs num_trials")
        seed = self.seed if seed is None else seed
        train, val = _train_and_val(trainset, valset, seed)
        task_lm = self.task_model or dspy.settings.lm
        if task_lm is None:
            raise TaskError("no LM is set: pass task_model=..., or dspy.configure(lm=...)")
        limits = DemoLimits(
            self.limits.bootstrapped if max_bootstrapped_demos is None else max_bootstrapped_demos,
            self.limits.labeled if max_labeled_demos is None else max_labeled_demos,
        )
        effort = self._effort(
            student, limits, num_trials, minibatch_size if minibatch else len(val), len(val)
        )
        threads = self.num_threads or dspy.settings.num_threads or 8
        with Scorer(
            student,
            self.metric,
            lm=task_lm,
            adapter=adapter_for(task_lm),
            threads=threads,
            metric_threshold=self.metric_threshold,
        ) as scorer:
            compiled = optimize(
                scorer,
                train,
                val,
                teacher=self._teacher(student, teacher),
                limits=limits,
                prompt_lm=self.prompt_model,
                effort=effort,
                seed=seed,
                grounding=Grounding(
                    data_aware_proposer,
                    program_aware_proposer,
                    fewshot_aware_proposer,
                    tip_aware_proposer,
                    view_data_batch_size,
                ),
                temperature=self.init_temperature,
                reporter=Reporter(self.on_progress, lambda: scorer.meter.usage.total_calls),
            )
        program = with_prompts(student, compiled.prompts)
        program._compiled = True
        program.mipro = compiled
        return program

    def _effort(
        self, student: Any, limits: DemoLimits, trials: int | None, minibatch: int, val_size: int
    ) -> Effort:
        predictors = len(student.predictors())
        named = Effort.of(self.auto or "light", predictors, zero_shot=limits.zero_shot)
        if self.auto is not None:
            return named
        effort = named.with_overrides(self.num_candidates, trials, minibatch)
        return replace(effort, val_size=val_size)

    def _teacher(self, student: Any, teacher: Any) -> Any:
        lm = self.teacher_settings.get("lm")
        if lm is None:
            return teacher
        copy = (student if teacher is None else teacher).deepcopy()
        copy.set_lm(lm)
        return copy


def effort_of(settings: Settings, program: Any) -> tuple[Effort, DemoLimits]:
    """What the settings of a test ask for."""
    limits = DemoLimits(settings.max_bootstrapped_demos, settings.max_labeled_demos)
    effort = Effort.of(
        settings.auto, len(program.named_predictors()), zero_shot=limits.zero_shot
    ).with_overrides(settings.num_candidates, settings.num_trials, settings.minibatch_size)
    return effort, limits


def _train_and_val(
    trainset: Sequence[Any], valset: Sequence[Any] | None, seed: int
) -> tuple[list[Any], list[Any]]:
    if valset is not None:
        return list(trainset), list(valset)
    if len(trainset) < 2:
        raise TaskError("trainset has 1 example; give at least 2, or give valset too")
    order = list(trainset)
    random.Random(f"split-{seed}").shuffle(order)
    half = len(order) // 2
    return order[:half], order[half:]


def _warn_ignored(**arguments: tuple[Any, Any]) -> None:
    for name, (value, default) in arguments.items():
        if value != default:
            warnings.warn(
                f"MIPRO ignores {name}={value!r}: it has no meaning here", UserWarning, stacklevel=3
            )
