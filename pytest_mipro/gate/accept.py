"""Accepting what prompts score today: the scores file, and the score in the prompt file."""

from __future__ import annotations

import math
from typing import Any

from pytest_mipro.files import promptfile, scoresfile
from pytest_mipro.files.location import Location
from pytest_mipro.files.promptfile import PromptFile, ScoreEntry, ScoresEntry
from pytest_mipro.files.scoresfile import RecordedScore, ScoresFile
from pytest_mipro.gate.intervals import interval
from pytest_mipro.outcome import Scored, refuse_unscored
from pytest_mipro.prompts import digest
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings
from pytest_mipro.task import TaskFacts

RECORDED_REPEATS = 3  # where the LM's answers vary


def score_entry(facts: TaskFacts, scored: Scored) -> ScoreEntry:
    """The score of the gate's split as it stands in a prompt file."""
    scores = [score for score in scored.scores() if score is not None]
    low, high = interval(scores)
    return ScoreEntry(
        metric=facts.metric,
        split=facts.gate_split,
        n=len(scores),
        mean=round(math.fsum(scores) / len(scores), 4),
        interval=[round(low, 4), round(high, 4)],
    )


def runs_to_record(settings: Settings, *, varies: bool) -> int:
    """How often each example is run for the scores to compare with later.

    Where answers vary, the recorded scores are as noisy as today's; more runs of them, paid for
    once, let each gate see smaller drops.

    Args:
        settings: of the test.
        varies: whether the LM may answer the same request differently.
    """
    if settings.recorded_repeats is not None:
        return max(settings.recorded_repeats, settings.repeats)
    return max(RECORDED_REPEATS, settings.repeats) if varies else settings.repeats


def update(
    facts: TaskFacts,
    location: Location,
    file: PromptFile,
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
    scored = _widened(scored, file, scorer, runs_to_record(settings, varies=scorer.varies))
    updated = file.model_copy(
        update={
            "scores": ScoresEntry(
                baseline=file.scores.baseline if file.scores else None,
                compiled=score_entry(facts, scored),
            ),
            "fitted_with": _accepted(file, facts, scorer.described()),
            "fingerprints": facts.fingerprints,
        }
    )
    promptfile.write(location.prompt_file, updated)
    write_scores(facts, location, updated, scored)
    return scored


def scores_of(facts: TaskFacts, file: PromptFile, scored: Scored) -> ScoresFile:
    """What is recorded of each example, to compare with later."""
    answers = zip(facts.example_names, scored.scores(), scored.answers(), strict=True)
    return ScoresFile(
        name=file.name,
        metric=facts.fingerprints.metric or "",
        split=facts.gate_split,
        repeats=len(scored.runs),
        prompts=digest(file.prompts()),
        sources=dict(facts.sources),
        scores={
            name: RecordedScore(score=round(score, 6), answer=answer)
            for name, score, answer in answers
            if score is not None
        },
    )


def write_scores(facts: TaskFacts, location: Location, file: PromptFile, scored: Scored) -> None:
    """Write the scores file that belongs to a prompt file."""
    scoresfile.write(location.scores_file, scores_of(facts, file, scored))


def _accepted(file: PromptFile, facts: TaskFacts, today: dict[str, Any]) -> dict[str, Any]:
    """How the prompts came about, with what they are accepted with today where it differs."""
    fitted_with = {k: v for k, v in file.fitted_with.items() if k != "accepted_with"}
    if any(fitted_with.get(fact, value) != value for fact, value in today.items()):
        fitted_with["accepted_with"] = today
    split = file.fitted_with.get("split")
    if isinstance(split, dict):
        sizes = {name: len(ids) for name, ids in facts.example_ids.items()}
        fitted_with["split"] = {**split, **sizes}
    return fitted_with


def _widened(scored: Scored, file: PromptFile, scorer: Scorer, runs: int) -> Scored:
    more = [
        scorer.score(file.prompts(), scored.examples, kind="gate", repeat=repeat)
        for repeat in range(len(scored.runs), runs)
    ]
    widened = Scored(scored.examples, [*scored.runs, *more])
    if not widened.complete:
        refuse_unscored(widened.outcomes)
    return widened
