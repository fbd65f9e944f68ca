"""What is known of an LM and an adapter, and what may be written of them."""

from __future__ import annotations

from typing import Any

EMBEDDED = "embedded"


def is_embedded(lm: Any) -> bool:
    """Whether an LM runs on the embedded engine."""
    return str(getattr(lm, "model", "")).startswith(f"{EMBEDDED}/")


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


def adapter_name(adapter: Any) -> str:
    """The adapter's class name, of DSPy's default where there is none."""
    import dspy

    return type(adapter or dspy.settings.adapter or dspy.ChatAdapter()).__name__
