"""What stands before every LM: a call is answered from the store, or asked for and filed there.

One :class:`Asking` belongs to each program run. It says which store answers, who waits for a slot,
and what came of the calls.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from copy import deepcopy
from typing import Any, NoReturn, Protocol

from pytest_mipro.errors import NotRecorded
from pytest_mipro.lm import seam
from pytest_mipro.lm.requests import Answer, canonical, key_of
from pytest_mipro.lm.slots import CallSlots


class Answers(Protocol):
    """A store of answers, as far as answering needs it; see :class:`~pytest_mipro.lm.store.
    ResponseStore`."""

    def find(self, key: str, request: Mapping[str, Any]) -> Answer | Future[None] | None:
        """Look up a request."""

    def keep(self, key: str, answer: Answer) -> None:
        """File an answer."""

    def abandon(self, key: str) -> None:
        """Let others ask for what could not be answered."""


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
        *("_counts", "keys", "lost", "repeat", "reused"),
        *("slots", "store", "turn", "unrecorded"),
    )

    def __init__(
        self,
        reused: Callable[[Mapping[str, Any]], None],
        slots: CallSlots | None = None,
        turn: int = 0,
        repeat: int = 0,
        store: Answers | None = None,
    ) -> None:
        self.reused = reused
        self.slots = slots
        self.turn = turn
        self.repeat = repeat
        self.store = store
        self.keys: list[str] = []
        self.lost: dict[str, BaseException] = {}
        self.unrecorded: Mapping[str, Any] | None = None
        self._counts: Counter[str] | None = None

    def number(self, key: str) -> int:
        """How often this run has asked the same before: a program may want a second opinion."""
        if self._counts is None:
            self._counts = Counter()
        self._counts[key] += 1
        return self._counts[key] - 1


# Set around a program run; what is asked there, in threads that inherit its context too, is noted.
RUN: ContextVar[Asking | None] = ContextVar("mipro_asking", default=None)


def around(store: Answers, lm: Any) -> Any:
    """A copy of ``lm`` that asks ``store`` first; anything but a ``dspy.BaseLM`` as it is."""
    before = seam.answerer_of(lm)
    if isinstance(before, _FromStore) and before.store is store:
        return lm
    return seam.with_answerer(lm, _FromStore(store))


def stored(lm: Any) -> Any:
    """``lm`` asking the store of the program run under way first, if there is one; for a metric
    that brings an LM of its own."""
    run = RUN.get()
    return lm if run is None or run.store is None else around(run.store, lm)


def answered_once(request: Mapping[str, Any], ask: Callable[[], Any]) -> Any:
    """Answer a request that is made by other ways than a ``dspy.LM``, such as an embedding.

    Args:
        request: in canonical form.
        ask: makes the request; its result must have a plain form.
    """
    run = RUN.get()
    if run is None or run.store is None:
        return ask()
    store, key = run.store, key_of(request)
    run.keys.append(key)
    while isinstance(found := _find(store, key, request), Future):
        found.result()
    if found is not None:
        return _reused(found)
    with _slot(), _filing(store, key) as file:
        return file(ask())


class NeverAsked:
    """The engine of an LM that must not be asked."""

    def complete(self, request: Any) -> Any:
        """Refuse."""
        raise RuntimeError("an LM was asked that must not be asked")


@contextmanager
def refusing() -> Iterator[None]:
    """Answer nothing that is asked of an LM or an embedder, and say so at the end.

    Raises:
        NotRecorded: something was asked, whatever came of it.
    """
    import dspy

    store = _Nothing()
    run = Asking(lambda usage: None, store=store)
    token = RUN.set(run)
    try:
        with dspy.context(lm=around(store, dspy.LM("none/none", engine=NeverAsked()))):
            yield
    finally:
        RUN.reset(token)
        if run.unrecorded is not None:
            raise NotRecorded(run.unrecorded)


class _Nothing:
    """A store that holds nothing, and lets nothing be asked for."""

    def find(self, key: str, request: Mapping[str, Any]) -> NoReturn:
        raise NotRecorded(request)

    def keep(self, key: str, answer: Answer) -> None:
        """Nothing is asked for, so nothing is kept."""

    def abandon(self, key: str) -> None:
        """Nothing is asked for, so nothing is given up."""


class _FromStore:
    """Answers an LM's calls from a store, and files what the LM had to be asked for."""

    def __init__(self, store: Answers) -> None:
        self.store = store

    def answer(self, call: Mapping[str, Any], lm: Any, ask: Callable[..., Any]) -> Any:
        key, request = _noted(call)
        while isinstance(found := _find(self.store, key, request), Future):
            found.result()
        if found is not None:
            return _reused(found)
        with _slot(), _filing(self.store, key) as file:
            return file(ask(**_past_the_cache(lm)))

    async def answer_awaited(
        self, call: Mapping[str, Any], lm: Any, ask: Callable[..., Awaitable[Any]]
    ) -> Any:
        key, request = _noted(call)
        while isinstance(found := _find(self.store, key, request), Future):
            await asyncio.wrap_future(found)
        if found is not None:
            return _reused(found)
        async with _awaited_slot():
            with _filing(self.store, key) as file:
                return file(await ask(**_past_the_cache(lm)))

    def billed(self, usd: float | None) -> None:
        tracker = seam.current_tracker()
        if isinstance(tracker, _CallTracker):
            tracker.cost = usd


def _noted(call: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The key of a request, told apart from the same one earlier in a run; and the request."""
    request = canonical(call)
    key = key_of(request)
    run = RUN.get()
    if run is None:
        return key, request
    number = run.number(key)
    key = f"{key}-{number}" if number else key
    key = f"{key}@{run.repeat}" if run.repeat else key
    run.keys.append(key)
    return key, request


def _find(store: Answers, key: str, request: Mapping[str, Any]) -> Answer | Future[None] | None:
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
    return {"cache": False} if run and run.repeat and seam.takes_cache(lm) else {}


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
def _filing(store: Answers, key: str) -> Iterator[Callable[[Any], Any]]:
    """Around the call itself: file what it returns, with its token counts, and pass it on.

    DSPy's own usage tracker is told of them as well.
    """
    tracker = _CallTracker(seam.current_tracker())
    run, asked = RUN.get(), key.partition("@")[0].partition("-")[0]

    def file(outputs: Any) -> Any:
        store.keep(key, Answer(deepcopy(outputs), dict(tracker.counts)))
        tracker.settle()
        if run is not None:
            run.lost.pop(asked, None)
            if not tracker.told:
                run.reused({})  # DSPy's own cache answered
        return outputs

    try:
        with seam.tracked(tracker):
            yield file
    except BaseException as error:
        store.abandon(key)
        if run is not None:
            run.lost[asked] = error
        raise


class _CallTracker:
    """Adds up the token counts of one call, and hands them on."""

    def __init__(self, onward: Any) -> None:
        self.counts: Counter[str] = Counter()
        self.told = False
        self.cost: float | None = None
        self._onward = onward

    def add_usage(self, lm: str, usage_entry: Mapping[str, Any]) -> None:
        self.told = True
        self.counts.update({k: v for k, v in usage_entry.items() if isinstance(v, int)})
        if self._onward is not None:
            self._onward.add_usage(lm, usage_entry)

    def settle(self) -> None:
        """Hand on what the call cost, where DSPy knows; what its cache answered cost nothing."""
        if self.told and self.cost is not None and hasattr(self._onward, "add_cost"):
            self._onward.add_cost(self.cost)
