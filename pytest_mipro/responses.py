"""The one store of LM responses: no request is paid for twice, in a run or after a crash.

A response is filed under the canonical request: model, messages, decoding settings and rollout
id, but never a key, a header or a URL. Every finished call is durable before its result is used,
so an interrupted run that is run again pays only for what is missing.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_mipro.errors import MiproError, NotRecorded
from pytest_mipro.requests import canonical, key_of, loaded, plain_outputs
from pytest_mipro.slots import CallSlots

BUSY_SECONDS = 60.0  # how long to wait while another process writes


class Asking:
    """What one program run asks of LMs.

    Args:
        reused: called with the token counts of a response that was not paid for now.
        slots: bounds the calls under way; held during a call, and not while waiting for an
            answer that another run asked for.
        turn: place in the order in which runs were asked for; of those that wait for a slot, the
            lowest goes first.
        repeat: which evaluation of the same example this is; all but the first ask anew.
        store: the store that answers.

    Attributes:
        keys: what was asked, as the store names it.
        lost: the error of each request that the LM did not answer, not even when asked again.
        unrecorded: the first request that a recording had no answer to.
    """

    __slots__ = (
        *("_asked", "keys", "lost", "repeat", "reused"),
        *("slots", "store", "turn", "unrecorded"),
    )

    def __init__(
        self,
        reused: Callable[[Mapping[str, Any]], None],
        slots: CallSlots | None = None,
        turn: int = 0,
        repeat: int = 0,
        store: ResponseStore | None = None,
    ) -> None:
        self.reused = reused
        self.slots = slots
        self.turn = turn
        self.repeat = repeat
        self.store = store
        self.keys: list[str] = []
        self.lost: dict[str, BaseException] = {}
        self.unrecorded: Mapping[str, Any] | None = None
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
        answers: what is known from the start.
        closed: whether what is not known is refused and not asked of the LM.
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

    def find(self, key: str, request: Mapping[str, Any]) -> Answer | Future[None] | None:
        """The answer to a request; or what to wait for before asking again, when it is under
        way; or None when it is the caller's to ask: then :meth:`keep` or :meth:`abandon` must
        follow.

        Raises:
            NotRecorded: the store is closed and does not know the answer.
        """
        with self._lock:
            if self._requests is not None:
                self._requests[key] = request
            known = self._answers.get(key)
            if known is not None:
                return known
            if self._closed:
                raise NotRecorded(request)
            stored = self._file.read(key) if self._file else None
            # Only the first use of what an earlier run paid for is counted.
            self._answers[key] = Future() if stored is None else replace(stored, earlier=False)
            return stored

    def answer(self, key: str) -> Answer | None:
        """What is known as the answer to a request, None while there is none."""
        with self._lock:
            known = self._answers.get(key)
        return known if isinstance(known, Answer) else None

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
        return Answer(loaded(record["outputs"]), record["usage"], earlier=True)

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


def stored(lm: Any) -> Any:
    """``lm`` asking the store of the program run under way first, if there is one; for a metric
    that brings an LM of its own."""
    run = RUN.get()
    return lm if run is None or run.store is None else run.store.around(lm)


def answered_once(request: Mapping[str, Any], ask: Callable[[], Any]) -> Any:
    """The answer to a request that is made by other ways than a ``dspy.LM``, such as an embedding.

    Args:
        request: in canonical form.
        ask: makes the request; its result must have a plain form.
    """
    run = RUN.get()
    if run is None or run.store is None:
        return ask()
    store, key = run.store, key_of(request)
    run.keys.append(key)
    while isinstance(known := _found(store, key, dict(request)), Future):
        known.result()
    if known is not None:
        return _reused(known)
    with _slot(), _asked(store, key) as answered:
        return answered(ask())


@lru_cache(maxsize=64)
def _answering(kind: Any) -> Any:
    """A subclass of an LM's class that asks its store before the LM."""

    class Answering(kind):  # type: ignore[misc]
        _mipro_store: ResponseStore

        def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
            store, (key, request) = self._mipro_store, _run_key(self, prompt, messages, kwargs)
            while isinstance(known := _found(store, key, request), Future):
                known.result()
            if known is not None:
                return _reused(known)
            with _slot(), _asked(store, key) as answered:
                anew = _past_the_cache(self)
                return answered(super().__call__(prompt, messages=messages, **kwargs, **anew))

        async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
            store, (key, request) = self._mipro_store, _run_key(self, prompt, messages, kwargs)
            while isinstance(known := _found(store, key, request), Future):
                await asyncio.wrap_future(known)
            if known is not None:
                return _reused(known)
            async with _awaited_slot():
                with _asked(store, key) as answered:
                    anew = _past_the_cache(self)
                    return answered(
                        await super().acall(prompt, messages=messages, **kwargs, **anew)
                    )

        def update_history(self, entry: Any) -> None:
            import dspy

            tracker = dspy.settings.usage_tracker
            if isinstance(tracker, _Tracker):
                tracker.cost = entry.get("cost")
            super().update_history(entry)

    Answering.__name__, Answering.__qualname__ = kind.__name__, kind.__qualname__
    Answering.__module__ = kind.__module__
    return Answering


def _run_key(lm: Any, prompt: Any, messages: Any, kwargs: Any) -> tuple[str, dict[str, Any]]:
    """The key of a request, told apart from the same one earlier in a run; and the request."""
    request = canonical(lm, prompt, messages, kwargs)
    key = key_of(request)
    run = RUN.get()
    if run is None:
        return key, request
    number = run.number(key)
    key = f"{key}-{number}" if number else key
    key = f"{key}@{run.repeat}" if run.repeat else key
    run.keys.append(key)
    return key, request


def _found(store: ResponseStore, key: str, request: dict[str, Any]) -> Answer | Future[None] | None:
    try:
        return store.find(key, request)
    except NotRecorded:
        run = RUN.get()
        if run is not None and run.unrecorded is None:
            run.unrecorded = request
        raise


def _past_the_cache(lm: Any) -> dict[str, Any]:
    """What makes a repeated evaluation ask anew, for an LM that DSPy caches."""
    run = RUN.get()
    return {"cache": False} if run and run.repeat and hasattr(lm, "_engine_spec") else {}


def _slot() -> AbstractContextManager[Any]:
    run = RUN.get()
    return nullcontext() if run is None or run.slots is None else run.slots.held(run.turn)


@asynccontextmanager
async def _awaited_slot() -> AsyncIterator[None]:
    """A call slot for a coroutine, waited for without holding up its event loop."""
    run = RUN.get()
    slots = None if run is None else run.slots
    if run is None or slots is None:
        yield
        return
    await asyncio.to_thread(slots.acquire, run.turn)
    try:
        yield
    finally:
        slots.release()


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

    run, asked = RUN.get(), key.partition("@")[0].partition("-")[0]

    def answered(outputs: Any) -> Any:
        store.keep(key, Answer(deepcopy(outputs), dict(tracker.counted)))
        tracker.settle()
        if run is not None:
            run.lost.pop(asked, None)
            if not tracker.told:
                run.reused({})  # DSPy's own cache answered
        return outputs

    try:
        with dspy.context(usage_tracker=tracker):
            yield answered
    except BaseException as error:
        store.abandon(key)
        if run is not None:
            run.lost[asked] = error
        raise


class _Tracker:
    """Adds up the token counts of one call, and hands them on."""

    def __init__(self, onward: Any) -> None:
        self.counted: Counter[str] = Counter()
        self.told = False
        self.cost: float | None = None
        self._onward = onward

    def add_usage(self, lm: str, usage: Mapping[str, Any]) -> None:
        self.told = True
        self.counted.update({k: v for k, v in usage.items() if isinstance(v, int)})
        if self._onward is not None:
            self._onward.add_usage(lm, usage)

    def settle(self) -> None:
        """Hand on what the call cost, where DSPy knows; what its cache answered cost nothing."""
        if self.told and self.cost is not None and hasattr(self._onward, "add_cost"):
            self._onward.add_cost(self.cost)


def dumped(answer: Answer) -> str | None:
    """The record of an answer, or None for one that has no plain form."""
    try:
        return json.dumps(
            {"outputs": plain_outputs(answer.outputs), "usage": dict(answer.usage)},
            ensure_ascii=False,
        )
    except (TypeError, ValueError):
        return None
