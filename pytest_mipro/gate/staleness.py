"""What differs between today and what the prompts were accepted with, line by line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mipro.files.fingerprint import CODE_SCHEME, DATA_SCHEME, differs, scheme
from pytest_mipro.files.promptfile import PromptFile, unfit
from pytest_mipro.files.scoresfile import ScoresFile
from pytest_mipro.outcome import brief
from pytest_mipro.prompts import labeled_demos, plain_value
from pytest_mipro.task import PromptTask, TaskFacts

DIFF_LINES = 16
_ACCEPT = "if the prompts still serve, --mipro-update-baseline accepts what they score now"


@dataclass(frozen=True)
class Change:
    """One thing that changed.

    Attributes:
        text: what changed, from what to what.
        remedy: what to do about it.
        structural: whether the prompts cannot be meant for what is there now.
    """

    text: str
    remedy: str
    structural: bool = False

    def __str__(self) -> str:
        return f"{self.text}\n    -> {self.remedy}"

    @property
    def headline(self) -> str:
        """The text's first line."""
        return self.text.partition("\n")[0].rstrip(":")


def changes(
    task: PromptTask, file: PromptFile, recorded: ScoresFile | None, *, adapter: str
) -> list[Change]:
    """Say what makes a prompt file stale.

    Args:
        task: program, metric and data of today.
        file: the prompt file.
        recorded: the scores file beside it, if there is one.
        adapter: name of today's adapter.
    """
    misfits = unfit(task.program, file)
    found = [
        Change(line, "undo the renaming, or optimise again", structural=True) for line in misfits
    ]
    found = found or [
        Change(line, "correct one of the two", structural=True) for line in mislabeled(task, file)
    ]
    return (
        found
        if file.fingerprints is None
        else [*found, *_changed_facts(task.facts, file, recorded, adapter, found)]
    )


def _changed_facts(
    facts: TaskFacts,
    file: PromptFile,
    recorded: ScoresFile | None,
    adapter: str,
    structural: Sequence[Change],
) -> list[Change]:
    then, now = file.fingerprints, facts.fingerprints
    assert then is not None
    sources = recorded.sources if recorded else {}
    found = list(_signatures(then.predictors, now.predictors, structural))
    if differs(then.program, now.program) and not (found or structural):
        found.append(_code("program", file.program, sources, facts.sources))
    if differs(then.metric, now.metric):
        found.append(_code("metric", metric_name(file), sources, facts.sources))
    found += _data(then.dataset, facts, file, recorded)
    recorded_adapter = _accepted_with(file).get("adapter")
    if recorded_adapter not in (None, adapter):
        text = f"the adapter was {recorded_adapter}, now it is {adapter}"
        found.append(Change(text, f"name the old one (ini mipro_adapter), or {_ACCEPT}"))
    return found


def uncompared(file: PromptFile, recorded: ScoresFile | None) -> list[str]:
    """Say in one line which fingerprints are of another scheme, and so say nothing of a change.

    Args:
        file: the prompt file.
        recorded: the scores file beside it, if there is one.
    """
    code, data = CODE_SCHEME, DATA_SCHEME
    then = file.fingerprints
    prints = [
        ("program", then.program if then else None, code),
        ("metric", then.metric if then else None, code),
        *(("dataset", split, data) for split in (then.dataset.values() if then else ())),
        ("metric", recorded.metric if recorded else None, code),
    ]
    others = [
        (what, scheme(found) < expected)
        for what, found, expected in prints
        if found is not None and scheme(found) != expected
    ]
    if not others:
        return []
    age = "an older" if all(older for _, older in others) else "another"
    names = ", ".join(dict.fromkeys(what for what, _ in others))
    return [
        f"fingerprints of {age} pytest-mipro are not compared ({names}); "
        "--mipro-update-baseline renews them"
    ]


def mislabeled(task: PromptTask, file: PromptFile) -> list[str]:
    """Say, one line each, which labeled demos contradict the training example that they are."""
    lines = []
    prompts = file.prompts()
    for name, predictor in task.program.named_predictors():
        labels = {
            demo.inputs_key(): demo.outputs
            for demo in labeled_demos(predictor.signature, task.split.train)
        }
        for position, demo in enumerate(prompts[name].demos, start=1):
            expected = labels.get(demo.inputs_key())
            if demo.origin != "labeled" or expected is None:
                continue
            lines += [
                f"predictor {name!r}: labeled demo {position} says {field}={value!r}, the "
                f"trainset says {expected[field]!r} ({brief(demo.inputs)})"
                for field, value in demo.outputs.items()
                if field in expected and str(plain_value(expected[field])) != str(value)
            ]
    return lines


def transfer(file: PromptFile, now: Mapping[str, Any]) -> list[str]:
    """Say whether LM or decoding settings are other than those the prompts were accepted with.

    That is a warning, as it may do no harm: the score decides.

    Args:
        file: the prompt file.
        now: today's LM and decoding settings.
    """
    then = _accepted_with(file)
    lines = []
    if then.get("lm") not in (None, now["lm"]):
        lines.append(f"the prompts were fitted with {then['lm']}, now the LM is {now['lm']}")
    old, new = then.get("decoding"), now["decoding"]
    if isinstance(old, Mapping):
        lines += [
            f"decoding: {key} was {old.get(key, 'not set')}, now it is {new.get(key, 'not set')}"
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
        ]
    return [f"transfer not guaranteed: {line}; the score decides" for line in lines]


def metric_name(file: PromptFile) -> str:
    """The name of the metric that a prompt file was made with."""
    entry = file.scores and (file.scores.compiled or file.scores.baseline)
    return entry.metric if entry else ""


def _accepted_with(file: PromptFile) -> Mapping[str, Any]:
    """LM, decoding settings and adapter that the recorded score was accepted with."""
    accepted = file.fitted_with.get("accepted_with")
    return accepted if isinstance(accepted, Mapping) else file.fitted_with


def _signatures(
    then: Mapping[str, str], now: Mapping[str, str], structural: Sequence[Change]
) -> Iterable[Change]:
    for name, signature in now.items():
        recorded = then.get(name)
        told = any(f"{name!r}" in change.text for change in structural)
        if differs(recorded, signature) and not told:
            yield Change(
                f"predictor {name!r}: its signature was\n      {recorded}\n    now it is\n"
                f"      {signature}",
                f"optimise again; {_ACCEPT}",
            )


def _code(
    what: str, name: str, before: Mapping[str, list[str]], now: Mapping[str, list[str]]
) -> Change:
    text = f"the code of the {what} {name} changed"
    if before.get(what):
        lines = difflib.unified_diff(before[what], now[what], n=1, lineterm="")
        shown = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
        more = [f"... {len(shown) - DIFF_LINES} lines more"] if len(shown) > DIFF_LINES else []
        text = "\n      ".join([f"{text}:", *shown[:DIFF_LINES], *more])
    remedy = f"{_ACCEPT}; else optimise again"
    if what == "metric":
        remedy = f"scores of two metrics cannot be compared; {remedy}"
    return Change(text, remedy)


def _data(
    then: Mapping[str, str],
    facts: TaskFacts,
    file: PromptFile,
    recorded: ScoresFile | None,
) -> Iterable[Change]:
    sizes = file.fitted_with.get("split")
    sizes = sizes if isinstance(sizes, Mapping) else {}
    now = facts.fingerprints.dataset
    for split, before in then.items():
        if split in now and not differs(before, now[split]):
            continue
        told = []
        size = len(facts.example_ids.get(split, ()))
        if sizes.get(split) not in (None, size):
            told.append(f"it had {sizes[split]}, now it has {size}")
        if recorded is not None and split == facts.gate_split == recorded.split:
            names = {*facts.example_names}
            new, gone = names - set(recorded.scores), set(recorded.scores) - names
            told.append(f"{len(new)} new, {len(gone)} gone")
        more = f": {'; '.join(told)}" if told else ""
        yield Change(f"the examples of the {split}set changed{more}", _ACCEPT)
