"""Prompt regression and optimisation for DSPy programs.

Importing this package imports neither pytest nor dspy; a name that needs dspy imports it when
it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mipro import metrics
    from pytest_mipro.embedded import EmbeddedEngine, embedded_lm
    from pytest_mipro.gate import GateResult
    from pytest_mipro.optimizers.mipro import MIPRO
    from pytest_mipro.plain_adapter import PlainAdapter
    from pytest_mipro.promptfile import load_prompts, save_prompts
    from pytest_mipro.task import load_examples

_HOMES = {
    "MIPRO": "pytest_mipro.optimizers.mipro",
    "EmbeddedEngine": "pytest_mipro.embedded",
    "GateResult": "pytest_mipro.gate",
    "PlainAdapter": "pytest_mipro.plain_adapter",
    "embedded_lm": "pytest_mipro.embedded",
    "load_examples": "pytest_mipro.task",
    "load_prompts": "pytest_mipro.promptfile",
    "save_prompts": "pytest_mipro.promptfile",
}

__all__ = [
    "MIPRO",
    "EmbeddedEngine",
    "GateResult",
    "PlainAdapter",
    "embedded_lm",
    "load_examples",
    "load_prompts",
    "metrics",
    "save_prompts",
]


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return importlib.import_module("pytest_mipro.metrics")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "metrics"})
