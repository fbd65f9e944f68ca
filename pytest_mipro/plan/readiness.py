"""Whether optimising is worth its calls: checks with figures, without asking an LM.

The rule: a metric that can be trusted, enough data, splits that do not overlap, labels that leave
something to learn, and a program whose structure is settled. See ``--mipro-plan``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_mipro.errors import MetricError, NotRecorded
from pytest_mipro.lm.answering import refusing
from pytest_mipro.metriccall import name_of, takes_trace, to_score
from pytest_mipro.task import PromptTask, Split, TaskFacts, leakage

Status = Literal["ok", "warn", "fail"]

EXAMPLES_TRIED = 50  # on which the metric is tried
WRONG_ALLOWED = 0.1  # share of wrong answers that may get full marks by chance
FEW, ENOUGH = 50, 100  # examples to search with
MOST_VALUES = 20  # of a label that counts as a class
LOPSIDED = 0.8  # share of the most frequent label
POWER_Z = 1.645 + 0.842  # one-sided 5 %, 80 % power


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what it is about.
        status: ``fail`` where optimising would waste calls, ``warn`` where it may.
        facts: what was found, with figures.
        remedy: what to do about it; empty where all is well.
    """

    name: str
    status: Status
    facts: str
    remedy: str = ""


@dataclass(frozen=True)
class Readiness:
    """What the checks come to.

    Attributes:
        checks: all of them.
        advice: what to do now, in one line.
    """

    checks: tuple[Check, ...]
    advice: str

    @property
    def ready(self) -> bool:
        """Whether nothing stands against optimising."""
        return all(check.status != "fail" for check in self.checks)


def check(
    task: PromptTask, changed: Sequence[str] | None, uncompared: Sequence[str] = ()
) -> Readiness:
    """Look at a task before money is spent on it.

    Args:
        task: program, metric and data.
        changed: what changed since the committed prompts were accepted, a line each; None where
            nothing is committed.
        uncompared: what could not be compared with it, a line each.
    """
    checks = (
        metric(task.metric, [*task.split.val, *task.split.train]),
        data(task.split),
        overlap(task.facts),
        *balance(task.split),
        structure(task.program, changed, uncompared),
    )
    return Readiness(checks, _advice(checks, len(task.split.train) + len(task.split.val)))


def metric(function: Callable[..., Any], examples: Sequence[Any]) -> Check:
    """Try a metric on answers that are known to be right, and to be wrong.

    The labels of an example are the right answer to it, and those of another example, which
    differ in every field, are a wrong one. An LM that the metric would ask is not asked.
    """
    tried = list(examples)[:EXAMPLES_TRIED]
    right = [(example, _answer(example)) for example in tried]
    wrong = [(ex, _answer(other)) for ex, other in _mismatched(tried)]
    try:
        with refusing():
            gold = [_scored(function, *pair) for pair in right]
            mixed = [_scored(function, *pair) for pair in wrong]
            again = [_scored(function, *pair) for pair in (*right, *wrong)]
            _scored(function, *right[0], [])
    except NotRecorded:
        return Check(
            "metric",
            "warn",
            f"{name_of(function)} asks an LM, so it was not tried",
            "check it by hand on a few right and wrong answers",
        )
    except Exception as error:
        said = str(error) if isinstance(error, MetricError) else f"{type(error).__name__}: {error}"
        return Check(
            "metric",
            "fail",
            f"{name_of(function)} fails on an answer that is right: {said}",
            "an answer has the example's labels as fields; make the metric accept that",
        )
    return _judged(function, gold, mixed, again)


def data(split: Split) -> Check:
    """Whether there are enough examples to search with, and what the gate can see."""
    sizes = {name: len(part) for name, part in split.parts().items()}
    searched, gated = sizes["train"] + sizes["val"], len(split.gate[1])
    facts = ", ".join(f"{count} {name}" for name, count in sizes.items())
    facts += (
        f"; on {gated} the gate sees a drop of about {100 * _visible_drop(gated):.0f} points "
        "four times in five"
    )
    if searched < FEW:
        return Check(
            "data",
            "fail",
            facts,
            f"with fewer than {FEW} examples write the prompt by hand, or use dspy.COPRO; collect "
            f"{ENOUGH} or more to search",
        )
    if searched < ENOUGH:
        return Check("data", "warn", facts, f"{ENOUGH} or more examples are better")
    return Check("data", "ok", facts)


def overlap(facts: TaskFacts) -> Check:
    """Whether an example stands in two splits."""
    lines = leakage(facts.example_ids)
    if lines:
        told = "; ".join(line.removeprefix("leakage: ").partition(";")[0] for line in lines)
        return Check("leakage", "fail", told, "remove them from one, or the score is too good")
    ids = facts.example_ids["train"]
    repeated = len(ids) - len({*ids})
    told = "no example stands in two splits"
    if repeated:
        return Check("leakage", "ok", f"{told}; {repeated} stand twice in the trainset")
    return Check("leakage", "ok", told)


def balance(split: Split) -> list[Check]:
    """How the values of each label that has few are spread."""
    parts = split.parts()
    every = [example for part in parts.values() for example in part]
    names = dict.fromkeys(name for example in every for name in example.labels())
    checks = []
    for name in names:
        counts = Counter(str(ex[name]) for ex in every if name in ex)
        if len(counts) > min(MOST_VALUES, len(every) // 3):
            continue
        value, most = counts.most_common(1)[0]
        share = most / counts.total()
        facts = f"{name}: {len(counts)} values, the most frequent ({value}) {share:.0%}"
        shown = {str(ex[name]) for ex in parts["train"] if name in ex}
        unseen = sorted(set(counts) - shown)
        if unseen:
            remedy = "a demo can only show what the trainset has; add some"
            unseen_facts = f"{facts}; not in the trainset: {', '.join(unseen[:5])}"
            checks.append(Check("balance", "warn", unseen_facts, remedy))
        elif share > LOPSIDED:
            remedy = f"always answering {value!r} scores {share:.0%}; add others"
            checks.append(Check("balance", "warn", facts, remedy))
        else:
            checks.append(Check("balance", "ok", facts))
    return checks


def structure(program: Any, changed: Sequence[str] | None, uncompared: Sequence[str] = ()) -> Check:
    """Whether the program is still what the committed prompts were made for."""
    predictors = [name for name, _ in program.named_predictors()]
    facts = f"{len(predictors)} predictor{'s' if len(predictors) > 1 else ''}"
    facts += f" ({', '.join(predictors[:6])}{', ...' if len(predictors) > 6 else ''})"
    if changed is None:
        return Check("structure", "ok", f"{facts}; nothing is committed yet")
    if not changed:
        same = uncompared or ["as when the committed prompts were accepted"]
        return Check("structure", "ok", "; ".join([facts, *same]))
    return Check(
        "structure",
        "warn",
        f"{facts}; changed since the committed prompts were accepted: {'; '.join(changed)}",
        "optimise when the structure is settled: prompts are fitted to it",
    )


def _advice(checks: Sequence[Check], examples: int) -> str:
    failing = [check for check in checks if check.status == "fail"]
    if any(check.name != "data" for check in failing):
        names = ", ".join(dict.fromkeys(check.name for check in failing))
        return f"not yet: mend first: {names}"
    if failing:
        return f"not yet: {examples} examples are too few to search; write the prompt by hand"
    if any(check.name == "data" and check.status == "warn" for check in checks):
        return "may help: more examples would make it surer"
    return "go"


def _judged(
    function: Callable[..., Any],
    gold: Sequence[float],
    mixed: Sequence[float],
    again: Sequence[float],
) -> Check:
    full, lucky = sum(s >= 1.0 for s in gold), sum(s >= 1.0 for s in mixed)
    kind = "full marks or none" if all(s in (0, 1) for s in (*gold, *mixed)) else "graded"
    facts = f"{name_of(function)} ({kind}): full marks for {full} of {len(gold)} right answers"
    facts += f" and {lucky} of {len(mixed)} wrong ones" if mixed else ""
    problems = []
    if full < len(gold):
        problems.append("right answers must get full marks")
    if lucky > WRONG_ALLOWED * len(mixed):
        problems.append("wrong answers must not get full marks")
    if list(again) != [*gold, *mixed]:
        facts += "; another score when asked again"
        problems.append("the same answer must get the same score")
    elif not problems:
        facts += ", the same when asked again"
    if not mixed:
        facts += "; no two examples differ in all labels, so wrong answers were not tried"
    return Check("metric", "fail" if problems else "ok", facts, "; ".join(problems))


def _scored(function: Callable[..., Any], example: Any, answer: Any, *trace: Any) -> float:
    extra = trace if takes_trace(function) else ()
    return to_score(function(example, answer, *extra))


def _answer(example: Any) -> Any:
    import dspy

    return dspy.Prediction(**dict(example.labels().items()))


def _mismatched(examples: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Each example beside the next one that has other labels in every field."""
    pairs = []
    for n, example in enumerate(examples):
        labels = dict(example.labels().items())
        order = (*examples[n + 1 :], *examples[:n])
        others = (o for o in order if all(o.get(name) != labels[name] for name in labels))
        other = next(others, None)
        if other is not None:
            pairs.append((example, other))
    return pairs


def _visible_drop(n: int) -> float:
    """The drop from a score of 0.8 that the paired test of so many examples sees with 80 % power.

    McNemar's test in its normal approximation (Lachin 1992, "Power and sample size evaluation for
    the McNemar test", Statistics in Medicine 11), where half of the variance of a score is the
    example's own, so that 16 % of the examples flip when nothing changed.
    """
    return min(1.0, POWER_Z * math.sqrt(0.16 / n))
