"""The one store of LM responses: no request is paid for twice, in a run or after a crash.

A response is filed under the canonical request: model, messages, decoding settings and rollout
id, but never a key, a header or a URL. Every finished call is durable before its result is used,
so an interrupted run that is run again pays only for what is missing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_mipro.errors import MiproError

# What says how to reach the LM, and not what is asked of it.
CONNECTION = frozenset(
    {
        *("api_key", "api_base", "api_version", "base_url", "timeout", "num_retries"),
        *("headers", "extra_headers", "default_headers", "http_client", "client"),
        *("max_retries", "organization", "project", "cache", "callbacks", "user"),
        *("azure_ad_token", "azure_ad_token_provider", "vertex_credentials"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
    }
)
BUSY_SECONDS = 60.0  # how long to wait while another process writes


class Asking:
    """What one program run asks of LMs.

    Args:
        reused: called with the token counts of a response that was not paid for now.
        slots: bounds the calls under way; held during a call, and not while waiting for an
            answer that another run asked for.
    """

    __slots__ = ("_asked", "keys", "reused", "slots")

    def __init__(
        self,
        reused: Callable[[Mapping[str, Any]], None],
        slots: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.reused = reused
        self.slots = slots or nullcontext()
        self.keys: list[str] = []
        self._asked: Counter[str] | None = None

    def number(self, key: str) -> int:
        """How often this run has asked the same before: a program may want a second opinion."""
        if self._asked is None:
            self._asked = Counter()
        self._asked[key] += 1
        return self._asked[key] - 1


# Set around a program run; what is asked there, in threads that inherit its context too, is noted.
RUN: ContextVar[Asking | None] = ContextVar("mipro_asking", default=None)


@dataclass(frozen=True)
class Answer:
    """What an LM returned.

    Attributes:
        outputs: as ``dspy.LM.__call__`` returns them.
        usage: token counts, as DSPy gives them to a usage tracker.
        earlier: whether an earlier run paid for it.
    """

    outputs: Any
    usage: Mapping[str, Any]
    earlier: bool = False


class ResponseStore:
    """Responses by request, in memory and, with a path, in a SQLite file.

    One process or several may use the same file at a time. Requests that are under way are
    waited for and not asked again.

    Args:
        path: of the file; its folder is made, and git is told to ignore it. None to remember
            for as long as the store lives.

    Raises:
        MiproError: the file cannot be opened.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, Answer | Future[None]] = {}
        self._file = _File(path) if path is not None else None

    def around(self, lm: Any) -> Any:
        """A copy of ``lm`` that asks the store first; anything but a ``dspy.BaseLM`` as it is."""
        import dspy

        if not isinstance(lm, dspy.BaseLM) or getattr(lm, "_mipro_store", None) is self:
            return lm
        copy = lm.copy()
        copy.history = lm.history
        kind: Any = type(lm)
        copy.__class__ = _answering(kind)
        copy._mipro_store = self
        return copy

    def find(self, key: str) -> Answer | Future[None] | None:
        """The answer to a request; or what to wait for before asking again, when it is under
        way; or None when it is the caller's to ask: then :meth:`keep` or :meth:`abandon` must
        follow."""
        with self._lock:
            known = self._answers.get(key)
            if known is not None:
                return known
            stored = self._file.read(key) if self._file else None
            # Only the first use of what an earlier run paid for is counted.
            self._answers[key] = Future() if stored is None else replace(stored, earlier=False)
            return stored

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
        return Answer(_loaded(record["outputs"]), record["usage"], earlier=True)

    def write(self, key: str, answer: Answer) -> None:
        record = _dumped(answer)
        if record is None:
            return
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO responses VALUES (?, ?)", (key, record)
            )

    def close(self) -> None:
        with self._lock:
            self._connection.close()


@lru_cache(maxsize=64)
def _answering(kind: Any) -> Any:
    """A subclass of an LM's class that asks its store before the LM."""

    class Answering(kind):  # type: ignore[misc]
        _mipro_store: ResponseStore

        def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
            key, store = _run_key(self, prompt, messages, kwargs), self._mipro_store
            while isinstance(known := store.find(key), Future):
                known.result()
            if known is not None:
                return _reused(known)
            with _slot(), _asked(store, key) as answered:
                return answered(super().__call__(prompt, messages=messages, **kwargs))

        async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
            key, store = _run_key(self, prompt, messages, kwargs), self._mipro_store
            while isinstance(known := store.find(key), Future):
                await asyncio.wrap_future(known)
            if known is not None:
                return _reused(known)
            with _asked(store, key) as answered:
                return answered(await super().acall(prompt, messages=messages, **kwargs))

    Answering.__name__, Answering.__qualname__ = kind.__name__, kind.__qualname__
    Answering.__module__ = kind.__module__
    return Answering


def canonical(lm: Any, prompt: Any, messages: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, without how it is reached, as plain values."""
    from dspy import lm15

    request = kwargs.get("request", prompt)
    asked: dict[str, Any] = {"model": lm.model, "type": lm.model_type}
    if isinstance(request, lm15.Request):
        from dspy._vendor.lm15.serde import request_to_dict

        return {
            **asked,
            "request": request_to_dict(request),
            "rollout_id": kwargs.get("rollout_id"),
        }
    settings = {**lm.kwargs, **kwargs}
    settings = {
        name: value
        for name, value in sorted(settings.items())
        if name not in CONNECTION and value is not None
    }
    shown = messages if messages is not None else [{"role": "user", "content": prompt}]
    return {**asked, "messages": shown, "settings": settings}


def key_of(request: Mapping[str, Any]) -> str:
    """The name under which a canonical request is filed."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False, default=_plain)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _run_key(lm: Any, prompt: Any, messages: Any, kwargs: Mapping[str, Any]) -> str:
    key = key_of(canonical(lm, prompt, messages, kwargs))
    run = RUN.get()
    if run is None:
        return key
    number = run.number(key)
    key = f"{key}-{number}" if number else key
    run.keys.append(key)
    return key


def _slot() -> AbstractContextManager[Any]:
    run = RUN.get()
    return nullcontext() if run is None else run.slots


def _reused(answer: Answer) -> Any:
    run = RUN.get()
    if answer.earlier and run is not None:
        run.reused(answer.usage)
    return deepcopy(answer.outputs)


@contextmanager
def _asked(store: ResponseStore, key: str) -> Iterator[Callable[[Any], Any]]:
    """Around the call itself: what it returns is filed, and its token counts with it.

    DSPy's own usage tracker is told of them as well.
    """
    import dspy

    tracker = _Tracker(dspy.settings.usage_tracker)

    def answered(outputs: Any) -> Any:
        store.keep(key, Answer(deepcopy(outputs), dict(tracker.counted)))
        run = RUN.get()
        if run is not None and not tracker.told:
            run.reused({})  # DSPy's own cache answered
        return outputs

    try:
        with dspy.context(usage_tracker=tracker):
            yield answered
    except BaseException:
        store.abandon(key)
        raise


class _Tracker:
    """Adds up the token counts of one call, and hands them on."""

    def __init__(self, onward: Any) -> None:
        self.counted: Counter[str] = Counter()
        self.told = False
        self._onward = onward

    def add_usage(self, lm: str, usage: Mapping[str, Any]) -> None:
        self.told = True
        self.counted.update({k: v for k, v in usage.items() if isinstance(v, int)})
        if self._onward is not None:
            self._onward.add_usage(lm, usage)


def _plain(value: Any) -> Any:
    if isinstance(value, type):
        schema = getattr(value, "model_json_schema", None)
        return [value.__qualname__, schema() if schema else None]
    for method in ("model_dump", "to_dict", "toDict"):
        if hasattr(value, method):
            return getattr(value, method)()
    return repr(value)


def _dumped(answer: Answer) -> str | None:
    """The record of an answer, or None for one that has no plain form."""
    from dspy import lm15

    outputs: Any = answer.outputs
    if isinstance(outputs, lm15.Response):
        from dspy._vendor.lm15.serde import response_to_dict

        outputs = {"response": response_to_dict(outputs)}
    try:
        return json.dumps({"outputs": outputs, "usage": dict(answer.usage)}, ensure_ascii=False)
    except (TypeError, ValueError):
        return None


def _loaded(outputs: Any) -> Any:
    if isinstance(outputs, dict) and set(outputs) == {"response"}:
        from dspy._vendor.lm15.serde import response_from_dict

        return response_from_dict(outputs["response"])
    return outputs
