"""From a task to its prompt file: baseline, optimise, score on held-out data, write."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import dspy

from pytest_mipro.errors import PromptFileError, TaskError
from pytest_mipro.files import promptfile
from pytest_mipro.files.location import Location
from pytest_mipro.files.promptfile import PromptFile, ScoresEntry
from pytest_mipro.gate.accept import runs_to_record, score_entry, write_scores
from pytest_mipro.gate.intervals import interval
from pytest_mipro.gate.paired import PairedTest, paired_test
from pytest_mipro.optimizers.registry import Candidate, optimizer
from pytest_mipro.outcome import Outcome, Scored, refuse_unscored
from pytest_mipro.prompts import Prompts, digest, prompts_of
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings
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
    location: Location,
    *,
    prompt_lm: Any,
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
    promptfile.check_writable(location.prompt_file)
    held_out = _HeldOut(task, settings, scorer)
    before = held_out.score(prompts_of(task.program), phase="baseline")
    candidate = optimizer("mipro").propose(
        scorer, task.split.train, task.split.val, settings, prompt_lm=prompt_lm
    )
    challenger = held_out.score(candidate.prompts, phase="confirm")
    champion = _champion(task, location)
    chosen = _chosen(candidate.prompts, challenger, champion, held_out)
    scored = held_out.to_record(chosen.prompts, chosen.scored)
    file = PromptFile(
        name=location.name,
        program=task.facts.program,
        predictors=promptfile.entries_of(chosen.prompts),
        scores=ScoresEntry(
            baseline=score_entry(task.facts, before), compiled=score_entry(task.facts, scored)
        ),
        fitted_with=_fitted_with(task, settings, scorer, prompt_lm),
        fingerprints=task.facts.fingerprints,
        search=_search(candidate, scorer),
    )
    if chosen.kept and champion is not None and _same_record(champion, file):
        if not location.scores_file.exists():
            write_scores(task.facts, location, champion, scored)
        return Fitted(champion, chosen.note)
    promptfile.write(location.prompt_file, file)
    write_scores(task.facts, location, file, scored)
    return Fitted(file, chosen.note)


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

    def __init__(self, task: PromptTask, settings: Settings, scorer: Scorer) -> None:
        self.task = task
        self.settings = settings
        self._scorer = scorer
        self._reporter = scorer.reporter

    def score(
        self, prompts: Prompts, *, phase: Any, first: int = 0, count: int | None = None
    ) -> Scored:
        """Score all examples, ``count`` times or as often as the settings say, beginning with
        repeat ``first``."""
        examples = self.task.split.gate[1]
        count = self.settings.repeats if count is None else count
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
                step=step,
                repeat=repeat,
            )
            for repeat in range(first, first + count)
        ]
        scored = Scored(examples, runs)
        if not scored.complete:
            refuse_unscored(scored.outcomes)
        _refuse_broken(self.task, scored.outcomes)
        return scored

    def to_record(self, prompts: Prompts, scored: Scored) -> Scored:
        """The scores to compare with later, of more runs where the LM's answers vary.

        Where the search has seen these examples, it has chosen lucky answers: the next gate would
        look worse with nothing changed. So all of them are asked for anew.
        """
        wanted = runs_to_record(self.settings, varies=self._scorer.varies)
        kept = [*scored.runs] if self.task.split.test or wanted == 1 else []
        if len(kept) >= wanted:
            return scored
        first, count = len(scored.runs), wanted - len(kept)
        more = self.score(prompts, phase="confirm", first=first, count=count)
        return Scored(scored.examples, [*kept, *more.runs])


@dataclass(frozen=True)
class _Chosen:
    """The prompts that are to be committed, and whether they are the champion's."""

    prompts: Prompts
    scored: Scored
    kept: bool = False
    note: str = ""


def _chosen(
    prompts: Prompts, challenger: Scored, champion: PromptFile | None, held_out: _HeldOut
) -> _Chosen:
    """Compare new prompts with committed ones, where there are any, on the held-out examples."""
    if champion is None or digest(champion.prompts()) == digest(prompts):
        return _Chosen(prompts, challenger)
    task, settings = held_out.task, held_out.settings
    former = held_out.score(champion.prompts(), phase="confirm")
    runs = (settings.repeats, settings.repeats)
    test = paired_test(_numbers(challenger), _numbers(former), runs=runs)
    kept = not is_better(test, unseen=bool(task.split.test), significance=settings.significance)
    note = _compared(task.facts.gate_split, former, challenger, test, kept, settings.significance)
    return (
        _Chosen(champion.prompts(), former, True, note)
        if kept
        else _Chosen(prompts, challenger, False, note)
    )


def _compared(
    split: str,
    former: Scored,
    new: Scored,
    test: PairedTest,
    kept: bool,
    significance: float,
) -> str:
    then, now = map(_described, (former, new))
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
            f"; the search has seen the {split}set, so p < {significance:g} "
            "is asked for: give a testset to compare on unseen examples"
        )
    return f"the committed prompts stay: {facts}"


def _described(scored: Scored) -> str:
    scores = _numbers(scored)
    low, high = interval(scores)
    return f"{math.fsum(scores) / len(scores):.3f} ({low:.3f} to {high:.3f})"


def _numbers(scored: Scored) -> list[float]:
    return [score for score in scored.scores() if score is not None]


def _champion(task: PromptTask, location: Location) -> PromptFile | None:
    """The committed prompts, if there are any that fit the program."""
    try:
        file = promptfile.read(location.prompt_file)
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
        **scorer.described(),
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
    if prompt_lm is not None and prompt_lm is not scorer.task_lm:
        facts["prompt_lm"] = scorer.described(prompt_lm)["lm"]
    return facts


def _search(candidate: Candidate, scorer: Scorer) -> dict[str, Any]:
    usage = scorer.meter.usage
    return {
        "trials": candidate.trials,
        "validation_score": round(candidate.score, 4),
        "lm_calls": {**dict(sorted(usage.calls.items())), "total": usage.total_calls},
        "tokens": {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens},
        **({} if usage.cost is None else {"usd": round(usage.cost, 4)}),
        "seconds": round(scorer.reporter.seconds, 1),
    }
