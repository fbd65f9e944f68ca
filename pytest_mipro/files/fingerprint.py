"""What a prompt file is valid for: readable where short, else hashes that survive reformatting."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pytest_mipro.files import source
from pytest_mipro.prompts import plain_value

# A quoted word that reads the same without its quotes, unlike '1' or 'None'.
_WORD = re.compile(r"'(?!(?:True|False|None)')([A-Za-z][\w -]*)'")


class Fingerprints(BaseModel):
    """What prompts are valid for, as it stands in a prompt file.

    Attributes:
        predictors: each predictor's signature, readable.
        program, metric: of their code.
        dataset: of each split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    predictors: dict[str, str] = Field(default_factory=dict)
    program: str | None = None
    metric: str | None = None
    dataset: dict[str, str] = Field(default_factory=dict)


def example_id(example: Any) -> str:
    """Return a short, stable name of an example, made from all its fields."""
    return _short({key: _plain(value) for key, value in sorted(example.items())})


def dataset(example_ids: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Fingerprint of each split; the order of the examples in it does not matter.

    Args:
        example_ids: by split; see :func:`example_id`.
    """
    return {name: _short(sorted(ids)) for name, ids in example_ids.items()}


def signature(signature: Any) -> str:
    """A signature's fields as a reader knows them, such as ``text: str -> label: str``.

    Names, types, order, and descriptions other than DSPy's own. The instruction is not part of
    it: that is what optimising changes.
    """
    sides = (signature.input_fields, signature.output_fields)
    return " -> ".join(
        ", ".join(_field(name, field) for name, field in fields.items()) for fields in sides
    )


def signatures(program: Any) -> dict[str, str]:
    """Fingerprint of each predictor's signature, by predictor name."""
    return {name: signature(p.signature) for name, p in program.named_predictors()}


def program(program: Any) -> str:
    """Fingerprint of a program's code, its modules' included, and of its predictors' kinds."""
    kinds = [[name, type(p).__qualname__] for name, p in program.named_predictors()]
    return _short([[source.normalized(kind) for kind in own_classes(program)], kinds])


def metric(metric: Any) -> str:
    """Fingerprint of a metric's code, and of its arguments where it is a dataclass."""
    code = source.normalized(metric_code(metric), called_by_position=True)
    given = [repr(metric)] if dataclasses.is_dataclass(metric) else []
    return _short([code, *given] if given else code)


def own_classes(program: Any) -> list[type]:
    """The classes of a program and of the modules in it, without those that are DSPy's."""
    kinds = dict.fromkeys(type(module) for _, module in program.named_sub_modules())
    return [kind for kind in kinds if kind.__module__.split(".")[0] != "dspy"]


def metric_code(metric: Any) -> Any:
    """What holds a metric's code: the function, or the class of a callable object."""
    return metric if inspect.isroutine(metric) else type(metric)


def sources(program: Any, metric: Any) -> dict[str, list[str]]:
    """The readable code of a program and its metric, by line."""
    classes = "\n".join(map(source.readable, own_classes(program)))
    return {
        "program": classes.splitlines(),
        "metric": source.readable(metric_code(metric)).splitlines(),
    }


def qualified_name(thing: Any) -> str:
    """Return ``module:name`` of a class, a function, or the class of anything else."""
    return source.qualified_name(thing)


def _field(name: str, field: Any) -> str:
    description = (field.json_schema_extra or {}).get("desc", "")
    shown = "" if description in ("", f"${{{name}}}") else f" ({description})"
    return f"{name}: {_type_name(field.annotation)}{shown}"


def _type_name(annotation: Any) -> str:
    if not isinstance(annotation, type) or hasattr(annotation, "__args__"):
        return _WORD.sub(r"\1", str(annotation).replace("typing.", ""))
    schema = getattr(annotation, "model_json_schema", None)
    members = getattr(annotation, "__members__", None)
    if schema is not None:
        return f"{annotation.__qualname__}#{_short(schema())[:6]}"
    if members is not None:
        return f"{annotation.__qualname__}[{', '.join(members)}]"
    return annotation.__qualname__


def _plain(value: Any) -> Any:
    try:
        return plain_value(value)
    except TypeError:
        return repr(value)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
