"""Requests and answers in canonical, plain form.

A request is its model, messages, decoding settings and rollout id, but never a key, a header or a
URL.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What says how to reach the LM, and not what is asked of it.
CONNECTION = frozenset(
    {
        *("api_key", "api_base", "api_version", "base_url", "timeout", "num_retries"),
        *("headers", "extra_headers", "default_headers", "http_client", "client"),
        *("max_retries", "organization", "project", "cache", "callbacks", "user"),
        *("azure_ad_token", "azure_ad_token_provider", "vertex_credentials"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
    }
)
_ASKED = frozenset({"response_format", "tools", "functions", "tool_choice"})


@dataclass(frozen=True)
class Answer:
    """What an LM returned.

    Attributes:
        outputs: as ``dspy.LM.__call__`` returns them.
        usage: token counts, as DSPy gives them to a usage tracker.
        earlier: whether an earlier run paid for it.
    """

    outputs: Any
    usage: Mapping[str, Any]
    earlier: bool = False


def canonical(call: Mapping[str, Any]) -> dict[str, Any]:
    """What a call asks, without how it is reached.

    Args:
        call: the model and messages with their settings, or a request of DSPy's in plain form.
    """
    if "request" not in call:
        return {**call, "settings": _without_connection(call["settings"])}
    request = call["request"]
    if isinstance(request.get("config"), dict):
        request = {**request, "config": _without_connection(request["config"])}
    return {**call, "request": request}


def _without_connection(settings: Any) -> Any:
    """Settings, at any depth, without what says how to reach the LM.

    Schemas and tools are left as they are: a field named ``user`` is part of what is asked.
    """
    if isinstance(settings, dict):
        return {
            name: value if name in _ASKED else _without_connection(value)
            for name, value in settings.items()
            if name not in CONNECTION
        }
    if isinstance(settings, list):
        return [_without_connection(value) for value in settings]
    return settings


def key_of(request: Mapping[str, Any]) -> str:
    """The name under which a canonical request is filed."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False, default=plain_request)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def plain_request(value: Any) -> Any:
    """A part of a request that JSON does not know, as plain values."""
    if isinstance(value, type):
        schema = getattr(value, "model_json_schema", None)
        return [value.__qualname__, schema() if schema else None]
    for method in ("model_dump", "to_dict", "toDict"):
        if hasattr(value, method):
            return getattr(value, method)()
    return repr(value)
