"""The errors a user can meet. Each message names the thing, where it stands and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MiproError(Exception):
    """Base of every error that pytest-mipro raises on purpose."""


class SettingsError(MiproError, ValueError):
    """A setting has a bad value, an unknown name or the wrong type."""


class TaskError(MiproError, ValueError):
    """The program, the metric or the data cannot be used as they are."""


class MetricError(MiproError):
    """The metric raised, or returned something that is not a score."""


class PromptFileError(MiproError, ValueError):
    """A prompt file cannot be read, written or applied.

    The message begins with ``path:line`` where a line is known.
    """


class DependencyError(MiproError, ImportError):
    """An optional part is asked for and not installed."""


class NotRecorded(MiproError):
    """A request that is not in the recording which is replayed.

    Args:
        request: in canonical form.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        super().__init__("the recording has no answer to this request")
        self.request = request


class CannotJudge(MiproError):
    """The LM could not be asked, so there is no score.

    Args:
        message: what happened, for a person.
        causes: how often each cause was met, most frequent first.
    """

    def __init__(self, message: str, causes: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.causes = dict(causes or {})
