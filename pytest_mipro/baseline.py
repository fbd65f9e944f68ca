"""Recording what the prompts score: the scores file, and the score in the prompt file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pytest_mipro import fingerprint, models, promptfile, scoresfile
from pytest_mipro.decision import Scored
from pytest_mipro.gate import lm_of
from pytest_mipro.promptfile import PromptFile, ScoreEntry, ScoresEntry
from pytest_mipro.prompts import digest
from pytest_mipro.scoresfile import RecordedScore, ScoresFile
from pytest_mipro.scoring import Scorer
from pytest_mipro.statistics import interval
from pytest_mipro.task import PromptTask


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


def scored_with(scorer: Scorer) -> dict[str, Any]:
    """LM, decoding settings and adapter of a scorer."""
    return {**models.described(lm_of(scorer)), "adapter": models.adapter_name(scorer.adapter)}


def update(
    task: PromptTask, file: PromptFile, path: Path, scored: Scored, scorer: Scorer
) -> PromptFile:
    """Accept today's scores, code, metric and data as those that the prompts are valid for.

    How the prompts came about stays as it is recorded.

    Raises:
        PromptFileError: a file cannot be written.
    """
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
    return updated


def write_scores(
    task: PromptTask, file: PromptFile, path: Path, scored: Scored, scorer: Scorer
) -> None:
    """Write the scores file that belongs to a prompt file."""
    scoresfile.write(scoresfile.path_beside(path), scores_of(task, file, scored, scorer))
