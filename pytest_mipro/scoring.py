"""Run a program over examples: concurrency, memo, errors, usage."""

from __future__ import annotations

import contextvars
import inspect
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from numbers import Real
from types import TracebackType
from typing import Any, Literal

from pytest_mipro.budget import UsageMeter
from pytest_mipro.errors import CannotJudge, MetricError
from pytest_mipro.fingerprint import example_id
from pytest_mipro.models import adapter_for
from pytest_mipro.prompts import Prompts, digest, with_prompts

Kind = Literal["scored", "malformed", "overflow", "program_error", "unreachable"]
TICK_SECONDS = 0.25


@dataclass(frozen=True)
class Outcome:
    """What came of one example.

    Attributes:
        score: on the metric's own scale, 0 to 1; None when the LM could not be asked.
        kind: ``scored``; ``malformed`` (an answer that the adapter could not read, score 0);
            ``overflow`` (the prompt is longer than the LM's context, score 0);
            ``program_error`` (the program raised, score 0); ``unreachable`` (outage, auth, rate
            limit: no score).
        cause: the error, for all kinds but ``scored``.
        success: whether the trace may become a demo.
        prediction: what the program returned.
        trace: DSPy's trace, when asked for: (predictor name, inputs, outputs) in call order.
    """

    score: float | None
    kind: Kind = "scored"
    cause: str = ""
    success: bool = False
    prediction: Any = None
    trace: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = ()


class Scorer:
    """Runs one program, with any prompts, on one bounded pool of threads.

    Each (prompts, example) is run once; asking again returns the same outcome. LM calls made in
    a worker see the DSPy context of the thread that made the scorer.

    Args:
        program: the program; it is copied, never changed.
        metric: ``metric(example, prediction, trace=None)``.
        lm: the task LM, or None to leave it to ``dspy.settings``.
        adapter: the DSPy adapter, or None to leave it to ``dspy.settings``.
        threads: program runs under way at once.
        metric_threshold: the score from which a trace may become a demo; without it the metric
            must say True or give full marks.
        meter: counts the LM calls.
    """

    def __init__(
        self,
        program: Any,
        metric: Callable[..., Any],
        *,
        lm: Any = None,
        adapter: Any = None,
        threads: int = 8,
        metric_threshold: float | None = None,
        meter: UsageMeter | None = None,
    ) -> None:
        self.program = program
        self.metric = metric
        self.lm = lm
        self.adapter = adapter
        self.threads = threads
        self.metric_threshold = metric_threshold
        self.meter = meter or UsageMeter()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mipro")
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._memo: dict[tuple[str, str], Future[Outcome]] = {}
        self._programs: dict[str, Any] = {}
        self._example_ids: dict[int, tuple[Any, str]] = {}

    def submit(self, prompts: Prompts, example: Any, *, kind: str) -> Future[Outcome]:
        """Start (or find) the run of ``example`` with ``prompts``.

        Args:
            prompts: the prompts of every predictor.
            example: a ``dspy.Example`` with declared inputs.
            kind: what the LM calls are counted as.

        Returns:
            The outcome to come. Its ``result()`` raises a MetricError if the metric did.
        """
        key = (digest(prompts), self._id(example))
        with self._lock:
            known = self._memo.get(key)
        if known is None:
            program = self._program(key[0], prompts)
            known = self.call(lambda: self.run(program, example), kind=kind)
            with self._lock:
                self._memo[key] = known
        return known

    def call(self, function: Callable[[], Any], *, kind: str, lm: Any = None) -> Future[Any]:
        """Run any function that calls LMs on the pool, counted as ``kind``."""

        def counted() -> Any:
            with self._settings(lm), self.meter.counting(kind):
                return function()

        return self._pool.submit(self._context.copy().run, counted)

    def score(
        self,
        prompts: Prompts,
        examples: Sequence[Any],
        *,
        kind: str,
        tick: Callable[[], None] | None = None,
    ) -> list[Outcome]:
        """Run ``prompts`` over ``examples`` and return the outcomes in their order."""
        futures = [self.submit(prompts, example, kind=kind) for example in examples]
        return [result_of(future, tick) for future in futures]

    def run(self, program: Any, example: Any, *, trace: bool = False) -> Outcome:
        """Run one example in the calling thread, with the DSPy context that is set there.

        Args:
            program: the program with its prompts in place.
            example: a ``dspy.Example`` with declared inputs.
            trace: whether to ask the metric as when bootstrapping, and to keep the trace.

        Raises:
            MetricError: the metric raised or did not return a score.
        """
        import dspy

        steps: list[Any] | None = [] if trace else None
        with dspy.context(trace=steps):
            try:
                prediction = program(**example.inputs())
            except Exception as error:
                return _failed(error, example)
        value = self._ask_metric(example, prediction, steps)
        score = to_score(value, f"the metric {_name(self.metric)} on example {_brief(example)}")
        names = {id(predictor): name for name, predictor in program.named_predictors()}
        return Outcome(
            score=score,
            success=is_success(score, self.metric_threshold),
            prediction=prediction,
            trace=tuple(
                (names[id(predictor)], dict(inputs), dict(outputs.items()))
                for predictor, inputs, outputs in steps or ()
                if id(predictor) in names
            ),
        )

    def close(self) -> None:
        """Drop what has not begun and wait for the LM calls in flight."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask_metric(self, example: Any, prediction: Any, steps: list[Any] | None) -> Any:
        try:
            if steps is None or not _takes_trace(self.metric):
                return self.metric(example, prediction)
            return self.metric(example, prediction, steps)
        except Exception as error:
            raise MetricError(
                f"the metric {_name(self.metric)} raised {type(error).__name__}: {error}\n"
                f"  on example {_brief(example)}\n  and prediction {_brief(prediction)}\n"
                "a metric must return a score for every prediction, 0 for a bad one"
            ) from error

    def _settings(self, lm: Any) -> Any:
        import dspy

        own = lm is None or lm is self.lm
        chosen = {
            "lm": self.lm if own else lm,
            "adapter": self.adapter if own else adapter_for(lm),
        }
        return dspy.context(**{name: value for name, value in chosen.items() if value is not None})

    def _program(self, key: str, prompts: Prompts) -> Any:
        with self._lock:
            program = self._programs.get(key)
            if program is None:
                program = self._programs[key] = with_prompts(self.program, prompts)
            return program

    def _id(self, example: Any) -> str:
        known = self._example_ids.get(id(example))
        if known is None:
            known = self._example_ids[id(example)] = (example, example_id(example))
        return known[1]


def result_of(future: Future[Any], tick: Callable[[], None] | None = None) -> Any:
    """Wait for a future, calling ``tick`` meanwhile so that progress can be shown."""
    if tick is not None:
        tick()
        while not wait([future], timeout=TICK_SECONDS).done:
            tick()
    return future.result()


def means_over(outcomes: Sequence[Outcome]) -> float:
    """Mean score of the outcomes that have one.

    Raises:
        CannotJudge: none has one.
    """
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    if not scores:
        raise unreachable(outcomes)
    return math.fsum(scores) / len(scores)


def unreachable(outcomes: Sequence[Outcome]) -> CannotJudge:
    """The error that says why the LM could not be asked, with the causes counted."""
    causes = Counter(outcome.cause for outcome in outcomes if outcome.kind == "unreachable")
    listed = "\n".join(f"  {count} x {cause}" for cause, count in causes.most_common())
    return CannotJudge(
        f"the LM could not be asked for {sum(causes.values())} of {len(outcomes)} examples:\n"
        f"{listed}\nthis says nothing about the prompts; run again when the LM can be reached",
        dict(causes.most_common()),
    )


def to_score(value: Any, source: str) -> float:
    """Turn what a metric returned into a score from 0 to 1.

    Args:
        value: a bool, a number, or a ``dspy.Prediction`` with a field ``score``.
        source: named in errors.

    Raises:
        MetricError: anything else, a NaN, or a number outside 0 to 1.
    """
    number = value.score if hasattr(value, "score") and not isinstance(value, Real) else value
    item = getattr(number, "item", None)
    if callable(item) and getattr(number, "size", 1) == 1:
        number = item()
    if not isinstance(number, Real):
        raise MetricError(
            f"{source} returned {value!r:.80}; it must return a bool, a number from 0 to 1, or "
            "dspy.Prediction(score=...)" + (" (is a return missing?)" if value is None else "")
        )
    score = float(number)
    if not 0.0 <= score <= 1.0:
        hint = "; divide by 100 if it counts per cent" if 1 < score <= 100 else ""
        raise MetricError(f"{source} returned {score:g}; scores go from 0 to 1{hint}")
    return score


def is_success(score: float, metric_threshold: float | None) -> bool:
    """Whether a trace with this result may become a demo; 0.01 is not a success."""
    if metric_threshold is not None:
        return score >= metric_threshold
    return score >= 1.0


def _failed(error: Exception, example: Any) -> Outcome:
    from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError

    cause = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    if isinstance(error, AdapterParseError):
        return Outcome(0.0, "malformed", cause)
    if isinstance(error, ContextWindowExceededError):
        name, size = max(
            ((name, len(str(value))) for name, value in example.inputs().items()),
            key=lambda item: item[1],
        )
        return Outcome(0.0, "overflow", f"{cause}; its longest input, {name!r}, has {size:,} chars")
    if is_infrastructure(error):
        return Outcome(None, "unreachable", cause)
    return Outcome(0.0, "program_error", cause)


def is_infrastructure(error: BaseException) -> bool:
    """Whether an error means that a service could not be asked, not that the answer was bad."""
    from dspy.utils.exceptions import ContextWindowExceededError, LMError

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ContextWindowExceededError):
            return False
        foreign = type(seen).__module__.split(".")[0]
        if isinstance(seen, (LMError, ConnectionError, TimeoutError)) or foreign in _CLIENTS:
            return True
        seen = seen.__cause__
    return False


_CLIENTS = frozenset({"httpx", "httpcore", "requests", "urllib3", "aiohttp", "openai", "litellm"})


def _takes_trace(metric: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(metric).parameters.values())
    except (TypeError, ValueError):
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= 3 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _name(metric: Any) -> str:
    return str(getattr(metric, "__name__", type(metric).__name__))


def _brief(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) <= 200 else f"{text[:200]}..."
