"""A DSPy adapter for small language models: a plain completion, held to a grammar.

Small models follow examples, not format instructions. So the prompt is nothing but the
instruction, the demos as ``field: value`` lines and the open output field, which the model
continues. A GBNF grammar (llama.cpp's) leaves it no way to answer outside the signature:
``Literal`` outputs can only be one of their values, free text ends at the line's end.

Works with the embedded LM and with any llama.cpp server, which takes ``grammar`` in the body
of an OpenAI-style request. Other servers ignore or refuse the grammar.
"""

from __future__ import annotations

import enum
import json
import re
from typing import Any, Literal, get_args, get_origin

from dspy.adapters.base import Adapter
from dspy.adapters.utils import parse_value
from dspy.utils.exceptions import AdapterParseError

from pytest_mipro.prompts import plain_value

# Long enough for a sentence of reasoning or a proposed instruction, and short enough that a
# small model that has lost its way stops soon.
MAX_TEXT_CHARACTERS = 400

_DECODING = ("temperature", "max_tokens", "top_p", "top_k", "seed")


class PlainAdapter(Adapter):  # type: ignore[misc]
    """Write prompts as plain completions and constrain the answers.

    One call, one completion: the output fields are answered in the signature's order, each on
    a line of its own. The prompt is sent as a single user message.
    """

    def __call__(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: Any,
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Ask once and return the parsed output fields, as a list of one."""
        request, options = self._request(lm, lm_kwargs, signature, demos, inputs)
        return [self.parse(signature, lm(request, **options).message.text or "")]

    async def acall(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: Any,
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Ask once, asynchronously."""
        request, options = self._request(lm, lm_kwargs, signature, demos, inputs)
        response = await lm.acall(request, **options)
        return [self.parse(signature, response.message.text or "")]

    def _request(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: Any,
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> tuple[Any, dict[str, Any]]:
        # A canonical request, and not messages with keyword arguments, because only its
        # extensions can carry a grammar.
        from dspy import lm15

        given = {**getattr(lm, "kwargs", {}), **lm_kwargs}
        decoding = {key: given[key] for key in _DECODING if given.get(key) is not None}
        options = {"rollout_id": given["rollout_id"]} if given.get("rollout_id") is not None else {}
        prompt = self.format(signature, demos, inputs)[0]["content"]
        request = lm15.Request(
            model=lm.model,
            messages=(lm15.Message.user(prompt),),
            config=lm15.Config(**decoding, extensions={"grammar": grammar(signature)}),
        )
        return request, options

    def format(
        self, signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return the one message that holds the whole prompt, open at the first output field."""
        blocks = [signature.instructions.strip()]
        names = [*signature.input_fields, *signature.output_fields]
        blocks += ["\n".join(_lines(names, demo)) for demo in demos]
        first = next(iter(signature.output_fields))
        blocks.append("\n".join([*_lines(signature.input_fields, inputs), f"{first}:"]))
        return [{"role": "user", "content": "\n\n".join(block for block in blocks if block)}]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Read the output fields from a completion that began after ``first_output:``.

        Raises:
            AdapterParseError: a field is missing, or its text is not of the field's type.
        """
        names = list(signature.output_fields)
        parts = [completion]
        for name in names[1:]:
            before, found, after = parts[-1].partition(f"\n{name}:")
            if not found:
                raise self._unreadable(signature, completion, f"no field {name!r}")
            parts[-1:] = [before, after]
        parts[-1] = parts[-1].strip().split("\n")[0]
        values: dict[str, Any] = {}
        for name, text in zip(names, parts, strict=True):
            try:
                values[name] = parse_value(text.strip(), signature.output_fields[name].annotation)
            except Exception as error:
                reason = f"field {name!r}: {error}"
                raise self._unreadable(signature, completion, reason) from error
        return values

    def _unreadable(self, signature: Any, completion: str, reason: str) -> Exception:
        error: Exception = AdapterParseError(
            adapter_name=type(self).__name__,
            signature=signature,
            lm_response=completion,
            message=reason,
        )
        return error


def grammar(signature: Any) -> str:
    """Return the GBNF grammar of the answers that fit a signature's output fields."""
    parts: list[str] = []
    for position, (name, field) in enumerate(signature.output_fields.items()):
        if position:
            parts.append(_quoted(f"\n{name}:"))
        parts.append(f'" " {_value_rule(field.annotation)}')
    # A line end closes free text, which has no end of its own.
    closed = parts[-1].endswith(")")
    return "root ::= " + " ".join(parts) + ("\n" if closed else ' "\\n"\n')


def _value_rule(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return _one_of([str(value) for value in get_args(annotation)])
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _one_of([str(member.value) for member in annotation])
    if annotation is bool:
        return _one_of(["True", "False"])
    if annotation is int:
        return '"-"? [0-9]{1,12}'
    if annotation is float:
        return '"-"? [0-9]{1,12} ("." [0-9]{1,12})?'
    return f"[^\\n \\t] [^\\n]{{0,{MAX_TEXT_CHARACTERS}}}"


def _one_of(values: list[str]) -> str:
    return "(" + " | ".join(_quoted(value) for value in values) + ")"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _lines(names: Any, values: Any) -> list[str]:
    return [f"{name}: {_one_line(values[name])}" for name in names if name in values]


def _one_line(value: Any) -> str:
    text = value if isinstance(value, str) else _serialized(value)
    return re.sub(r"\s*\n\s*", " ", text).strip()


def _serialized(value: Any) -> str:
    """As it stands in a prompt file, so that a demo read from one is shown as when it was made."""
    try:
        plain = plain_value(value)
    except TypeError:
        return str(value)
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, (dict, list)) else str(plain)
