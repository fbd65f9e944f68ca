"""Prompt regression and optimisation for DSPy programs.

Importing this package imports neither pytest nor dspy; a name that needs dspy imports it when
it is first used.

PYTEST_DONT_REWRITE: there is no assert here to rewrite.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mipro import metrics
    from pytest_mipro.errors import (
        CannotJudge,
        DependencyError,
        MetricError,
        MiproError,
        NotRecorded,
        PromptFileError,
        SettingsError,
        TaskError,
    )
    from pytest_mipro.examples import load_examples
    from pytest_mipro.files.promptfile import load_prompts, save_prompts
    from pytest_mipro.fixtures import MiproFixture
    from pytest_mipro.gate.result import GateResult, Usage, Verdict
    from pytest_mipro.lm.answering import stored
    from pytest_mipro.lm.embedded import EmbeddedEngine, embedded_lm
    from pytest_mipro.lm.plain_adapter import PlainAdapter
    from pytest_mipro.optimizers.mipro.optimizer import Compiled
    from pytest_mipro.optimizers.mipro.teleprompter import MIPRO
    from pytest_mipro.progress import Progress

    __version__: str

# Where each public name lives; the imports above tell type checkers the same.
_HOMES = {
    "CannotJudge": "errors",
    "Compiled": "optimizers.mipro.optimizer",
    "DependencyError": "errors",
    "EmbeddedEngine": "lm.embedded",
    "GateResult": "gate.result",
    "MIPRO": "optimizers.mipro.teleprompter",
    "MetricError": "errors",
    "MiproError": "errors",
    "MiproFixture": "fixtures",
    "NotRecorded": "errors",
    "PlainAdapter": "lm.plain_adapter",
    "Progress": "progress",
    "PromptFileError": "errors",
    "SettingsError": "errors",
    "TaskError": "errors",
    "Usage": "gate.result",
    "Verdict": "gate.result",
    "embedded_lm": "lm.embedded",
    "load_examples": "examples",
    "load_prompts": "files.promptfile",
    "save_prompts": "files.promptfile",
    "stored": "lm.answering",
}

__all__ = [
    "MIPRO",
    "CannotJudge",
    "Compiled",
    "DependencyError",
    "EmbeddedEngine",
    "GateResult",
    "MetricError",
    "MiproError",
    "MiproFixture",
    "NotRecorded",
    "PlainAdapter",
    "Progress",
    "PromptFileError",
    "SettingsError",
    "TaskError",
    "Usage",
    "Verdict",
    "__version__",
    "embedded_lm",
    "load_examples",
    "load_prompts",
    "metrics",
    "save_prompts",
    "stored",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pytest-mipro")
    if name == "metrics":
        return importlib.import_module("pytest_mipro.metrics")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"pytest_mipro.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
