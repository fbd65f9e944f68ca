"""Prompts as values: one instruction and a list of demos per predictor."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Origin = Literal["bootstrapped", "labeled"]


@dataclass(frozen=True)
class Demo:
    """One demonstration of a predictor.

    Attributes:
        inputs, outputs: field values, by field name, in the signature's order.
        origin: ``bootstrapped`` when the program made it on a training input and the end
            result passed the metric, ``labeled`` when it is a training example itself.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    origin: Origin

    def key(self) -> str:
        """Return a text that is the same for demos with the same fields and values."""
        return _canonical([dict(self.inputs), dict(self.outputs)])

    def inputs_key(self) -> str:
        """The same for demos with the same inputs, whatever the outputs."""
        return _canonical([dict(self.inputs), {}])

    def outputs_key(self) -> str:
        """The same for demos with the same outputs, whatever the inputs."""
        return _canonical([{}, dict(self.outputs)])


@dataclass(frozen=True)
class PredictorPrompt:
    """What is optimised of one predictor."""

    instructions: str
    demos: tuple[Demo, ...] = ()


DemoSet = tuple[Demo, ...]
"""Demos that stand in a prompt together, in their order."""

Prompts = Mapping[str, PredictorPrompt]
"""Prompts of a whole program, by predictor name as ``named_predictors()`` gives it."""


def prompts_of(program: Any) -> dict[str, PredictorPrompt]:
    """Read the prompts that a program carries now."""
    return {
        name: PredictorPrompt(
            predictor.signature.instructions,
            tuple(_demo_of(predictor.signature, demo) for demo in predictor.demos),
        )
        for name, predictor in program.named_predictors()
    }


def with_prompts(program: Any, prompts: Prompts) -> Any:
    """Return a copy of ``program`` that carries ``prompts``; ``program`` is left alone.

    Predictors that ``prompts`` does not name keep what they have.
    """
    copy = program.deepcopy()
    set_prompts(copy, prompts)
    return copy


def set_prompts(program: Any, prompts: Prompts) -> None:
    """Put ``prompts`` into ``program`` itself."""
    import dspy

    for name, predictor in program.named_predictors():
        prompt = prompts.get(name)
        if prompt is None:
            continue
        predictor.signature = predictor.signature.with_instructions(prompt.instructions)
        predictor.demos = [
            dspy.Example(
                **demo.inputs,
                **demo.outputs,
                **({"augmented": True} if demo.origin == "bootstrapped" else {}),
            ).with_inputs(*demo.inputs)
            for demo in prompt.demos
        ]


def labeled_demos(signature: Any, examples: Iterable[Any]) -> list[Demo]:
    """The examples that hold all fields of a signature, as demos."""
    ins, outs = signature.input_fields, signature.output_fields
    return [
        Demo({k: example[k] for k in ins}, {k: example[k] for k in outs}, "labeled")
        for example in examples
        if all(k in example for k in (*ins, *outs))
    ]


def digest(prompts: Prompts) -> str:
    """Return a short text that is equal for equal prompts and differs for others."""
    plain = {
        name: [prompt.instructions, [demo.key() for demo in prompt.demos]]
        for name, prompt in prompts.items()
    }
    return hashlib.sha256(_canonical(plain).encode()).hexdigest()[:16]


def plain_value(value: Any) -> Any:
    """Return a field value as text, numbers, booleans, None, lists and dicts only.

    Raises:
        TypeError: a value that has no such form, such as an open file.
    """
    if isinstance(value, enum.Enum):  # first, as one may be a text or a number as well
        return plain_value(value.value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [plain_value(item) for item in items]
    if hasattr(value, "model_dump"):
        return plain_value(value.model_dump(mode="json"))
    if hasattr(value, "toDict"):
        return plain_value(value.toDict())
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise TypeError(f"a value of type {type(value).__name__} has no plain form")


def _demo_of(signature: Any, demo: Any) -> Demo:
    values = dict(demo.items()) if hasattr(demo, "items") else dict(demo)
    return Demo(
        inputs={name: values[name] for name in signature.input_fields if name in values},
        outputs={name: values[name] for name in signature.output_fields if name in values},
        origin="bootstrapped" if values.get("augmented") else "labeled",
    )


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_fallback)


def _fallback(value: Any) -> Any:
    try:
        return plain_value(value)
    except TypeError:
        return repr(value)
