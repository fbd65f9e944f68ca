"""Scores to a verdict: do the committed prompts still fit, and are they good enough?"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_mipro.files.committed import Committed
from pytest_mipro.gate import evidence, staleness
from pytest_mipro.gate.decision import Recorded, Stopped, compare, verdict_of
from pytest_mipro.gate.intervals import interval
from pytest_mipro.gate.result import GateResult
from pytest_mipro.outcome import Outcome, Scored, causes_of
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings
from pytest_mipro.task import PromptTask, TaskFacts, leakage


@dataclass(frozen=True)
class Judgement:
    """A verdict, and what it rests on.

    Attributes:
        result: for people and tests.
        scored: the outcomes; None where nothing was scored.
    """

    result: GateResult
    scored: Scored | None = None


def judge(
    task: PromptTask,
    committed: Committed,
    settings: Settings,
    scorer: Scorer,
) -> Judgement:
    """Apply the committed prompts and give the verdict.

    Nothing is asked of the LM when the file is stale under ``stale=fail``. Under
    ``update_baseline`` what changed is accepted, as long as the prompts can be applied.

    Args:
        task: program, metric and data.
        committed: the prompt file, and what stands beside it.
        settings: of the test.
        scorer: runs the program.

    Raises:
        MetricError: the metric raised or did not return a score.
    """
    began = time.monotonic()
    result = _head(committed, settings)
    stale = staleness.changes(task, committed.file, committed.scores, adapter=scorer.adapter_name)
    if settings.update_baseline:
        stale = [change for change in stale if change.structural]
    if stale and (settings.update_baseline or settings.stale == "fail"):
        return Judgement(replace(result, verdict="stale", stale=tuple(map(str, stale))))
    recorded, notes = _comparable(task.facts, committed, settings)
    stopped = _run(committed, task.split.gate[1], settings, scorer, recorded)
    verdict = stopped.verdict
    anew = _asked_anew(committed, stopped.scored)
    if anew:
        stale.append(anew)
        verdict = "stale" if settings.stale == "fail" else verdict
    if stale and settings.stale == "warn":
        notes += [f"stale: {change}" for change in stale]
    result = replace(
        result,
        verdict=verdict,
        program=scorer.compiled(committed.file.prompts()),
        split=task.facts.gate_split,
        stale=tuple(map(str, stale)),
        notes=(
            *leakage(task.facts.example_ids),
            *notes,
            *_saved(stopped),
            *_transfer(committed, scorer, settings),
        ),
        lm=scorer.described()["lm"],
        usage=scorer.meter.usage,
        seconds=time.monotonic() - began,
    )
    return Judgement(_with_scores(result, task.facts, committed, settings, stopped), stopped.scored)


def _head(committed: Committed, settings: Settings) -> GateResult:
    """The result before anything was scored."""
    result = GateResult(
        name=committed.location.name,
        verdict="cannot judge",
        prompt_file=committed.location.prompt_file,
        threshold=settings.threshold,
    )
    baseline = committed.file.scores and committed.file.scores.baseline
    if not baseline:
        return result
    low, high = baseline.interval
    return replace(result, baseline_score=baseline.mean, baseline_interval=(low, high))


def _run(
    committed: Committed,
    examples: Sequence[Any],
    settings: Settings,
    scorer: Scorer,
    recorded: Recorded | None,
) -> Stopped:
    """Score the examples: all, or under ``fast`` as many as the verdict needs."""
    prompts = committed.file.prompts()

    def score(some: Sequence[Any]) -> list[list[Outcome]]:
        return [
            scorer.score(prompts, some, kind="gate", repeat=repeat)
            for repeat in range(settings.repeats)
        ]

    if settings.fast:
        # Imports numpy, which a gate of binary scores does without.
        from pytest_mipro.gate import fast

        return fast.run(score, examples, settings, recorded)
    positions = range(len(examples))
    scored = Scored(examples, score(examples))
    return Stopped(scored, positions, recorded, verdict_of(scored, settings, recorded))


def _comparable(
    facts: TaskFacts, committed: Committed, settings: Settings
) -> tuple[Recorded | None, list[str]]:
    """The recorded score of each example of the gate's split, and what a reader should know."""
    file = committed.scores
    if settings.update_baseline:
        return None, []
    if file is None:
        return None, [
            "no scores are recorded beside the prompt file, so only the threshold was checked; "
            "--mipro-update-baseline records today's"
        ]
    reason = ""
    if facts.fingerprints.is_other_metric(file.metric):
        reason = "they are of another metric"
    elif file.split != facts.gate_split:
        reason = f"they are of the {file.split}set, the gate scores the {facts.gate_split}set"
    scores = [file.score_of(name) for name in facts.example_names]
    count = sum(score is not None for score in scores)
    if not reason and not count:
        reason = "they are of other examples"
    if reason:
        return None, [f"the recorded scores were not compared: {reason}"]
    if count < len(scores):
        told = f"only {count} of {len(scores)} examples have a recorded score to compare with"
        return Recorded(scores, file.repeats), [told]
    return Recorded(scores, file.repeats), []


def _asked_anew(committed: Committed, scored: Scored) -> staleness.Change | None:
    """Say that a replayed gate asks what was not recorded; None when it does not."""
    outcomes = scored.outcomes
    unknown = [outcome.unrecorded for outcome in outcomes if outcome.unrecorded is not None]
    recording = committed.recording
    if recording is None or not unknown:
        return None
    return staleness.Change(
        recording.asked_anew(unknown, len(outcomes)),
        "undo the change, or record anew with --mipro-record, where the LM can be reached, and "
        "commit the recording",
    )


def _saved(stopped: Stopped) -> list[str]:
    if not stopped.skipped:
        return []
    total = stopped.skipped + len(stopped.scored.examples)
    certain = (
        "the rest cannot change the verdict"
        if stopped.probability == 1.0
        else f"all would give the same verdict with probability {stopped.probability:.3f}"
    )
    return [
        f"fast: scored {total - stopped.skipped} of {total} examples, "
        f"{stopped.skipped / total:.0%} of the calls saved; {certain}"
    ]


def _transfer(committed: Committed, scorer: Scorer, settings: Settings) -> list[str]:
    if settings.update_baseline:
        return []
    return [
        *staleness.uncompared(committed.file, committed.scores),
        *staleness.transfer(committed.file, scorer.described()),
    ]


def _with_scores(
    result: GateResult,
    facts: TaskFacts,
    committed: Committed,
    settings: Settings,
    stopped: Stopped,
) -> GateResult:
    """The result with the scores, and the examples that they rest on."""
    scored, scores = stopped.scored, stopped.scored.scores()
    numbers = [score for score in scores if score is not None]
    errors = Counter(
        f"{outcome.kind.replace('_', ' ')}: {outcome.cause}"
        for outcome in scored.outcomes
        if outcome.kind not in ("scored", "unreachable")
    )
    answered = _answered(facts, committed, stopped)
    comparison = compare(scores, settings, stopped.recorded)
    recorded = stopped.recorded.scores if stopped.recorded and comparison else ()
    then = [score for score in recorded if score is not None]
    return replace(
        result,
        n=len(scored.examples),
        skipped=stopped.skipped,
        scores=tuple(scores),
        score=math.fsum(numbers) / len(numbers) if numbers else None,
        interval=interval(numbers) if numbers else None,
        errors=dict(errors.most_common()),
        failures=evidence.worst(answered),
        comparison=comparison,
        recorded_interval=interval(then) if then else None,
        flips=evidence.flips(answered) if comparison else (),
        causes={} if scored.complete else causes_of(scored.outcomes),
    )


def _answered(facts: TaskFacts, committed: Committed, stopped: Stopped) -> list[evidence.Answered]:
    names = [facts.example_names[position] for position in stopped.positions]
    then = committed.scores.scores if committed.scores and stopped.recorded else {}
    entries = [then.get(name) for name in names]
    scored = stopped.scored
    return [
        evidence.Answered(
            *(name, example, answer, score),
            *((entry.answer, entry.score) if entry else ()),
        )
        for name, example, answer, score, entry in zip(
            names, scored.examples, scored.answers(), scored.scores(), entries, strict=True
        )
    ]
