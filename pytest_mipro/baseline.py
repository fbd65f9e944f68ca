"""Recording what the prompts score: the scores file, and the score in the prompt file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pytest_mipro import fingerprint, models, promptfile, scoresfile
from pytest_mipro.decision import Scored
from pytest_mipro.gate import lm_of
from pytest_mipro.outcome import unreachable
from pytest_mipro.promptfile import PromptFile, ScoreEntry, ScoresEntry
from pytest_mipro.prompts import digest
from pytest_mipro.scoresfile import RecordedScore, ScoresFile
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings
from pytest_mipro.statistics import interval
from pytest_mipro.task import PromptTask

RECORDED_REPEATS = 3  # where the LM's answers vary


def score_entry(task: PromptTask, scored: Scored) -> ScoreEntry:
    """The score of a split as it stands in a prompt file."""
    scores = [score for score in scored.scores() if score is not None]
    low, high = interval(scores)
    return ScoreEntry(
        metric=fingerprint.qualified_name(task.metric),
        split=task.split.gate[0],
        n=len(scores),
        mean=round(math.fsum(scores) / len(scores), 4),
        interval=[round(low, 4), round(high, 4)],
    )


def scores_of(task: PromptTask, file: PromptFile, scored: Scored, scorer: Scorer) -> ScoresFile:
    """What is recorded per example, to compare with later."""
    names = scoresfile.names_of(scored.examples)
    return ScoresFile(
        name=file.name,
        metric=fingerprint.metric(task.metric),
        split=task.split.gate[0],
        repeats=len(scored.runs),
        prompts=digest(file.prompts()),
        sources=fingerprint.sources(task.program, task.metric),
        scores={
            name: RecordedScore(score=round(score, 6), answer=answer)
            for name, score, answer in zip(names, scored.scores(), scored.answers(), strict=True)
            if score is not None
        },
    )


def runs_to_record(settings: Settings, lm: Any) -> int:
    """How often each example is run for the scores to compare with later.

    Where answers vary, the recorded scores are as noisy as today's; more runs of them, paid for
    once, let each gate see smaller drops.
    """
    if settings.recorded_repeats is not None:
        return max(settings.recorded_repeats, settings.repeats)
    return max(RECORDED_REPEATS, settings.repeats) if models.varies(lm) else settings.repeats


def scored_with(scorer: Scorer) -> dict[str, Any]:
    """LM, decoding settings and adapter of a scorer."""
    return {**models.described(lm_of(scorer)), "adapter": models.adapter_name(scorer.adapter)}


def update(
    task: PromptTask,
    file: PromptFile,
    path: Path,
    scored: Scored,
    scorer: Scorer,
    settings: Settings,
) -> Scored:
    """Accept today's scores, code, metric and data as those that the prompts are valid for.

    Where the LM's answers vary, the examples are run more often: see :func:`runs_to_record`.

    How the prompts came about stays as it is recorded.

    Returns:
        What was recorded.

    Raises:
        CannotJudge: the LM could not be asked for the further runs; nothing is written.
        PromptFileError: a file cannot be written.
    """
    scored = _widened(scored, file, scorer, runs_to_record(settings, lm_of(scorer)))
    split = file.fitted_with.get("split")
    sizes = {name: len(part) for name, part in task.split.parts().items()}
    fitted_with = {k: v for k, v in file.fitted_with.items() if k != "accepted_with"}
    today = scored_with(scorer)
    if any(fitted_with.get(fact, value) != value for fact, value in today.items()):
        fitted_with["accepted_with"] = today
    if isinstance(split, dict):
        fitted_with["split"] = {**split, **sizes}
    updated = file.model_copy(
        update={
            "scores": ScoresEntry(
                baseline=file.scores.baseline if file.scores else None,
                compiled=score_entry(task, scored),
            ),
            "fitted_with": fitted_with,
            "fingerprints": promptfile.fingerprints_of(
                task.program, task.metric, task.split.parts()
            ),
        }
    )
    promptfile.write(path, updated)
    write_scores(task, updated, path, scored, scorer)
    return scored


def _widened(scored: Scored, file: PromptFile, scorer: Scorer, runs: int) -> Scored:
    more = [
        scorer.score(file.prompts(), scored.examples, kind="gate", repeat=repeat)
        for repeat in range(len(scored.runs), runs)
    ]
    widened = Scored(scored.examples, [*scored.runs, *more])
    if not widened.complete:
        raise unreachable(widened.outcomes)
    return widened


def write_scores(
    task: PromptTask, file: PromptFile, path: Path, scored: Scored, scorer: Scorer
) -> None:
    """Write the scores file that belongs to a prompt file."""
    scoresfile.write(scoresfile.path_beside(path), scores_of(task, file, scored, scorer))
