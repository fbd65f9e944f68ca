"""From a task to its prompt file: baseline, optimise, score on held-out data, write."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy

from pytest_mipro import fingerprint, models, promptfile
from pytest_mipro.errors import PromptFileError, TaskError
from pytest_mipro.optimizers.mipro.optimizer import Compiled, effort_of, optimize
from pytest_mipro.progress import Reporter
from pytest_mipro.promptfile import PromptFile, ScoreEntry, ScoresEntry
from pytest_mipro.prompts import Prompts, digest, prompts_of
from pytest_mipro.scoring import Outcome, Scorer, unreachable
from pytest_mipro.settings import Settings
from pytest_mipro.statistics import interval
from pytest_mipro.task import PromptTask


@dataclass(frozen=True)
class Fitted:
    """What came of optimising.

    Attributes:
        file: the prompt file as it is now.
        note: why the committed prompts were kept, where they were.
    """

    file: PromptFile
    note: str = ""


def fit(
    task: PromptTask,
    settings: Settings,
    scorer: Scorer,
    path: Path,
    *,
    name: str,
    prompt_lm: Any,
    reporter: Reporter,
) -> Fitted:
    """Optimise a task and write its prompt file.

    Prompts that are committed already are only replaced by better ones: both are scored on the
    same held-out examples, and of equal scores the committed ones stay. The file is written once,
    at the end; until then nothing on disk changes.

    Raises:
        PromptFileError: the path cannot be written (found out before the LM is asked).
        TaskError: the program fails on every example.
        CannotJudge: the LM could not be asked.
        MetricError: the metric raised or did not return a score.
    """
    promptfile.check_writable(path)
    baseline = _held_out(task, prompts_of(task.program), scorer, reporter, phase="baseline")
    effort, limits = effort_of(settings, task.program)
    compiled = optimize(
        scorer,
        task.split.train,
        task.split.val,
        prompt_lm=prompt_lm,
        effort=effort,
        limits=limits,
        sampler=settings.sampler,
        seed=settings.seed,
        reporter=reporter,
    )
    prompts = compiled.prompts
    confirmed = _held_out(task, prompts, scorer, reporter, phase="confirm")
    champion, note = _champion(task, path), ""
    if champion is not None and digest(champion.prompts()) != digest(prompts):
        kept = _held_out(task, champion.prompts(), scorer, reporter, phase="confirm")
        if kept.mean >= confirmed.mean:
            note = (
                f"the committed prompts stay: on the {kept.split}set they score {kept.mean:.3f}, "
                f"the new ones {confirmed.mean:.3f}"
            )
            prompts, confirmed = champion.prompts(), kept
    file = PromptFile(
        name=name,
        program=fingerprint.qualified_name(type(task.program)),
        predictors=promptfile.entries_of(prompts),
        scores=ScoresEntry(baseline=baseline, compiled=confirmed),
        fitted_with=_fitted_with(task, settings, scorer, prompt_lm),
        fingerprints=promptfile.fingerprints_of(task.program, task.metric, task.split.parts()),
        search=_search(compiled, scorer, reporter),
    )
    if note and champion is not None and _same_record(champion, file):
        return Fitted(champion, note)
    promptfile.write(path, file)
    return Fitted(file, note)


def _champion(task: PromptTask, path: Path) -> PromptFile | None:
    """The committed prompts, if there are any that fit the program."""
    try:
        file = promptfile.read(path)
    except (FileNotFoundError, PromptFileError):
        return None
    return None if promptfile.unfit(task.program, file) else file


def _same_record(champion: PromptFile, file: PromptFile) -> bool:
    """Whether what a file is valid for is what it was, so that it can stay as it is."""
    facts = ("lm", "decoding", "adapter")
    return champion.fingerprints == file.fingerprints and all(
        champion.fitted_with.get(fact) == file.fitted_with.get(fact) for fact in facts
    )


def _held_out(
    task: PromptTask, prompts: Prompts, scorer: Scorer, reporter: Reporter, *, phase: Any
) -> ScoreEntry:
    split, examples = task.split.gate
    reporter.phase(phase, len(examples))
    total, scored = 0.0, 0

    def step(outcome: Outcome) -> None:
        nonlocal total, scored
        if outcome.score is not None:
            total, scored = total + outcome.score, scored + 1
        reporter.step(total / scored if scored else None)

    outcomes = scorer.score(prompts, examples, kind=phase, tick=reporter.tick, step=step)
    if any(outcome.score is None for outcome in outcomes):
        raise unreachable(outcomes)
    _refuse_broken(task, outcomes)
    return _entry(task, split, [o.score for o in outcomes if o.score is not None])


def _entry(task: PromptTask, split: str, scores: Sequence[float]) -> ScoreEntry:
    low, high = interval(scores)
    return ScoreEntry(
        metric=fingerprint.qualified_name(task.metric),
        split=split,
        n=len(scores),
        mean=round(math.fsum(scores) / len(scores), 4),
        interval=[round(low, 4), round(high, 4)],
    )


def _refuse_broken(task: PromptTask, outcomes: Sequence[Outcome]) -> None:
    """A program that fails on every example is not to be optimised but to be mended."""
    if all(outcome.kind in ("program_error", "overflow") for outcome in outcomes):
        raise TaskError(
            f"the program {type(task.program).__name__} failed on all {len(outcomes)} examples "
            f"before anything was optimised: {outcomes[0].cause}\n"
            "mend the program (or shorten the inputs) and run again; nothing was written"
        )


def _fitted_with(
    task: PromptTask, settings: Settings, scorer: Scorer, prompt_lm: Any
) -> dict[str, Any]:
    split = task.split
    task_lm = scorer.lm or dspy.settings.lm
    facts = {
        **models.described(task_lm),
        "adapter": models.adapter_name(scorer.adapter),
        "dspy": dspy.__version__,
        "optimizer": {
            "name": "mipro",
            "auto": settings.auto,
            "sampler": settings.sampler,
            "max_bootstrapped_demos": settings.max_bootstrapped_demos,
            "max_labeled_demos": settings.max_labeled_demos,
            "threads": settings.threads,
        },
        "seed": settings.seed,
        "split": {
            **{name: len(part) for name, part in split.parts().items()},
            **({"carved": list(split.carved), "seed": split.seed} if split.carved else {}),
        },
    }
    for key in ("budget", "num_candidates", "num_trials", "minibatch_size", "metric_threshold"):
        if getattr(settings, key) is not None:
            facts["optimizer"][key] = getattr(settings, key)
    if prompt_lm is not None and prompt_lm is not task_lm:
        facts["prompt_lm"] = models.described(prompt_lm)["lm"]
    return facts


def _search(compiled: Compiled, scorer: Scorer, reporter: Reporter) -> dict[str, Any]:
    usage = scorer.meter.usage
    return {
        "trials": len(compiled.search.trials),
        "validation_score": round(compiled.score, 4),
        "lm_calls": {**dict(sorted(usage.calls.items())), "total": usage.total_calls},
        "tokens": {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens},
        "seconds": round(reporter.seconds, 1),
    }
