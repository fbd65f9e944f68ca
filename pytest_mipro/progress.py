"""What a run says of itself while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

Phase = Literal["baseline", "bootstrap", "propose", "search", "finalists", "confirm", "gate"]


@dataclass(frozen=True)
class Progress:
    """A moment of a run.

    Attributes:
        phase: what is being done.
        done, total: steps of the phase: examples, proposals, or LM calls when searching.
        score: mean score of the trial or set under way, None before there is one.
        best: mean score of the search's favourite, the one that has met most examples.
        calls: LM calls made so far in the whole run.
        seconds: time since the run began.
        seconds_left: estimate for this phase, None before there is one.
    """

    phase: Phase
    done: int = 0
    total: int = 0
    score: float | None = None
    best: float | None = None
    calls: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None


Listener = Callable[[Progress], None]


class Reporter:
    """Keeps the current :class:`Progress` and tells the listener, which decides what to show."""

    def __init__(self, listener: Listener | None, calls: Callable[[], int]) -> None:
        self._listener = listener
        self._calls = calls
        self._began = time.monotonic()
        self._phase_began = self._began
        self._now = Progress("baseline")

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def phase(self, phase: Phase, total: int) -> None:
        """Begin a phase of ``total`` steps."""
        self._phase_began = time.monotonic()
        self._now = Progress(phase, 0, total, best=self._now.best)
        self.tick()

    def step(self, score: float | None = None, best: float | None = None) -> None:
        """One step of the phase is done."""
        self._now = replace(
            self._now,
            done=self._now.done + 1,
            score=self._now.score if score is None else score,
            best=self._now.best if best is None else best,
        )
        self.tick()

    def advance(self, done: int, score: float, best: float) -> None:
        """So many steps of the phase are done in all."""
        self._now = replace(self._now, done=done, score=score, best=best)
        self.tick()

    def tick(self) -> None:
        """Tell the listener where the run stands; call this while waiting, too."""
        if self._listener is None:
            return
        now, elapsed = self._now, time.monotonic() - self._phase_began
        left = elapsed / now.done * (now.total - now.done) if now.done and now.total else None
        self._listener(replace(now, calls=self._calls(), seconds=self.seconds, seconds_left=left))
