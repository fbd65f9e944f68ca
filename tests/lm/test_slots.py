"""Slots for LM calls."""

from __future__ import annotations

import contextlib
import threading
import time

from pytest_mipro.lm.slots import CallSlots


def test_no_more_are_held_than_there_are():
    slots, lock = CallSlots(3), threading.Lock()
    held, most = 0, 0

    def hold(turn):
        nonlocal held, most
        with slots.held(turn):
            with lock:
                held += 1
                most = max(most, held)
            time.sleep(0.002)
            with lock:
                held -= 1

    threads = [threading.Thread(target=hold, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (held, most) == (0, 3)


def test_of_those_who_wait_the_lowest_turn_goes_first():
    slots, served = CallSlots(1), []
    slots.acquire(0)

    def wait(turn):
        with slots.held(turn):
            served.append(turn)

    threads = []
    for waiting, turn in enumerate((5, 2, 9, 1), start=1):
        threads.append(threading.Thread(target=wait, args=(turn,)))
        threads[-1].start()
        while len(slots._waiting) < waiting:
            time.sleep(0.001)
    slots.release()
    for thread in threads:
        thread.join()
    assert served == [1, 2, 5, 9]


def test_a_slot_is_given_back_after_an_error():
    slots = CallSlots(1)

    def fail_and_hold():
        for _ in range(3):
            with contextlib.suppress(ValueError), slots.held(0):
                raise ValueError
        slots.acquire(0)

    thread = threading.Thread(target=fail_and_hold, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
