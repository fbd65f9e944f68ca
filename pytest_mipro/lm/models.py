"""Which LM a run uses, and what may be written of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_mipro.errors import SettingsError

EMBEDDED = "embedded"


class NeverAsked:
    """The engine of an LM whose answers all come from a recording."""

    def complete(self, request: Any) -> Any:
        """Refuse."""
        raise RuntimeError("an LM was asked during a replay")


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

        return embedded_lm(NeverAsked() if offline else None)
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


def varies(lm: Any) -> bool:
    """Whether an LM may answer the same request differently: unless its temperature is 0."""
    return getattr(lm, "kwargs", {}).get("temperature") != 0


def described(lm: Any) -> dict[str, Any]:
    """Name and decoding settings of an LM, without any key, header or URL."""
    kept = ("temperature", "max_tokens", "top_p", "top_k", "n", "seed", "reasoning_effort")
    settings = getattr(lm, "kwargs", {})
    return {
        "lm": str(getattr(lm, "model", type(lm).__name__)),
        "decoding": {key: settings[key] for key in kept if settings.get(key) is not None},
    }


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


def is_embedded(lm: Any) -> bool:
    """Whether an LM runs on the embedded engine."""
    return str(getattr(lm, "model", "")).startswith(f"{EMBEDDED}/")
