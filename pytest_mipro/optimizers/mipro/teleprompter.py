"""The class that is used without pytest: a drop-in for ``dspy.MIPROv2``."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dspy
from dspy.teleprompt import Teleprompter

from pytest_mipro.errors import SettingsError, TaskError
from pytest_mipro.lm.adapters import adapter_for
from pytest_mipro.lm.seam import mark_compiled
from pytest_mipro.optimizers.mipro.demosets import DemoLimits
from pytest_mipro.optimizers.mipro.effort import BOOTSTRAP_SHARE, Effort
from pytest_mipro.optimizers.mipro.optimizer import optimize
from pytest_mipro.optimizers.mipro.propose import Grounding
from pytest_mipro.progress import Listener
from pytest_mipro.prompts import with_prompts
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import calls_of, check
from pytest_mipro.task import check_examples, check_program

MINIBATCH = 35  # the default of dspy.MIPROv2


class MIPRO(Teleprompter):  # type: ignore[misc]
    """Optimise the instructions and demos of a DSPy program; a drop-in for ``dspy.MIPROv2``.

    Args:
        metric: ``metric(example, prediction, trace=None)``, returning a bool, a number from 0
            to 1, or ``dspy.Prediction(score=...)``.
        prompt_model: the LM that writes instructions; ``dspy.settings.lm`` without it.
        task_model: the LM that runs the program; ``dspy.settings.lm`` without it.
        teacher_settings: DSPy settings for the teacher; only ``lm`` has a meaning here.
        max_bootstrapped_demos, max_labeled_demos: demos per predictor.
        auto: how much to spend: light, medium or heavy (500, 1,500 or 5,000 LM calls for each
            predictor); None to give num_candidates here and num_trials to :meth:`compile`.
        num_candidates: instructions and demo sets per predictor.
        num_threads: LM calls under way at once.
        seed: randomness; 0 is a seed like any other.
        init_temperature: of the LM that writes instructions.
        metric_threshold: the score from which a trace becomes a demo.
        verbose, track_stats, log_dir, max_errors: accepted as by ``dspy.MIPROv2``, without
            effect; a value other than its default is warned of.
        budget: LM calls to spend in place of what auto says, such as ``"400calls"``.
        sampler: what proposes configurations: ``outcomes`` (ours, which learns from the outcome
            of each example) or ``tpe`` (Optuna's, as in the MIPRO paper).
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
        budget: str | int | None = None,
        sampler: str = "outcomes",
        on_progress: Listener | None = None,
    ) -> None:
        check("auto", auto, source="MIPRO(...)")
        check("sampler", sampler, source="MIPRO(...)")
        self.budget = None if budget is None else calls_of(budget)
        if auto is None and num_candidates is None and budget is None:
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
        self.sampler = sampler
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
        minibatch_size: int | None = None,
        minibatch_full_eval_steps: int | None = None,
        program_aware_proposer: bool = True,
        data_aware_proposer: bool = True,
        view_data_batch_size: int = 10,
        tip_aware_proposer: bool = True,
        fewshot_aware_proposer: bool = True,
        requires_permission_to_run: bool | None = None,
        provide_traceback: bool | None = None,
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
            minibatch, minibatch_size: validation examples of a configuration while exploring;
                only with ``auto=None``.
            program_aware_proposer, data_aware_proposer, tip_aware_proposer,
            fewshot_aware_proposer, view_data_batch_size: which signals proposals get.
            minibatch_full_eval_steps, requires_permission_to_run, provide_traceback: accepted as
                by ``dspy.MIPROv2``; a value is warned of, as it has no effect here.

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
        self._check_arguments(num_trials, minibatch, minibatch_size)
        _warn_ignored(
            minibatch_full_eval_steps=(minibatch_full_eval_steps, None),
            requires_permission_to_run=(requires_permission_to_run, None),
            provide_traceback=(provide_traceback, None),
        )
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
            len(student.predictors()),
            limits,
            num_trials,
            (minibatch_size or MINIBATCH) if minibatch else len(val),
            len(val),
        )
        threads = self.num_threads or dspy.settings.num_threads or 8
        with Scorer(
            student,
            self.metric,
            lm=task_lm,
            threads=threads,
            adapter=adapter_for(task_lm),
            metric_threshold=self.metric_threshold,
            listener=self.on_progress,
        ) as scorer:
            compiled = optimize(
                scorer,
                train,
                val,
                teacher=self._teacher(student, teacher),
                limits=limits,
                prompt_lm=self.prompt_model,
                effort=effort,
                sampler=self.sampler,
                seed=seed,
                grounding=Grounding(
                    data_aware_proposer,
                    program_aware_proposer,
                    fewshot_aware_proposer,
                    tip_aware_proposer,
                    view_data_batch_size,
                ),
                temperature=self.init_temperature,
            )
        program = with_prompts(student, compiled.prompts)
        mark_compiled(program)
        program.mipro = compiled
        return program

    def _check_arguments(
        self, num_trials: int | None, minibatch: bool, minibatch_size: int | None
    ) -> None:
        sized = self.auto is not None or self.budget is not None
        if sized and num_trials is not None:
            raise SettingsError(
                "num_trials has no meaning beside auto or budget; pass auto=None and no budget"
            )
        if not sized and num_trials is None:
            raise SettingsError("auto=None needs num_trials, or a budget")
        if sized and (not minibatch or minibatch_size is not None):
            name, value = (
                ("minibatch", minibatch)
                if not minibatch
                else (
                    "minibatch_size",
                    minibatch_size,
                )
            )
            warnings.warn(
                f"MIPRO ignores {name}={value!r} beside auto or budget: how many examples a "
                "configuration meets follows from how well it does; pass auto=None to set it",
                UserWarning,
                stacklevel=3,
            )

    def _effort(
        self, predictors: int, limits: DemoLimits, trials: int | None, minibatch: int, examples: int
    ) -> Effort:
        if self.budget is not None:
            effort = Effort.within(self.budget, predictors, limits)
            return effort.with_overrides(self.num_candidates, None, None)
        if self.auto is not None:
            return Effort.named(self.auto, predictors, limits)
        size = min(minibatch, examples)
        calls = round(predictors * ((trials or 1) * size + examples) * (1 + BOOTSTRAP_SHARE))
        effort = Effort.within(calls, predictors, limits)
        effort = effort.with_overrides(self.num_candidates, trials, size)
        return replace(effort, val_size=examples)

    def _teacher(self, student: Any, teacher: Any) -> Any:
        lm = self.teacher_settings.get("lm")
        if lm is None:
            return teacher
        copy = (student if teacher is None else teacher).deepcopy()
        copy.set_lm(lm)
        return copy


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
