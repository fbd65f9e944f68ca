"""What the end of a run shows of all its prompt tests, in the terminal and on GitHub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_mipro.report import github, terminal


def lines(
    rows: Sequence[Mapping[str, Any]], *, width: int, root: Path, environ: Mapping[str, str]
) -> list[str]:
    """The table of all verdicts, the notes, and on GitHub the annotations.

    Args:
        rows: of :func:`~pytest_mipro.report.terminal.row`, with the place of the test.
        width: of the terminal, in characters.
        root: of the project.
        environ: of the process.
    """
    shown = [terminal.table(rows, width=width)]
    shown += [f"{row['name']}: {note}" for row in rows for note in row["notes"]]
    if environ.get("GITHUB_ACTIONS") == "true":
        shown += github.commands(rows, environ.get("GITHUB_WORKSPACE") or root)
    return shown


def tell_github(rows: Sequence[Mapping[str, Any]], *, environ: Mapping[str, str]) -> None:
    """Add to the job's summary, where the run is a job on GitHub."""
    path = environ.get("GITHUB_STEP_SUMMARY")
    if path and environ.get("GITHUB_ACTIONS") == "true":
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(github.summary(rows))
