"""What is asked of LMs and what they answer, in a canonical, plain form.

A request is its model, messages, decoding settings and rollout id, but never a key, a header or a
URL.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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


def canonical(lm: Any, prompt: Any, messages: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, without how it is reached, as plain values."""
    from dspy import lm15

    request = kwargs.get("request", prompt)
    asked: dict[str, Any] = {"model": lm.model, "type": lm.model_type}
    if isinstance(request, lm15.Request):
        from dspy._vendor.lm15.serde import request_to_dict

        return {
            **asked,
            "request": _lm15_without_connection(request_to_dict(request)),
            "rollout_id": kwargs.get("rollout_id"),
        }
    settings = {**lm.kwargs, **kwargs}
    settings = _without_connection({k: v for k, v in sorted(settings.items()) if v is not None})
    shown = messages if messages is not None else [{"role": "user", "content": prompt}]
    return {**asked, "messages": shown, "settings": settings}


def _lm15_without_connection(request: dict[str, Any]) -> dict[str, Any]:
    if isinstance(request.get("config"), dict):
        return {**request, "config": _without_connection(request["config"])}
    return request


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


def plain_outputs(outputs: Any) -> Any:
    """What an LM returned, as plain values that :func:`loaded` turns back."""
    from dspy import lm15

    if isinstance(outputs, lm15.Response):
        from dspy._vendor.lm15.serde import response_to_dict

        return {"response": response_to_dict(outputs)}
    return outputs


def loaded(outputs: Any) -> Any:
    """What an LM returned, from its plain form."""
    if isinstance(outputs, dict) and set(outputs) == {"response"}:
        from dspy._vendor.lm15.serde import response_from_dict

        return response_from_dict(outputs["response"])
    return outputs
