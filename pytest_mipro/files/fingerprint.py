"""What a prompt file is valid for: readable where short, else hashes that survive reformatting.

Unchanged code has the same fingerprint on every Python. A fingerprint of code begins with the
number of its scheme, such as ``2:1c25620a3ffcd389``; one without a number is of scheme 1, which
hashed code as Python prints it and so differed between Pythons. Fingerprints of two schemes are not
compared: see :func:`differs`. Data and signatures never depended on how Python prints code: their
fingerprints are still of scheme 1, and files of any age are compared with them.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import inspect
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_mipro.files import source
from pytest_mipro.prompts import plain_value

CODE_SCHEME = 2
"""Scheme of the fingerprints of programs and metrics. Raise it where unchanged code would get
another hash."""

DATA_SCHEME = 1
"""Scheme of the fingerprints of data and of signatures."""

_NUMBERED = re.compile(r"(\d+):[0-9a-f]+")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# A character that some Pythons escape and others print, as they know more of Unicode.
_ESCAPED = re.compile(r"\\(?:x([89a-f][0-9a-f])|u([0-9a-f]{4})|U([0-9a-f]{8}))")

# A quoted word that reads the same without its quotes, unlike '1' or 'None'.
_WORD = re.compile(r"'(?!(?:True|False|None)')([A-Za-z][\w -]*)'")


@dataclasses.dataclass(frozen=True)
class Fingerprints:
    """What prompts are valid for, as it stands in a prompt file.

    Attributes:
        predictors: each predictor's signature, readable.
        program, metric: of their code.
        dataset: of each split.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    predictors: dict[str, str] = dataclasses.field(default_factory=dict)
    program: str | None = None
    metric: str | None = None
    dataset: dict[str, str] = dataclasses.field(default_factory=dict)

    def is_other_metric(self, then: str) -> bool:
        """Whether scores that were recorded by the metric ``then`` are of another one."""
        return differs(then, self.metric)


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
    return _of_code([[source.normalized(kind) for kind in own_classes(program)], kinds])


def metric(metric: Any) -> str:
    """Fingerprint of a metric's code, and of its arguments where it is a dataclass or a partial.

    Args:
        metric: a function, a callable object, or a ``functools.partial`` of one.
    """
    code = source.normalized(metric_code(metric), called_by_position=True)
    if dataclasses.is_dataclass(metric) or isinstance(metric, functools.partial):
        return _of_code([code, _told(metric)])
    return _of_code(code)


def scheme(fingerprint: str) -> int:
    """The scheme of a fingerprint: the number it begins with, else 1."""
    numbered = _NUMBERED.fullmatch(fingerprint)
    return int(numbered[1]) if numbered else 1


def differs(then: str | None, now: str | None) -> bool:
    """Whether two fingerprints say that something changed.

    They do not where one of them is missing or they are of different schemes: nobody knows then,
    and what is not known must not fail a gate. Two spellings of one type are no difference.

    Args:
        then: of a program, metric, split or signature, as it was recorded.
        now: of the same today.
    """
    if then is None or now is None or scheme(then) != scheme(now):
        return False
    return then != now and _respelled(then) != _respelled(now)


def own_classes(program: Any) -> list[type]:
    """The classes of a program and of the modules in it, without those that are DSPy's."""
    kinds = dict.fromkeys(type(module) for _, module in program.named_sub_modules())
    return [kind for kind in kinds if kind.__module__.split(".")[0] != "dspy"]


def metric_code(metric: Any) -> Any:
    """What holds a metric's code: the function, or the class of a callable object.

    Of a ``functools.partial`` it is what is called in the end: partial's own code is Python's.
    """
    while isinstance(metric, functools.partial):
        metric = metric.func
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
    """An annotation, spelled by rules of our own: Pythons print unions and literals differently."""
    if not isinstance(annotation, type) or hasattr(annotation, "__args__"):
        return _WORD.sub(r"\1", _spelled(annotation))
    schema = getattr(annotation, "model_json_schema", None)
    members = getattr(annotation, "__members__", None)
    if schema is not None:
        return f"{annotation.__qualname__}#{_short(schema())[:6]}"
    if members is not None:
        return f"{annotation.__qualname__}[{', '.join(members)}]"
    return annotation.__qualname__


def _spelled(annotation: Any) -> str:
    """An annotation as Python 3.10 to 3.13 print it, but for unions, which are all ``a | b``."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is None or annotation is types.NoneType:
        return "None"
    if annotation is Ellipsis:
        return "..."
    if isinstance(annotation, (list, tuple)):  # the parameters of a Callable
        return f"[{', '.join(map(_spelled, annotation))}]"
    if isinstance(annotation, typing.ForwardRef):
        return f"ForwardRef({annotation.__forward_arg__!r})"
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        known = annotation.__module__ in ("builtins", "typing")
        return ("" if known else f"{annotation.__module__}.") + annotation.__qualname__
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_spelled, parts))
    printed = _plain_text(annotation)
    if not parts or parts == ((),) or not printed.endswith("]"):
        return printed
    if origin is typing.Literal:
        told = [_value(part) for part in parts]
    elif hasattr(annotation, "__metadata__"):  # Annotated
        told = [_spelled(parts[0]), *map(_value, parts[1:])]
    else:
        told = [_spelled(part) for part in parts]
    return f"{printed.partition('[')[0]}[{', '.join(told)}]"


def _plain_text(annotation: Any) -> str:
    text = repr(annotation) if isinstance(annotation, str) else str(annotation)
    return _unescaped(_ADDRESS.sub("", text.replace("typing.", "")))


def _value(value: Any) -> str:
    """A value in an annotation."""
    if isinstance(value, enum.Enum):
        return f"<{type(value).__name__}.{value.name}: {_value(value.value)}>"
    return _unescaped(_ADDRESS.sub("", repr(value)))


def _unescaped(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        number = int(found[1] or found[2] or found[3], 16)
        return chr(number) if 0x80 <= number < 0xD800 or 0xE000 <= number < 0x110000 else found[0]

    return _ESCAPED.sub(character, text)


def _respelled(text: str) -> str:
    """A signature's text with each type spelled in one way.

    Files of scheme 1 hold what Python printed: ``Optional[str]`` or ``str | None``, with escapes
    for characters it did not know. A text in which nothing of that stands stays as it is, and both
    sides of a comparison are respelled, so that equal texts never differ.
    """
    text = _unescaped(_ADDRESS.sub("", text)).replace("NoneType", "None")
    for found in reversed([*re.finditer(r"\b(Optional|Union)\[", text)]):  # inner ones first
        end = _end(text, found.end())
        parts = _parts(text[found.end() : end])
        parts += ["None"] if found[1] == "Optional" else []
        text = text[: found.start()] + " | ".join(parts) + text[end + 1 :]
    # Optional[x] does not tell on which side of x None stood.
    for found in reversed([*re.finditer(r"\bNone \| ", text)]):
        if not text[: found.start()].endswith("| "):
            end = _end(text, found.end(), stops=(", ", " ->", " ("))
            text = f"{text[: found.start()]}{text[found.end() : end]} | None{text[end:]}"
    return text


def _parts(text: str) -> list[str]:
    """What stands between the commas of a type."""
    end = _end(text, 0, stops=(", ",))
    return [text[:end], *(_parts(text[end + 2 :]) if end < len(text) else [])]


def _end(text: str, start: int, *, stops: tuple[str, ...] = ()) -> int:
    """Where the bracket that is open at ``start`` closes, or outside of further ones a stop is."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"[": 1, "]": -1}.get(text[place], 0)
        if depth < 0 or (depth == 0 and text.startswith(stops, place)):
            return place
    return len(text)


def _told(value: Any) -> Any:
    """An argument of a metric, the same on each Python and in each run.

    ``repr`` is neither: it holds addresses, the order of a set, and flags in an order that changed.
    Where a class says itself how it is told, that holds.
    """
    if isinstance(value, enum.Enum):
        return [source.qualified_name(value), _told(value.value)]
    if isinstance(value, functools.partial):
        return ["partial", *map(_told, (value.func, value.args, value.keywords))]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(_told, value)]
    if isinstance(value, (set, frozenset)):
        return [type(value).__name__, *sorted(map(json.dumps, map(_told, value)))]
    if isinstance(value, Mapping):
        return [type(value).__name__, *([_told(k), _told(value[k])] for k in value)]
    if inspect.isroutine(value):
        return source.normalized(value)
    if isinstance(value, type):
        return source.qualified_name(value)
    if dataclasses.is_dataclass(value) and not source.has_source(type(value).__repr__):
        fields = [field.name for field in dataclasses.fields(value) if field.repr]
        return [type(value).__qualname__, *([n, _told(getattr(value, n))] for n in fields)]
    return _ADDRESS.sub("", ascii(value))


def _plain(value: Any) -> Any:
    try:
        return plain_value(value)
    except TypeError:
        return repr(value)


def _of_code(value: Any) -> str:
    return f"{CODE_SCHEME}:{_short(value)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
