"""Which LM a run uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_mipro.errors import SettingsError
from pytest_mipro.lm.description import EMBEDDED, is_embedded


def make_lm(name: str, *, api_base: str = "", offline: bool = False) -> Any:
    """Make the LM that an ini value names.

    Args:
        name: ``embedded``, or a model name that ``dspy.LM`` understands.
        api_base: URL of an OpenAI-compatible server, for a name that is not ``embedded``.
            Its key comes from the environment, as for any ``dspy.LM``; a local server that
            wants none gets a placeholder.
        offline: whether it is never asked, so that what it takes need not be installed.

    Raises:
        DependencyError: the embedded LM is not installed.
        SettingsError: ``dspy.LM`` refuses the name.
    """
    import os

    import dspy

    if name == EMBEDDED:
        from pytest_mipro.lm.embedded import embedded_lm

        return embedded_lm(offline=offline)
    server: dict[str, Any] = {"api_base": api_base} if api_base else {}
    if api_base and not os.environ.get("OPENAI_API_KEY"):
        server["api_key"] = "none"
    try:
        return dspy.LM(name, temperature=0.0, **server)
    except Exception as error:
        raise SettingsError(
            f"mipro_lm={name!r}: dspy.LM refuses it: {error}; write provider/model, such as "
            "openai/gpt-4o-mini, or embedded"
        ) from error


def configured() -> Any:
    """The LM that ``dspy.configure`` or ``dspy.context`` set; None where none is."""
    import dspy

    return dspy.settings.lm


@contextmanager
def closing(lm: Any) -> Iterator[None]:
    """Unload the embedded LM when it is no longer used; leave others alone."""
    try:
        yield
    finally:
        engine = getattr(lm, "engine", None)
        if engine is not None and is_embedded(lm) and hasattr(engine, "close"):
            engine.close()
