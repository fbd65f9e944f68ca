"""What is optimised and gated: a program, a metric and the data, checked once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from pytest_mipro.errors import TaskError
from pytest_mipro.files import fingerprint
from pytest_mipro.files.fingerprint import Fingerprints
from pytest_mipro.lm.seam import declared_inputs

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """The three disjoint parts of the data, and how they came about.

    Attributes:
        train, val, test: the examples; ``test`` may be empty.
        carved: the splits that were cut from the training set by pytest-mipro.
        seed: what the cut was shuffled with.
    """

    train: tuple[Any, ...]
    val: tuple[Any, ...]
    test: tuple[Any, ...]
    carved: tuple[str, ...]
    seed: int

    @property
    def gate(self) -> tuple[str, tuple[Any, ...]]:
        """Name and examples of the split that the gate scores: test, else val."""
        return ("test", self.test) if self.test else ("val", self.val)

    def parts(self) -> dict[str, tuple[Any, ...]]:
        """The splits by name, without an empty test set."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {name: part for name, part in parts.items() if part or name != "test"}


@dataclass(frozen=True)
class TaskFacts:
    """What is worked out of a task once, for all that comes after.

    Attributes:
        program, metric: their qualified names.
        fingerprints: what prompts that are made now are valid for.
        sources: the readable code of program and metric, by line.
        gate_split: the split that the gate scores.
        example_ids: of each split's examples, in their order; equal examples have equal ones.
        example_names: of the gate's split: the ids, told apart where an example stands twice.
    """

    program: str
    metric: str
    fingerprints: Fingerprints
    sources: Mapping[str, list[str]]
    gate_split: str
    example_ids: Mapping[str, tuple[str, ...]]
    example_names: tuple[str, ...]


@dataclass(frozen=True)
class PromptTask:
    """A program, its metric and its data, and the facts of them."""

    program: Any
    metric: Callable[..., Any]
    split: Split
    facts: TaskFacts

    @classmethod
    def of(cls, program: Any, metric: Callable[..., Any], split: Split) -> PromptTask:
        """Work out the facts of the three."""
        ids = {
            name: tuple(map(fingerprint.example_id, part)) for name, part in split.parts().items()
        }
        facts = TaskFacts(
            program=fingerprint.qualified_name(type(program)),
            metric=fingerprint.qualified_name(metric),
            fingerprints=Fingerprints(
                predictors=fingerprint.signatures(program),
                program=fingerprint.program(program),
                metric=fingerprint.metric(metric),
                dataset=fingerprint.dataset(ids),
            ),
            sources=fingerprint.sources(program, metric),
            gate_split=split.gate[0],
            example_ids=ids,
            example_names=_told_apart(ids[split.gate[0]]),
        )
        return cls(program, metric, split, facts)


def make_task(
    program: Any,
    metric: Callable[..., Any],
    trainset: Sequence[Any],
    valset: Sequence[Any] | None = None,
    testset: Sequence[Any] | None = None,
    *,
    seed: int = 0,
) -> PromptTask:
    """Check the three and cut what splits are missing.

    Raises:
        TaskError: something cannot be used; the message names it and the remedy.
    """
    check_program(program)
    if not callable(metric):
        raise TaskError(
            f"the metric is {metric!r}, which cannot be called; "
            "give a function metric(example, prediction, trace=None)"
        )
    given = {"trainset": trainset, "valset": valset, "testset": testset}
    for name, examples in given.items():
        if examples is not None:
            check_examples(name, examples)
    return PromptTask.of(program, metric, cut(trainset, valset, testset, seed=seed))


def check_program(program: Any) -> None:
    """Raise a TaskError unless ``program`` is a DSPy module with something to optimise."""
    import dspy

    if isinstance(program, type):
        raise TaskError(
            f"the program is the class {program.__name__}; give an instance: {program.__name__}()"
        )
    if not isinstance(program, dspy.Module):
        raise TaskError(
            f"the program is a {type(program).__name__}; it must be a dspy.Module, "
            "such as dspy.Predict(...) or a class of your own that derives from dspy.Module"
        )
    predictors = program.named_predictors()
    if not predictors:
        raise TaskError(
            f"the program {type(program).__name__} has no predictors, so there is no prompt to "
            "optimise; make a dspy.Predict or another DSPy module an attribute of it in __init__"
        )
    for name, predictor in predictors:
        if not predictor.signature.instructions.strip():
            raise TaskError(
                f"predictor {name!r} of {type(program).__name__} has no instruction; "
                "give its signature a docstring that says what to do"
            )


def check_examples(name: str, examples: Sequence[Any]) -> None:
    """Raise a TaskError that names the first example that cannot be used."""
    import dspy

    if not hasattr(examples, "__len__") or isinstance(examples, (str, bytes, Mapping)):
        raise TaskError(f"{name} is a {type(examples).__name__}; it must be a list of dspy.Example")
    if len(examples) == 0:
        raise TaskError(
            f"{name} is empty; give it examples (20 are a start, 100 or more are better)"
        )
    for position, example in enumerate(examples):
        where = f"{name}[{position}]"
        if not isinstance(example, dspy.Example):
            raise TaskError(
                f"{where} is a {type(example).__name__}; make it a dspy.Example(...)"
                ".with_inputs(...), or read the file with load_examples(path, inputs=[...])"
            )
        if declared_inputs(example) is None:
            raise TaskError(
                f"{where} does not say which of its fields ({', '.join(example.keys())}) are "
                "inputs; declare them with .with_inputs(...), or read the file with "
                "load_examples(path, inputs=[...])"
            )


def cut(
    trainset: Sequence[Any],
    valset: Sequence[Any] | None,
    testset: Sequence[Any] | None,
    *,
    seed: int,
) -> Split:
    """Give every example one place.

    With a training set alone, a quarter becomes the validation set and a quarter the test set.
    With a training and a test set, a third of the training set becomes the validation set. A
    validation set that is given stands for the test set too, unless there is one. What is cut
    is shuffled with the seed first; repeated examples stay together, so that a cut never leaks.

    Raises:
        TaskError: too few examples to cut, or a validation set of one.
    """
    if valset is not None:
        if len(valset) < 2:
            raise TaskError(
                "valset has 1 example, and one example cannot tell two prompts apart; "
                "give at least 2 (100 or more are better), or leave valset out to have it cut "
                "from trainset"
            )
        return Split(tuple(trainset), tuple(valset), tuple(testset or ()), (), seed)
    groups: dict[str, list[Any]] = {}
    for example in trainset:
        groups.setdefault(fingerprint.example_id(example), []).append(example)
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    share = 4 if testset is None else 3
    least = 6 if testset is None else 4
    if len(order) < least:
        raise TaskError(
            f"trainset has {len(order)} different examples, too few to cut a validation "
            f"{'and a test ' if testset is None else ''}set from; give at least {least}, "
            "or give valset yourself"
        )
    size = max(2, round(len(order) / share))
    if testset is None:
        test, val, train = order[:size], order[size : 2 * size], order[2 * size :]
        carved: tuple[str, ...] = ("val", "test")
        tested = _flat(test)
    else:
        val, train, tested = order[:size], order[size:], tuple(testset)
        carved = ("val",)
    return Split(_flat(train), _flat(val), tested, carved, seed)


def leakage(example_ids: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one line per pair of splits that share examples; an empty list is good.

    Args:
        example_ids: of the examples of each split.
    """
    lines = []
    for first, second in combinations(example_ids, 2):
        shared = len({*example_ids[first]} & {*example_ids[second]})
        if shared:
            lines.append(
                f"leakage: {shared} example{'s stand' if shared > 1 else ' stands'} in both "
                f"{first}set and {second}set; remove from one, or the score is too good"
            )
    return lines


def _told_apart(ids: Sequence[str]) -> tuple[str, ...]:
    """The ids, with a number where one stands more than once."""
    seen: Counter[str] = Counter()
    names = []
    for example_id in ids:
        seen[example_id] += 1
        names.append(example_id if seen[example_id] == 1 else f"{example_id}#{seen[example_id]}")
    return tuple(names)


def _flat(groups: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(example for group in groups for example in group)
