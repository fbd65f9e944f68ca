"""Counting LM calls, tokens and cost, by what they were made for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Usage:
    """What was asked of LMs.

    Attributes:
        calls: LM calls by kind, such as ``bootstrap``, ``propose``, ``search`` and ``gate``.
            Those that an earlier run made are among them, as the result rests on them too.
        prompt_tokens, completion_tokens: totals as the LMs report them; 0 where they do not.
        reused: how many of the calls were answered from an earlier, perhaps interrupted run, or
            from DSPy's own cache, and so not made.
        cost: US dollars as DSPy estimates them, of the calls that were made now; None where it
            knows no price.
    """

    calls: Mapping[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reused: int = 0
    cost: float | None = None

    @property
    def total_calls(self) -> int:
        """LM calls of all kinds."""
        return sum(self.calls.values())


class UsageMeter:
    """Counts LM calls made under a :meth:`tracker`, from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._reused = 0
        self._cost: float | None = None

    @property
    def usage(self) -> Usage:
        """What has been counted so far."""
        with self._lock:
            return Usage(
                dict(self._calls),
                self._tokens["prompt_tokens"],
                self._tokens["completion_tokens"],
                self._reused,
                self._cost,
            )

    def tracker(self, kind: str) -> Any:
        """A usage tracker for DSPy's settings that counts the LM calls of a context as ``kind``."""
        return _Tracker(self, kind)

    def add_call(self, kind: str) -> None:
        """Count one LM call."""
        with self._lock:
            self._calls[kind] += 1

    def add_reused(self, kind: str, usage: Mapping[str, Any]) -> None:
        """Count a call that was answered from what an earlier run paid for."""
        with self._lock:
            self._calls[kind] += 1
            self._reused += 1
        self.add_tokens(usage)

    def add_cost(self, usd: float) -> None:
        """Count what a call cost."""
        with self._lock:
            self._cost = (self._cost or 0.0) + usd

    def add_tokens(self, usage: Mapping[str, Any]) -> None:
        """Count the tokens of one response."""
        with self._lock:
            for key in ("prompt_tokens", "completion_tokens"):
                value = usage.get(key)
                if isinstance(value, int):
                    self._tokens[key] += value


class _Tracker:
    """Takes the place of DSPy's usage tracker, which it is called like: once per answered call.

    DSPy's callbacks would count as well, but they are run for every module and adapter too.
    """

    def __init__(self, meter: UsageMeter, kind: str) -> None:
        self._meter = meter
        self._kind = kind

    def add_usage(self, lm: str, usage_entry: Mapping[str, Any]) -> None:
        self._meter.add_call(self._kind)
        self._meter.add_tokens(usage_entry)

    def add_cost(self, usd: float) -> None:
        self._meter.add_cost(usd)
