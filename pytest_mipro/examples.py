"""Reading examples from files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_mipro.errors import TaskError


def load_examples(path: str | Path, inputs: Sequence[str]) -> list[Any]:
    """Read examples from a .jsonl, .json, .csv or .yaml file.

    A .json or .yaml file holds a list of mappings, a .jsonl file one mapping a line, and a .csv
    file a header and rows (all values are text).

    Args:
        path: the file.
        inputs: the names of the fields that are inputs; all others are labels.

    Returns:
        A list of ``dspy.Example`` with their inputs declared.

    Raises:
        TaskError: the file cannot be read, or a record is no mapping or lacks an input; the
            message gives the file and the line or record.
    """
    import dspy

    path = Path(path)
    names = [inputs] if isinstance(inputs, str) else list(inputs)
    if not names:
        raise TaskError("load_examples needs the names of the input fields: inputs=['text']")
    examples = []
    for where, record in _records(path):
        if not isinstance(record, Mapping):
            raise TaskError(f"{where}: a record must be a mapping of fields, not {record!r:.60}")
        missing = [name for name in names if name not in record]
        if missing:
            raise TaskError(
                f"{where}: no field {missing[0]!r}; the record has {', '.join(map(str, record))}"
            )
        examples.append(dspy.Example(**record).with_inputs(*names))
    return examples


def _records(path: Path) -> Iterable[tuple[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: is not UTF-8 text ({error}); save it as UTF-8") from error
    kind = path.suffix.lower()
    if kind == ".jsonl":
        return [
            (f"{path}:{number}", _json(line, f"{path}:{number}"))
            for number, line in enumerate(text.split("\n"), start=1)
            if line.strip()
        ]
    if kind == ".csv":
        rows = csv.DictReader(text.splitlines(keepends=True))
        return [(f"{path}:{rows.line_num}", row) for row in rows]
    if kind == ".json":
        records = _json(text, str(path))
    elif kind in {".yaml", ".yml"}:
        from pytest_mipro.files import yamlfile

        records = yamlfile.parse(path, text, error=TaskError)
    else:
        raise TaskError(
            f"{path}: examples are read from .jsonl, .json, .csv and .yaml files, not {kind!r}"
        )
    if not isinstance(records, list):
        raise TaskError(f"{path}: must hold a list of records, not a {type(records).__name__}")
    return [(f"{path}: record {position}", item) for position, item in enumerate(records)]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise TaskError(f"{where}: is not JSON: {error.msg} at column {error.colno}") from error
