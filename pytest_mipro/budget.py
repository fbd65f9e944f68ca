"""Counting LM calls and tokens, by what they were made for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Usage:
    """What was asked of LMs.

    Attributes:
        calls: LM calls by kind, such as ``bootstrap``, ``propose``, ``search`` and ``gate``.
        prompt_tokens, completion_tokens: totals as the LMs report them; 0 where they do not.
    """

    calls: Mapping[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_calls(self) -> int:
        """LM calls of all kinds."""
        return sum(self.calls.values())


class UsageMeter:
    """Counts LM calls made under :meth:`counting`, from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()

    @property
    def usage(self) -> Usage:
        """What has been counted so far."""
        with self._lock:
            return Usage(
                dict(self._calls),
                self._tokens["prompt_tokens"],
                self._tokens["completion_tokens"],
            )

    @contextmanager
    def counting(self, kind: str) -> Iterator[None]:
        """Count the LM calls of this context, and of none beside it, as ``kind``."""
        import dspy

        callbacks = [*(dspy.settings.callbacks or []), _call_counter(self, kind)]
        with dspy.context(callbacks=callbacks, usage_tracker=_TokenCounter(self)):
            yield

    def add_call(self, kind: str) -> None:
        """Count one LM call."""
        with self._lock:
            self._calls[kind] += 1

    def add_tokens(self, usage: Mapping[str, Any]) -> None:
        """Count the tokens of one response."""
        with self._lock:
            for key in ("prompt_tokens", "completion_tokens"):
                value = usage.get(key)
                if isinstance(value, int):
                    self._tokens[key] += value


def _call_counter(meter: UsageMeter, kind: str) -> Any:
    from dspy.utils.callback import BaseCallback

    class CallCounter(BaseCallback):  # type: ignore[misc]
        def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            meter.add_call(kind)

    return CallCounter()


class _TokenCounter:
    """Takes the place of DSPy's usage tracker, which it is called like."""

    def __init__(self, meter: UsageMeter) -> None:
        self._meter = meter

    def add_usage(self, lm: str, usage_entry: Mapping[str, Any]) -> None:
        self._meter.add_tokens(usage_entry)
