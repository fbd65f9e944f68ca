"""Which adapter a run uses: how DSPy writes prompts and reads answers."""

from __future__ import annotations

from typing import Any

from pytest_mipro.lm.description import is_embedded


def adapter_for(lm: Any, name: str | None = None) -> Any:
    """The adapter for an LM: the named one, else DSPy's setting, else plain for the embedded LM.

    Returns None to leave the choice to DSPy.
    """
    import dspy

    if name == "plain" or (name is None and dspy.settings.adapter is None and is_embedded(lm)):
        from pytest_mipro.lm.plain_adapter import PlainAdapter

        return PlainAdapter()
    if name is None:
        return None
    kinds = {"chat": dspy.ChatAdapter, "json": dspy.JSONAdapter, "xml": dspy.XMLAdapter}
    return kinds[name]()
