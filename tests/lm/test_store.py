from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from scripted import Asked, Sorter, answer_right, scripted_lm

from pytest_mipro.errors import MiproError, NotRecorded
from pytest_mipro.lm import seam
from pytest_mipro.lm.answering import RUN, Asking, around
from pytest_mipro.lm.requests import canonical, key_of
from pytest_mipro.lm.store import ResponseStore


def ask(lm, text="text number 4"):
    with dspy.context(lm=lm):
        return Sorter()(text=text).label


def asked(lm) -> int:
    return len(lm.engine.asked)


def test_the_same_request_is_made_once():
    lm = scripted_lm(answer_right)
    stored = around(ResponseStore(), lm)
    assert [ask(stored), ask(stored)] == ["good", "good"]
    assert asked(lm) == 1


def test_another_temperature_is_another_request():
    lm, store = scripted_lm(answer_right), ResponseStore()
    ask(around(store, lm))
    ask(around(store, lm.copy(temperature=0.5)))
    assert asked(lm) == 2


def test_a_program_that_asks_twice_in_one_run_gets_two_answers():
    lm = scripted_lm(answer_right)
    stored = around(ResponseStore(), lm)
    for _ in range(2):
        token = RUN.set(Asking(lambda usage: None))
        ask(stored)
        ask(stored)
        RUN.reset(token)
    assert asked(lm) == 2


def test_an_answer_outlives_the_process(tmp_path):
    path = tmp_path / "mipro" / "responses.sqlite3"
    store = ResponseStore(path)
    ask(around(store, scripted_lm(answer_right)))
    # Not closed: a killed process would not have closed it either.
    later = scripted_lm(answer_right)
    reused = []
    token = RUN.set(Asking(reused.append))
    assert ask(around(ResponseStore(path), later)) == "good"
    RUN.reset(token)
    assert asked(later) == 0
    assert reused == [{"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}]


def test_what_an_earlier_run_paid_for_is_counted_once_however_often_it_is_used(tmp_path):
    path = tmp_path / "responses.sqlite3"
    ask(around(ResponseStore(path), scripted_lm(answer_right)))
    reused, later = [], around(ResponseStore(path), scripted_lm(answer_right))
    for _ in range(3):
        token = RUN.set(Asking(reused.append))
        ask(later)
        RUN.reset(token)
    assert len(reused) == 1


def test_a_closed_store_refuses_what_it_does_not_hold():
    lm = scripted_lm(answer_right)
    with pytest.raises(NotRecorded):
        ask(around(ResponseStore(closed=True), lm))
    assert asked(lm) == 0


def test_git_is_told_to_ignore_the_store(tmp_path):
    ResponseStore(tmp_path / "mipro" / "responses.sqlite3").close()
    assert (tmp_path / "mipro" / ".gitignore").read_text() == "*\n"


def test_neither_key_nor_address_is_part_of_a_request():
    lm = scripted_lm(answer_right)
    lm.kwargs |= {"api_key": "a secret", "api_base": "secret host", "headers": {"x": "secret"}}
    assert "secret" not in str(
        canonical(seam.asked(lm, None, [{"role": "user", "content": "x"}], {}))
    )


def test_connection_settings_do_not_change_the_request():
    lm = scripted_lm()
    other = lm.copy()
    other.kwargs |= {"api_key": "k", "api_base": "http://elsewhere", "timeout": 3}
    messages = [{"role": "user", "content": "x"}]
    assert key_of(canonical(seam.asked(lm, None, messages, {}))) == key_of(
        canonical(seam.asked(other, None, messages, {}))
    )


def test_what_is_under_way_is_waited_for():
    lm = scripted_lm(answer_right, delay=lambda asked: 0.1)
    stored = around(ResponseStore(), lm)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: ask(stored), range(4))) == ["good"] * 4
    assert asked(lm) == 1


def test_a_failed_request_is_asked_again():
    tries = threading.Semaphore(1)

    def script(asked: Asked) -> dict[str, str]:
        if tries.acquire(blocking=False):
            raise RuntimeError("not now")
        return answer_right(asked)

    stored = around(ResponseStore(), scripted_lm(script))
    with pytest.raises(Exception, match="not now"):
        ask(stored)
    assert ask(stored) == "good"


def test_async_calls_share_the_store():
    class Engine:
        def __init__(self, engine):
            self.engine = engine

        async def complete(self, request):
            await asyncio.sleep(0.01)
            return self.engine.complete(request)

    lm = scripted_lm(answer_right)
    lm = lm.copy(engine=lm.engine, async_engine=Engine(lm.engine))
    stored = around(ResponseStore(), lm)

    async def both():
        with dspy.context(lm=stored):
            sort = Sorter().sort
            return await asyncio.gather(*(sort.acall(text="text number 4") for _ in range(3)))

    assert [p.label for p in asyncio.run(both())] == ["good"] * 3
    assert asked(lm) == 1


def test_a_file_that_is_no_store_is_named(tmp_path):
    path = tmp_path / "responses.sqlite3"
    path.write_text("this is not a database, and never was one")
    with pytest.raises(MiproError, match=r"responses\.sqlite3: .*delete it"):
        ResponseStore(path)
