"""The one seam to DSPy's inner parts: what is not documented, and may move with any release.

``tests/lm/test_seam.py`` is its contract: after an upgrade of DSPy it says which part moved. No
other room may touch a private name of DSPy, swap the class of one of its objects, or put an object
of ours into a setting that DSPy does not document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Protocol


class Answerer(Protocol):
    """What stands before an LM: it is given each call, and asks the LM by ``ask`` if it must.

    ``ask`` takes keyword arguments that are added to the call's own.
    """

    def answer(self, call: Mapping[str, Any], lm: Any, ask: Callable[..., Any]) -> Any:
        """Answer a call, whose request is ``call`` (see :func:`asked`)."""

    async def answer_awaited(
        self, call: Mapping[str, Any], lm: Any, ask: Callable[..., Awaitable[Any]]
    ) -> Any:
        """The same for a call that is awaited."""

    def billed(self, usd: float | None) -> None:
        """Hear what the call under way cost, in US dollars; None where DSPy knows no price."""


class Tracker(Protocol):
    """What DSPy tells of each answered call when it stands in the setting ``usage_tracker``."""

    def add_usage(self, lm: str, usage_entry: Mapping[str, Any]) -> None:
        """Hear the token counts of a call to the model ``lm``."""


def with_answerer(lm: Any, answerer: Answerer) -> Any:
    """A copy of ``lm`` whose calls go to ``answerer`` first; anything but a ``dspy.BaseLM`` as
    it is.

    The copy's class is swapped under it. A wrapper would not do: adapters ask what kind of LM they
    have (``isinstance(lm, dspy.LM)``), and read attributes that a subclass may add.
    """
    import dspy

    if not isinstance(lm, dspy.BaseLM) or answerer_of(lm) is answerer:
        return lm
    copy = lm.copy()
    copy.history = lm.history
    kind: Any = type(lm)
    copy.__class__ = _intercepting(kind)
    copy._mipro_answerer = answerer
    return copy


def answerer_of(lm: Any) -> Answerer | None:
    """What stands before an LM; None where nothing does."""
    answerer: Answerer | None = getattr(lm, "_mipro_answerer", None)
    return answerer


@lru_cache(maxsize=64)
def _intercepting(kind: Any) -> Any:
    """A subclass of an LM's class that hands its calls to an answerer."""

    class Intercepting(kind):  # type: ignore[misc]
        _mipro_answerer: Answerer

        def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
            def ask(**more: Any) -> Any:
                return super(Intercepting, self).__call__(
                    prompt, messages=messages, **kwargs, **more
                )

            return self._mipro_answerer.answer(asked(self, prompt, messages, kwargs), self, ask)

        async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
            async def ask(**more: Any) -> Any:
                return await super(Intercepting, self).acall(
                    prompt, messages=messages, **kwargs, **more
                )

            call = asked(self, prompt, messages, kwargs)
            return await self._mipro_answerer.answer_awaited(call, self, ask)

        def update_history(self, entry: Any) -> None:
            self._mipro_answerer.billed(entry.get("cost"))
            super().update_history(entry)

    # DSPy saves and shows an LM by the name of its class.
    Intercepting.__name__, Intercepting.__qualname__ = kind.__name__, kind.__qualname__
    Intercepting.__module__ = kind.__module__
    return Intercepting


def asked(lm: Any, prompt: Any, messages: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What a call asks, as it is given: model, messages, settings. May hold keys and headers."""
    from dspy import lm15

    request = kwargs.get("request", prompt)
    head: dict[str, Any] = {"model": lm.model, "type": lm.model_type}
    if isinstance(request, lm15.Request):
        from dspy._vendor.lm15.serde import request_to_dict

        rollout = kwargs.get("rollout_id")
        return {**head, "request": request_to_dict(request), "rollout_id": rollout}
    given = {**lm.kwargs, **kwargs}
    settings = {name: value for name, value in sorted(given.items()) if value is not None}
    shown = messages if messages is not None else [{"role": "user", "content": prompt}]
    return {**head, "messages": shown, "settings": settings}


def plain_outputs(outputs: Any) -> Any:
    """What an LM returned, as plain values that :func:`loaded_outputs` turns back."""
    from dspy import lm15

    if isinstance(outputs, lm15.Response):
        from dspy._vendor.lm15.serde import response_to_dict

        return {"response": response_to_dict(outputs)}
    return outputs


def loaded_outputs(plain: Any) -> Any:
    """What an LM returned, from its plain form."""
    if isinstance(plain, dict) and set(plain) == {"response"}:
        from dspy._vendor.lm15.serde import response_from_dict

        return response_from_dict(plain["response"])
    return plain


def takes_cache(lm: Any) -> bool:
    """Whether a call of this LM may say ``cache=False``: LMs on an engine of DSPy's do."""
    return hasattr(lm, "_engine_spec")


def tracked(tracker: Tracker, **settings: Any) -> AbstractContextManager[Any]:
    """A DSPy context in which ``tracker`` hears of each answered call.

    DSPy's callbacks would count as well, but they are run for every module and adapter too, which
    was measured to double the cost of scoring.
    """
    import dspy

    context: AbstractContextManager[Any] = dspy.context(usage_tracker=tracker, **settings)
    return context


def current_tracker() -> Any:
    """The tracker of the context that the caller is in; None where there is none."""
    import dspy

    return dspy.settings.usage_tracker


def declared_inputs(example: Any) -> frozenset[str] | None:
    """The fields that an example declares as inputs; None where it declares none.

    ``example.inputs()`` raises for such an example, and does so when it is paid for already.
    """
    names = example._input_keys
    return None if names is None else frozenset(names)


def mark_compiled(program: Any) -> None:
    """Say that a program was compiled, as DSPy's own optimisers do: compiling it again, as one
    part of a larger program, leaves it alone."""
    program._compiled = True


def token_prices(model: str) -> tuple[float, float] | None:
    """List prices in US dollars of a prompt and a completion token, as DSPy knows them.

    Args:
        model: as ``provider/name``.
    """
    from dspy.clients.model_metadata import model_info, rate

    provider, _, name = model.partition("/")
    info = model_info(provider, name) if name else None
    prices = [rate(info, f"{side}_cost_per_token") for side in ("input", "output")] if info else []
    if len(prices) != 2 or any(price is None for price in prices):
        return None
    return float(prices[0]), float(prices[1])
