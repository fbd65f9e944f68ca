"""Scores to a verdict: do the committed prompts still fit, and are they good enough?"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_mipro import evidence, fingerprint, models, scoresfile, staleness
from pytest_mipro.budget import Usage
from pytest_mipro.decision import (
    Comparison,
    Recorded,
    Scored,
    Stopped,
    Verdict,
    compare,
    verdict_of,
)
from pytest_mipro.evidence import Failure
from pytest_mipro.outcome import Outcome, unreachable
from pytest_mipro.promptfile import PromptFile
from pytest_mipro.prompts import with_prompts
from pytest_mipro.recording import Recording
from pytest_mipro.scoresfile import ScoresFile
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings
from pytest_mipro.statistics import interval
from pytest_mipro.task import PromptTask, leakage


@dataclass(frozen=True)
class GateResult:
    """What the gate found.

    Scores and intervals are on the metric's own scale, 0 to 1.

    Attributes:
        name: of the prompt file.
        verdict: see the README; ``pass`` is the only one that passes.
        prompt_file: its path.
        lm: name of the task LM; empty when nothing was asked.
        program: the program with the committed prompts; None when there are none.
        score, interval: mean over the gate's split and its 95 % interval; None when not scored.
        baseline_score, baseline_interval: of the uncompiled program when the prompts were
            optimised.
        threshold: what the score had to reach.
        comparison: with the recorded scores; None where there are none.
        split, n: which examples were scored, and how many.
        skipped: how many more there are, which ``--mipro-fast`` did not need.
        scores: one per example, in the order of the split, the mean of its repeats; None where
            the LM failed.
        usage, seconds: what it took.
        notes: what a reader should know beside the verdict: leakage, another LM, and the like.
        stale: what no longer fits, from what to what and what to do, an entry each.
        errors: how many examples scored 0 for an error, by kind and cause.
        failures: the worst examples.
        causes: of a gate that cannot judge, counted.
        optimized: whether the prompts were optimised in this run.
    """

    name: str
    verdict: Verdict
    prompt_file: Path
    lm: str = ""
    program: Any = None
    score: float | None = None
    interval: tuple[float, float] | None = None
    baseline_score: float | None = None
    baseline_interval: tuple[float, float] | None = None
    threshold: float | None = None
    comparison: Comparison | None = None
    split: str = ""
    n: int = 0
    skipped: int = 0
    scores: tuple[float | None, ...] = ()
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    errors: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    causes: Mapping[str, int] = field(default_factory=dict)
    optimized: bool = False

    @property
    def passed(self) -> bool:
        """Whether the verdict is ``pass``."""
        return self.verdict == "pass"

    @property
    def recorded_score(self) -> float | None:
        """Mean of the recorded scores of the examples that were compared."""
        return self.comparison.recorded_score if self.comparison else None


def judge(
    task: PromptTask,
    file: PromptFile,
    path: Path,
    settings: Settings,
    scorer: Scorer,
    *,
    name: str,
    recorded: ScoresFile | None = None,
    recording: Recording | None = None,
    tick: Callable[[], None] | None = None,
) -> tuple[GateResult, Scored | None]:
    """Apply the prompt file and give the verdict.

    Nothing is asked of the LM when the file is stale under ``stale=fail``. Under
    ``update_baseline`` what changed is accepted, as long as the prompts can be applied.

    Args:
        task: program, metric and data.
        file: the prompt file.
        path: where it is.
        settings: of the test.
        scorer: runs the program.
        name: of the prompt file.
        recorded: the scores file beside it, if there is one.
        recording: what the scorer answers from, when a recording is replayed.
        tick: called while waiting.

    Returns:
        The result, and what it rests on unless nothing was scored.

    Raises:
        MetricError: the metric raised or did not return a score.
    """
    began = time.monotonic()
    accepting = settings.update_baseline
    result: dict[str, Any] = {"name": name, "prompt_file": path, "threshold": settings.threshold}
    stale = staleness.changes(task, file, recorded, adapter=models.adapter_name(scorer.adapter))
    if accepting:
        stale = [change for change in stale if change.structural]
    if file.scores and file.scores.baseline:
        baseline = file.scores.baseline
        result["baseline_score"] = baseline.mean
        result["baseline_interval"] = tuple(baseline.interval)
    if stale and (accepting or settings.stale == "fail"):
        return GateResult(verdict="stale", stale=tuple(map(str, stale)), **result), None
    split, examples = task.split.gate
    known, notes = (None, []) if accepting else _comparable(task, recorded, split)
    stopped = _run(file, examples, settings, scorer, known, tick)
    scored, verdict = stopped.scored, stopped.verdict
    anew = recording and staleness.asked_anew(recording, scored.outcomes)
    if anew:
        stale.append(anew)
        verdict = "stale" if settings.stale == "fail" else verdict
    notes = [*leakage(task.split), *notes, *_saved(stopped)]
    if not accepting:
        notes += staleness.uncompared(file, recorded)
        notes += staleness.transfer(file, lm_of(scorer))
    if stale and settings.stale == "warn":
        notes += [f"stale: {change}" for change in stale]
    given = GateResult(
        verdict=verdict,
        lm=models.described(lm_of(scorer))["lm"],
        program=with_prompts(task.program, file.prompts()),
        split=split,
        n=len(scored.examples),
        skipped=stopped.skipped,
        stale=tuple(map(str, stale)),
        notes=tuple(notes),
        usage=scorer.meter.usage,
        seconds=time.monotonic() - began,
        **_facts(scored, settings, stopped.recorded),
        **result,
    )
    return given, scored


def lm_of(scorer: Scorer) -> Any:
    """The task LM of a scorer."""
    import dspy

    return scorer.lm or dspy.settings.lm


def _run(
    file: PromptFile,
    examples: Sequence[Any],
    settings: Settings,
    scorer: Scorer,
    recorded: Recorded | None,
    tick: Callable[[], None] | None,
) -> Stopped:
    """Score the examples: all, or under ``fast`` as many as the verdict needs."""
    prompts = file.prompts()

    def score(some: Sequence[Any]) -> list[list[Outcome]]:
        return [
            scorer.score(prompts, some, kind="gate", tick=tick, repeat=repeat)
            for repeat in range(settings.repeats)
        ]

    if settings.fast:
        from pytest_mipro import fast

        return fast.run(score, examples, settings, recorded)
    scored = Scored(examples, score(examples))
    return Stopped(scored, recorded, verdict_of(scored, settings, recorded))


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


def _comparable(
    task: PromptTask, recorded: ScoresFile | None, split: str
) -> tuple[Recorded | None, list[str]]:
    """The recorded score of each example of the gate's split, and what a reader should know."""
    if recorded is None:
        return None, [
            "no scores are recorded beside the prompt file, so only the threshold was checked; "
            "--mipro-update-baseline records today's"
        ]
    reason = ""
    if fingerprint.differs(recorded.metric, fingerprint.metric(task.metric)):
        reason = "they are of another metric"
    elif recorded.split != split:
        reason = f"they are of the {recorded.split}set, the gate scores the {split}set"
    if reason:
        return None, [f"the recorded scores were not compared: {reason}"]
    scores = [recorded.scores.get(name) for name in scoresfile.names_of(task.split.gate[1])]
    found = Recorded(scores, recorded.repeats)
    known = sum(score is not None for score in scores)
    if not known:
        return None, ["the recorded scores were not compared: they are of other examples"]
    if known < len(scores):
        told = f"only {known} of {len(scores)} examples have a recorded score to compare with"
        return found, [told]
    return found, []


def _facts(scored: Scored, settings: Settings, recorded: Recorded | None) -> dict[str, Any]:
    scores, answers = scored.scores(), scored.answers()
    known = [score for score in scores if score is not None]
    errors = Counter(
        f"{outcome.kind.replace('_', ' ')}: {outcome.cause}"
        for outcome in scored.outcomes
        if outcome.kind not in ("scored", "unreachable")
    )
    facts: dict[str, Any] = {
        "scores": tuple(scores),
        "errors": dict(errors.most_common()),
        "failures": evidence.worst(scores, answers, scored.examples),
    }
    if known:
        facts |= {"score": math.fsum(known) / len(known), "interval": interval(known)}
    comparison = compare(scores, settings, recorded)
    if comparison is not None and recorded is not None:
        fallen = evidence.flips(recorded.scores, scores, answers, scored.examples)
        then = [entry.score for entry in recorded.scores if entry is not None]
        facts["comparison"] = replace(comparison, flips=fallen, recorded_interval=interval(then))
    if not scored.complete:
        facts["causes"] = unreachable(scored.outcomes).causes
    return facts
