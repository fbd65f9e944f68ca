"""Scores to a verdict: do the committed prompts still fit, and are they good enough?"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytest_mipro import fingerprint, models, promptfile
from pytest_mipro.budget import Usage
from pytest_mipro.promptfile import PromptFile
from pytest_mipro.prompts import labeled_demos, plain_value, with_prompts
from pytest_mipro.scoring import Outcome, Scorer, unreachable
from pytest_mipro.settings import Settings
from pytest_mipro.statistics import interval
from pytest_mipro.task import PromptTask, leakage

Verdict = Literal["pass", "below threshold", "stale", "missing", "cannot judge"]


@dataclass(frozen=True)
class Failure:
    """An example that scored worst: what was asked, what was expected, what came."""

    example: str
    inputs: str
    expected: str
    got: str
    score: float


@dataclass(frozen=True)
class GateResult:
    """What the gate found.

    Scores and intervals are on the metric's own scale, 0 to 1.

    Attributes:
        name: of the prompt file.
        verdict: see the README; ``pass`` is the only one that passes.
        prompt_file: its path.
        program: the program with the committed prompts; None when there are none.
        score, interval: mean over the gate's split and its 95 % interval; None when not scored.
        baseline_score: of the uncompiled program when the prompts were optimised.
        threshold: what the score had to reach.
        split, n: which examples were scored, and how many.
        scores: one per example, in the order of the split; None where the LM failed.
        usage, seconds: what it took.
        notes: what a reader should know beside the verdict: leakage, another LM, and the like.
        stale: what no longer fits, one line each.
        errors: how many examples scored 0 for an error, by kind and cause.
        failures: the worst examples.
        causes: of a gate that cannot judge, counted.
        optimized: whether the prompts were optimised in this run.
    """

    name: str
    verdict: Verdict
    prompt_file: Path
    program: Any = None
    score: float | None = None
    interval: tuple[float, float] | None = None
    baseline_score: float | None = None
    threshold: float | None = None
    split: str = ""
    n: int = 0
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


def judge(
    task: PromptTask,
    file: PromptFile | None,
    path: Path,
    settings: Settings,
    scorer: Scorer,
    *,
    name: str,
    optimized: bool = False,
    tick: Callable[[], None] | None = None,
) -> GateResult:
    """Apply the prompt file and give the verdict.

    Nothing is asked of the LM when the file is missing, or stale under ``stale=fail``.

    Args:
        task: program, metric and data.
        file: the prompt file, or None when there is none.
        path: where it is, or should be.
        settings: of the test.
        scorer: runs the program.
        name: of the prompt file.
        optimized: whether the file was made in this run.
        tick: called while waiting.

    Raises:
        MetricError: the metric raised or did not return a score.
    """
    began = time.monotonic()
    result: dict[str, Any] = {"name": name, "prompt_file": path, "optimized": optimized}
    result["threshold"] = settings.threshold
    if file is None:
        return GateResult(verdict="missing", **result)
    stale = staleness(task, file, scorer)
    if file.scores and file.scores.baseline:
        result["baseline_score"] = file.scores.baseline.mean
    if stale and settings.stale == "fail":
        return GateResult(verdict="stale", stale=tuple(stale), **result)
    split, examples = task.split.gate
    outcomes = scorer.score(file.prompts(), examples, kind="gate", tick=tick)
    notes = [*leakage(task.split), *transfer(file, scorer)]
    if stale and settings.stale == "warn":
        notes += [f"stale: {line}" for line in stale]
    return GateResult(
        verdict=verdict_of(outcomes, settings.threshold),
        program=with_prompts(task.program, file.prompts()),
        split=split,
        n=len(examples),
        stale=tuple(stale),
        notes=tuple(notes),
        usage=scorer.meter.usage,
        seconds=time.monotonic() - began,
        **_facts(outcomes, examples),
        **result,
    )


def verdict_of(outcomes: Sequence[Outcome], threshold: float | None) -> Verdict:
    """The verdict on scored outcomes.

    Where the LM could not be asked for some examples, the verdict stands only if no scores of
    theirs, 0 to 1, could change it.
    """
    missing = sum(outcome.score is None for outcome in outcomes)
    total = math.fsum(outcome.score or 0.0 for outcome in outcomes)
    if missing == len(outcomes):
        return "cannot judge"
    if threshold is None:
        return "cannot judge" if missing else "pass"
    # Rounding in the last place must not fail a score that equals its threshold.
    least = threshold * len(outcomes) - 1e-9
    if total >= least:
        return "pass"
    return "below threshold" if total + missing < least else "cannot judge"


def staleness(task: PromptTask, file: PromptFile, scorer: Scorer) -> list[str]:
    """Say, one line each, what differs between now and what the prompts were fitted with."""
    lines = promptfile.unfit(task.program, file) or mislabeled(task, file)
    then = file.fingerprints
    now = promptfile.fingerprints_of(task.program, task.metric, task.split.parts())
    if then is None:
        return lines
    for name, print_now in now.predictors.items():
        recorded = then.predictors.get(name)
        if recorded not in (None, print_now) and not any(f"{name!r}" in line for line in lines):
            lines.append(
                f"predictor {name!r}: a field of its signature was added, removed, renamed or "
                "described differently"
            )
    if then.program not in (None, now.program) and not lines:
        lines.append(f"the code of the program {file.program} changed")
    if then.metric not in (None, now.metric):
        lines.append(f"the code of the metric {_metric_name(file)} changed")
    for split, recorded in then.dataset.items():
        if now.dataset.get(split) != recorded:
            lines.append(f"the examples of the {split}set changed")
    recorded_adapter = file.fitted_with.get("adapter")
    adapter = models.adapter_name(scorer.adapter)
    if recorded_adapter not in (None, adapter):
        lines.append(f"the adapter was {recorded_adapter}, now it is {adapter}")
    return lines


def mislabeled(task: PromptTask, file: PromptFile) -> list[str]:
    """Say, one line each, which labeled demos contradict the training example that they are."""
    lines = []
    for name, predictor in task.program.named_predictors():
        labels = {
            _brief(demo.inputs, whole=True): demo.outputs
            for demo in labeled_demos(predictor.signature, task.split.train)
        }
        for position, demo in enumerate(file.predictors[name].demos, start=1):
            known = labels.get(_brief(demo.inputs, whole=True))
            if demo.origin != "labeled" or known is None:
                continue
            lines += [
                f"predictor {name!r}: labeled demo {position} says {field}={value!r}, the "
                f"trainset says {known[field]!r} ({_brief(demo.inputs)})"
                for field, value in demo.outputs.items()
                if field in known and str(plain_value(known[field])) != str(value)
            ]
    return lines


def transfer(file: PromptFile, scorer: Scorer) -> list[str]:
    """Say whether the LM is another one than the prompts were fitted with; the score decides."""
    recorded = file.fitted_with.get("lm")
    current = models.described(_lm(scorer))["lm"]
    if recorded in (None, current):
        return []
    return [f"the prompts were fitted with {recorded}, now the LM is {current}"]


def _facts(outcomes: Sequence[Outcome], examples: Sequence[Any]) -> dict[str, Any]:
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    errors = Counter(
        f"{outcome.kind.replace('_', ' ')}: {outcome.cause}"
        for outcome in outcomes
        if outcome.kind not in ("scored", "unreachable")
    )
    facts: dict[str, Any] = {
        "scores": tuple(outcome.score for outcome in outcomes),
        "errors": dict(errors.most_common()),
        "failures": _worst(outcomes, examples),
    }
    if scores:
        facts |= {"score": math.fsum(scores) / len(scores), "interval": interval(scores)}
    if len(scores) < len(outcomes):
        facts["causes"] = unreachable(outcomes).causes
    return facts


def _worst(outcomes: Sequence[Outcome], examples: Sequence[Any]) -> tuple[Failure, ...]:
    pairs = [
        (outcome.score, position)
        for position, outcome in enumerate(outcomes)
        if outcome.score is not None and outcome.score < 1.0
    ]
    failures = []
    for score, position in sorted(pairs)[:10]:
        example, outcome = examples[position], outcomes[position]
        got = outcome.cause or _fields(outcome.prediction, example)
        failures.append(
            Failure(
                example=fingerprint.example_id(example)[:8],
                inputs=_brief(dict(example.inputs().items())),
                expected=_brief(dict(example.labels().items())),
                got=got,
                score=score,
            )
        )
    return tuple(failures)


def _fields(prediction: Any, example: Any) -> str:
    if not hasattr(prediction, "items"):
        return repr(prediction)[:100]
    values = dict(prediction.items())
    labels = example.labels().keys()
    return _brief({name: values[name] for name in values if name in labels} or values)


def _brief(values: Mapping[str, Any], *, whole: bool = False) -> str:
    parts = []
    for name, value in values.items():
        text = " ".join(str(value).split())
        parts.append(f"{name}={text if whole or len(text) <= 70 else text[:67] + '...'}")
    return ", ".join(parts)


def _metric_name(file: PromptFile) -> str:
    entry = file.scores and (file.scores.compiled or file.scores.baseline)
    return entry.metric if entry else ""


def _lm(scorer: Scorer) -> Any:
    import dspy

    return scorer.lm or dspy.settings.lm
