"""What stands before every LM: the store, the slots, and what is noted of a run."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import dspy
import pytest
from scripted import Sorter, answer_right, scripted_lm

from pytest_mipro.lm.answering import RUN, Asking, around
from pytest_mipro.lm.slots import CallSlots
from pytest_mipro.lm.store import ResponseStore

SECONDS = 10  # after which what should happen at once is taken not to happen


class NotingStore(ResponseStore):
    """Says when somebody waits for what another is asking."""

    def __init__(self):
        super().__init__()
        self.waited_for = threading.Event()

    def find(self, key, request):
        found = super().find(key, request)
        if isinstance(found, Future):
            self.waited_for.set()
        return found


def ask(lm, text="text number 4", slots=None):
    token = RUN.set(Asking(lambda usage: None, slots))
    try:
        with dspy.context(lm=lm):
            return Sorter()(text=text).label
    finally:
        RUN.reset(token)


def test_who_waits_for_a_request_that_fails_asks_for_itself():
    store, tries = NotingStore(), []

    def script(asked):
        tries.append(asked)
        if len(tries) == 1:
            assert store.waited_for.wait(SECONDS)
            raise RuntimeError("not now")
        return answer_right(asked)

    lm = around(store, scripted_lm(script))
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(ask, lm) for _ in range(2)]
        errors = [result.exception(SECONDS) for result in results]
    assert [error is None for error in errors].count(True) == 1
    assert [r.result() for r, e in zip(results, errors, strict=True) if e is None] == ["good"]
    assert len(tries) == 2


def test_who_waits_for_anothers_answer_holds_no_slot():
    store, answered = NotingStore(), threading.Event()

    def script(asked):
        if asked.field("text") == "text number 4":
            assert answered.wait(SECONDS)
        return answer_right(asked)

    lm, slots = around(store, scripted_lm(script)), CallSlots(2)
    with ThreadPoolExecutor(3) as pool:
        alike = [pool.submit(ask, lm, "text number 4", slots) for _ in range(2)]
        assert store.waited_for.wait(SECONDS)
        assert pool.submit(ask, lm, "text number 5", slots).result(SECONDS) == "bad"
        answered.set()
        assert [result.result(SECONDS) for result in alike] == ["good", "good"]


def test_a_program_that_changes_an_answer_does_not_change_what_others_get():
    lm = around(ResponseStore(), dspy.utils.DummyLM([{"label": "good"}] * 2))
    first = lm("what?")
    kept = list(first)
    first.append("something else")
    assert lm("what?") == kept


def test_an_lm_that_asks_a_store_already_is_not_made_to_ask_it_twice():
    store = ResponseStore()
    lm = around(store, scripted_lm())
    assert around(store, lm) is lm


def test_a_request_that_was_lost_and_then_answered_is_not_lost():
    failures = [RuntimeError("not now")]

    def script(asked):
        if failures:
            raise failures.pop()
        return answer_right(asked)

    run = Asking(lambda usage: None)
    lm = around(ResponseStore(), scripted_lm(script))
    token = RUN.set(run)
    with dspy.context(lm=lm):
        with pytest.raises(Exception, match="not now"):
            Sorter()(text="text number 4")
        assert len(run.lost) == 1
        Sorter()(text="text number 4")
    RUN.reset(token)
    assert run.lost == {}
