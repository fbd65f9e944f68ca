"""From a task to its prompt file: baseline, optimise, score on held-out data, write."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy

from pytest_mipro import atomic, baseline, fingerprint, models, promptfile, scoresfile
from pytest_mipro.decision import Scored
from pytest_mipro.errors import PromptFileError, TaskError
from pytest_mipro.gate import lm_of
from pytest_mipro.optimizers.mipro.optimizer import Compiled, effort_of, optimize
from pytest_mipro.outcome import Outcome, unreachable
from pytest_mipro.progress import Reporter
from pytest_mipro.promptfile import PromptFile, ScoresEntry
from pytest_mipro.prompts import Prompts, digest, prompts_of
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings
from pytest_mipro.statistics import PairedTest, interval, paired_test
from pytest_mipro.task import PromptTask


@dataclass(frozen=True)
class Fitted:
    """What came of optimising.

    Attributes:
        file: the prompt file as it is now.
        note: how the new prompts compare with committed ones, where there were any.
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
    """Optimise a task and write its prompt file and scores file.

    Prompts that are committed already are only replaced by better ones: see :func:`is_better`.
    The files are written once, at the end; until then nothing on disk changes.

    Raises:
        PromptFileError: the path cannot be written (found out before the LM is asked).
        TaskError: the program fails on every example.
        CannotJudge: the LM could not be asked.
        MetricError: the metric raised or did not return a score.
    """
    atomic.check_writable(path)
    held_out = _HeldOut(task, settings, scorer, reporter)
    before = held_out.score(prompts_of(task.program), phase="baseline")
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
    scored = held_out.score(prompts, phase="confirm")
    champion, note, kept = _champion(task, path), "", False
    if champion is not None and digest(champion.prompts()) != digest(prompts):
        former = held_out.score(champion.prompts(), phase="confirm")
        runs = (settings.repeats, settings.repeats)
        test = paired_test(_numbers(scored), _numbers(former), runs=runs)
        kept = not is_better(test, unseen=bool(task.split.test), significance=settings.significance)
        note = _compared(task, former, scored, test, kept=kept, settings=settings)
        if kept:
            prompts, scored = champion.prompts(), former
    scored = held_out.to_record(prompts, scored)
    file = PromptFile(
        name=name,
        program=fingerprint.qualified_name(type(task.program)),
        predictors=promptfile.entries_of(prompts),
        scores=ScoresEntry(
            baseline=baseline.score_entry(task, before), compiled=baseline.score_entry(task, scored)
        ),
        fitted_with=_fitted_with(task, settings, scorer, prompt_lm),
        fingerprints=promptfile.fingerprints_of(task.program, task.metric, task.split.parts()),
        search=_search(compiled, scorer, reporter),
    )
    if kept and champion is not None and _same_record(champion, file):
        if not scoresfile.path_beside(path).exists():
            baseline.write_scores(task, champion, path, scored, scorer)
        return Fitted(champion, note)
    promptfile.write(path, file)
    baseline.write_scores(task, file, path, scored, scorer)
    return Fitted(file, note)


def is_better(test: PairedTest, *, unseen: bool, significance: float) -> bool:
    """Whether the challenger's prompts replace the champion's.

    On examples that the search has not seen, the higher mean wins: it is an unbiased estimate, and
    of equal means the champion stays. On examples that it has seen, the challenger was chosen for
    its scores there, so it must be better than chance explains.

    Args:
        test: of the challenger's scores followed by the champion's, so that a drop is the
            challenger's lead.
        unseen: whether the search has not seen the examples.
        significance: the p-value asked for where it has.
    """
    return test.drop > 1e-9 and (unseen or test.p_value < significance)


class _HeldOut:
    """Scores prompts on the gate's split."""

    def __init__(
        self, task: PromptTask, settings: Settings, scorer: Scorer, reporter: Reporter
    ) -> None:
        self._task = task
        self._settings = settings
        self._scorer = scorer
        self._reporter = reporter

    def score(
        self, prompts: Prompts, *, phase: Any, first: int = 0, count: int | None = None
    ) -> Scored:
        """Score all examples, ``count`` times or as often as the settings say, beginning with
        repeat ``first``."""
        examples = self._task.split.gate[1]
        count = self._settings.repeats if count is None else count
        self._reporter.phase(phase, len(examples) * count)
        total, scores = 0.0, 0

        def step(outcome: Outcome) -> None:
            nonlocal total, scores
            if outcome.score is not None:
                total, scores = total + outcome.score, scores + 1
            self._reporter.step(total / scores if scores else None)

        runs = [
            self._scorer.score(
                prompts,
                examples,
                kind=phase,
                tick=self._reporter.tick,
                step=step,
                repeat=repeat,
            )
            for repeat in range(first, first + count)
        ]
        scored = Scored(examples, runs)
        if not scored.complete:
            raise unreachable(scored.outcomes)
        _refuse_broken(self._task, scored.outcomes)
        return scored

    def to_record(self, prompts: Prompts, scored: Scored) -> Scored:
        """The scores to compare with later, of more runs where the LM's answers vary.

        Where the search has seen these examples, it has chosen lucky answers: the next gate would
        look worse with nothing changed. So all of them are asked for anew.
        """
        wanted = baseline.runs_to_record(self._settings, lm_of(self._scorer))
        known = [*scored.runs] if self._task.split.test or wanted == 1 else []
        if len(known) >= wanted:
            return scored
        first, count = len(scored.runs), wanted - len(known)
        more = self.score(prompts, phase="confirm", first=first, count=count)
        return Scored(scored.examples, [*known, *more.runs])


def _compared(
    task: PromptTask,
    former: Scored,
    new: Scored,
    test: PairedTest,
    *,
    kept: bool,
    settings: Settings,
) -> str:
    then, now = map(_described, (former, new))
    split = task.split.gate[0]
    counts = (
        f"new ones better on {test.worse} examples, worse on {test.better}, paired p = "
        f"{test.p_value:.2g}"
    )
    if not kept:
        return (
            f"new prompts replace the committed ones: on the {split}set they score {now}, "
            f"the committed ones {then}; {counts}"
        )
    facts = f"on the {split}set they score {then}, the new ones {now}; {counts}"
    if test.drop > 0:
        facts += (
            f"; the search has seen the {split}set, so p < {settings.significance:g} "
            "is asked for: give a testset to compare on unseen examples"
        )
    return f"the committed prompts stay: {facts}"


def _described(scored: Scored) -> str:
    scores = _numbers(scored)
    low, high = interval(scores)
    return f"{math.fsum(scores) / len(scores):.3f} ({low:.3f} to {high:.3f})"


def _numbers(scored: Scored) -> list[float]:
    return [score for score in scored.scores() if score is not None]


def _champion(task: PromptTask, path: Path) -> PromptFile | None:
    """The committed prompts, if there are any that fit the program."""
    try:
        file = promptfile.read(path)
    except (FileNotFoundError, PromptFileError):
        return None
    return None if promptfile.unfit(task.program, file) else file


def _same_record(champion: PromptFile, file: PromptFile) -> bool:
    """Whether what a file is valid for is what it was, so that it can stay as it is.

    Fingerprints must be equal, not merely undiffering: those of an older scheme are renewed.
    """
    facts = ("lm", "decoding", "adapter")
    return champion.fingerprints == file.fingerprints and all(
        champion.fitted_with.get(fact) == file.fitted_with.get(fact) for fact in facts
    )


def _refuse_broken(task: PromptTask, outcomes: list[Outcome]) -> None:
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
    facts = {
        **baseline.scored_with(scorer),
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
    if prompt_lm is not None and prompt_lm is not lm_of(scorer):
        facts["prompt_lm"] = models.described(prompt_lm)["lm"]
    return facts


def _search(compiled: Compiled, scorer: Scorer, reporter: Reporter) -> dict[str, Any]:
    usage = scorer.meter.usage
    return {
        "trials": len(compiled.search.trials),
        "validation_score": round(compiled.score, 4),
        "lm_calls": {**dict(sorted(usage.calls.items())), "total": usage.total_calls},
        "tokens": {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens},
        **({} if usage.cost is None else {"usd": round(usage.cost, 4)}),
        "seconds": round(reporter.seconds, 1),
    }
