"""What a prompt file is valid for, as short hashes that survive reformatting."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_mipro.prompts import plain_value


def example_id(example: Any) -> str:
    """Return a short, stable name of an example, made from all its fields."""
    return _short({key: _plain(value) for key, value in sorted(example.items())})


def dataset(splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Fingerprint of each split; the order of the examples in it does not matter."""
    return {name: _short(sorted(map(example_id, split))) for name, split in splits.items()}


def signature(signature: Any) -> str:
    """Fingerprint of a signature's fields: names, types, descriptions and order.

    The instruction is not part of it: that is what optimising changes.
    """
    return _short(
        {
            kind: [
                [name, str(field.annotation), (field.json_schema_extra or {}).get("desc", "")]
                for name, field in fields.items()
            ]
            for kind, fields in (
                ("inputs", signature.input_fields),
                ("outputs", signature.output_fields),
            )
        }
    )


def program(program: Any) -> str:
    """Fingerprint of a program's code and of the kinds of its predictors."""
    kinds = [[name, type(p).__qualname__] for name, p in program.named_predictors()]
    return _short([code(type(program)), kinds])


def code(thing: Any) -> str:
    """Return the code of a class or function without comments, docstrings and layout.

    Falls back to the qualified name where there is no source, as for a built-in.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):
        return qualified_name(thing)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            _drop_docstring(node)
    return ast.unparse(tree)


def metric(metric: Any) -> str:
    """Fingerprint of a metric's code."""
    return _short(code(metric if inspect.isroutine(metric) else type(metric)))


def qualified_name(thing: Any) -> str:
    """Return ``module:name`` of a class, a function, or the class of anything else."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def _drop_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
    first = node.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        node.body = node.body[1:] or [ast.Pass()]


def _plain(value: Any) -> Any:
    try:
        return plain_value(value)
    except TypeError:
        return repr(value)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
