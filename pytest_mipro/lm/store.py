"""The one store of LM responses: no request is paid for twice, in a run or after a crash.

A response is filed under the key of its canonical request. Every finished call is durable before
its result is used, so an interrupted run that is run again pays only for what is missing.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_mipro.errors import MiproError, NotRecorded
from pytest_mipro.lm import seam
from pytest_mipro.lm.requests import Answer

BUSY_SECONDS = 60.0  # how long to wait while another process writes


class ResponseStore:
    """Responses by request, in memory and, with a path, in a SQLite file.

    One process or several may use the same file at a time. Requests that are under way are
    waited for and not asked again.

    Args:
        path: of the file; its folder is made, and git is told to ignore it. None to remember
            for as long as the store lives.
        answers: what it holds from the start.
        closed: whether to refuse what it does not hold, so that no LM is asked.
        requests: filled with the requests that are met, by key.

    Raises:
        MiproError: the file cannot be opened.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        answers: Mapping[str, Answer] | None = None,
        closed: bool = False,
        requests: dict[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, Answer | Future[None]] = dict(answers or {})
        self._file = _File(path) if path is not None else None
        self._closed = closed
        self._requests = requests

    def find(self, key: str, request: Mapping[str, Any]) -> Answer | Future[None] | None:
        """Look up a request.

        Returns:
            The answer; or a future, if another thread is asking: wait for it and look up again;
            or None: then you must ask, and call :meth:`keep` or :meth:`abandon`.

        Raises:
            NotRecorded: the store is closed and does not hold the answer.
        """
        with self._lock:
            if self._requests is not None:
                self._requests[key] = request
            entry = self._answers.get(key)
            if entry is not None:
                return entry
            if self._closed:
                raise NotRecorded(request)
            stored = self._file.read(key) if self._file else None
            # Only the first use of what an earlier run paid for is counted.
            self._answers[key] = Future() if stored is None else replace(stored, earlier=False)
            return stored

    def answer(self, key: str) -> Answer | None:
        """The answer to a request, None while there is none."""
        with self._lock:
            entry = self._answers.get(key)
        return entry if isinstance(entry, Answer) else None

    def keep(self, key: str, answer: Answer) -> None:
        """File an answer, durably if the store has a file."""
        if self._file:
            self._file.write(key, answer)
        self._finish(key, answer)

    def abandon(self, key: str) -> None:
        """The request failed; whoever waits asks for itself."""
        self._finish(key, None)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _finish(self, key: str, answer: Answer | None) -> None:
        with self._lock:
            waiting = self._answers.pop(key, None)
            if answer is not None:
                self._answers[key] = answer
        if isinstance(waiting, Future):
            waiting.set_result(None)


class _File:
    """Answers in SQLite: in WAL mode a committed answer outlives the death of the process."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            ignore = path.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, response TEXT)"
            )
        except (OSError, sqlite3.Error) as error:
            raise MiproError(
                f"{path}: the store of LM responses cannot be opened: {error}; delete it (what it "
                "remembers is paid for again) or make its folder writable"
            ) from error

    def read(self, key: str) -> Answer | None:
        with self._lock:
            query = "SELECT response FROM responses WHERE key = ?"
            row = self._connection.execute(query, (key,)).fetchone()
        if row is None:
            return None
        record = json.loads(row[0])
        return Answer(seam.loaded_outputs(record["outputs"]), record["usage"], earlier=True)

    def write(self, key: str, answer: Answer) -> None:
        record = dumped(answer)
        if record is None:
            return
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO responses VALUES (?, ?)", (key, record)
            )

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def dumped(answer: Answer) -> str | None:
    """The record of an answer, or None for one that has no plain form."""
    try:
        return json.dumps(
            {"outputs": seam.plain_outputs(answer.outputs), "usage": dict(answer.usage)},
            ensure_ascii=False,
        )
    except (TypeError, ValueError):
        return None
