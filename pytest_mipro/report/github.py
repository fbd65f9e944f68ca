"""What a pull request on GitHub shows: annotations beside the test, and the job's summary.

The formats are those of GitHub Actions' workflow commands and job summaries.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_mipro.report.terminal import columns_of

WARNED = ("stale: ", "transfer not guaranteed: ", "leakage: ")
_SIGNS = {"pass": "✅", "cannot judge": "⚠️"}


def commands(rows: Sequence[Mapping[str, Any]], root: str | Path) -> list[str]:
    """A workflow command for each verdict that is not pass, and for what a pass warns of.

    Args:
        rows: of :func:`~pytest_mipro.report.terminal.row`, with the place of the test.
        root: of the repository.
    """
    lines = []
    for row in rows:
        if row["verdict"] != "pass":
            level = "warning" if row["verdict"] == "cannot judge" else "error"
            lines.append(_command(level, row, root, row["verdict"], row["text"]))
            continue
        for note in row["notes"]:
            if note.startswith(WARNED):
                lines.append(_command("warning", row, root, "passed with a warning", note))
    return lines


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a table of all verdicts, and the report of each that is not pass."""
    columns = columns_of(rows)
    lines = [
        "### Prompts",
        "",
        f"| {' | '.join(['', *columns])} |",
        f"|{'---|' * (len(columns) + 1)}",
    ]
    for row in rows:
        cells = [_SIGNS.get(row["verdict"], "❌"), *(_cell(row[column]) for column in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        lines += [f"\n- {row['name']}: {note}" for note in row["notes"] if note.startswith(WARNED)]
        if row["verdict"] != "pass":
            title = f"{row['name']}: {row['verdict']}"
            lines += ["", f"<details><summary>{title}</summary>", "", _fenced(row["text"]), ""]
            lines += ["</details>"]
    return "\n".join(lines) + "\n"


def _command(level: str, row: Mapping[str, Any], root: str | Path, title: str, text: str) -> str:
    path = os.path.relpath(row["path"], root)
    place = f"file={_property(path)},line={row['line']}"
    head = f"title={_property('mipro ' + row['name'] + ': ' + title)}"
    return f"::{level} {place},{head}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(str(text)).replace(":", "%3A").replace(",", "%2C")


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|")


def _fenced(text: str) -> str:
    """In a code block whose fence the text does not contain."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"
