"""Run a program over examples: concurrency, memo, errors, usage."""

from __future__ import annotations

import contextvars
import inspect
import itertools
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from numbers import Real
from types import TracebackType
from typing import Any, Literal

from pytest_mipro.budget import UsageMeter
from pytest_mipro.errors import CannotJudge, MetricError
from pytest_mipro.models import adapter_for
from pytest_mipro.prompts import Prompts, digest, with_prompts
from pytest_mipro.responses import RUN, Asking, ResponseStore

Kind = Literal["scored", "malformed", "overflow", "program_error", "unreachable"]
TICK_SECONDS = 0.25
RUNS_PER_SLOT = 3


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
        requests: what was asked of LMs, as the store of responses names it.
    """

    score: float | None
    kind: Kind = "scored"
    cause: str = ""
    success: bool = False
    prediction: Any = None
    trace: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = ()
    requests: tuple[str, ...] = ()


class Scorer:
    """Runs one program, with any prompts, on one bounded pool of threads.

    Each (prompts, example) is run once; asking again returns the same outcome. No request is
    made of an LM twice: what two configurations ask alike, as the first steps of a program
    often are, is answered from the store of responses. LM calls made in a worker see the DSPy
    context of the thread that made the scorer.

    Args:
        program: the program; it is copied, never changed.
        metric: ``metric(example, prediction, trace=None)``.
        lm: the task LM, or None to leave it to ``dspy.settings``.
        adapter: the DSPy adapter, or None to leave it to ``dspy.settings``.
        threads: LM calls under way at once.
        metric_threshold: the score from which a trace may become a demo; without it the metric
            must say True or give full marks.
        meter: counts the LM calls.
        store: where responses are kept; without it, in memory for as long as the scorer lives.
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
        store: ResponseStore | None = None,
    ) -> None:
        self.program = program
        self.metric = metric
        self.lm = lm
        self.adapter = adapter
        self.threads = threads
        self.metric_threshold = metric_threshold
        self.meter = meter or UsageMeter()
        self.store = store or ResponseStore()
        # More runs than LM calls may be under way: one that waits for an answer that another
        # run asked for takes no slot.
        self._pool = ThreadPoolExecutor(RUNS_PER_SLOT * threads, thread_name_prefix="mipro")
        self._slots = threading.BoundedSemaphore(threads)
        self._context = contextvars.copy_context()
        self._contexts: dict[tuple[str, int], tuple[Any, contextvars.Context]] = {}
        self._entered: list[tuple[contextvars.Context, Any]] = []
        self._memo: dict[tuple[str, int], tuple[Any, Future[Outcome] | Outcome]] = {}
        self._closed = False
        self._programs: dict[str, Any] = {}
        self._digests: dict[int, tuple[Prompts, str]] = {}

    def submit(self, prompts: Prompts, example: Any, *, kind: str) -> Future[Outcome]:
        """Start (or find) the run of ``example`` with ``prompts``.

        Only the thread that made the scorer may call this.

        Args:
            prompts: the prompts of every predictor.
            example: a ``dspy.Example`` with declared inputs.
            kind: what the LM calls are counted as.

        Returns:
            The outcome to come. Its ``result()`` raises a MetricError if the metric did.
        """
        name = self._digest(prompts)
        entry = self._memo.get((name, id(example)))
        if entry is None:
            program = self._program(name, prompts)
            future: Future[Outcome] = self._pool.submit(
                self._in_context, self._context_of(kind, None), kind, self.run, program, example
            )
            # The example is kept, so that its id is not given to another.
            self._memo[name, id(example)] = (example, future)
            return future
        known = entry[1]
        return _done(known) if isinstance(known, Outcome) else known

    def call(self, function: Callable[[], Any], *, kind: str, lm: Any = None) -> Future[Any]:
        """Run any function that calls LMs on the pool, counted as ``kind``."""
        return self._pool.submit(self._in_context, self._context_of(kind, lm), kind, function)

    def traced(self, program: Any, example: Any, *, kind: str) -> Future[Outcome]:
        """Run ``example`` on another program, as when bootstrapping, and keep the trace."""
        program = self.prepared(program)
        return self.call(lambda: self.run(program, example, trace=True), kind=kind)

    def prepared(self, program: Any) -> Any:
        """The program, a copy if need be, with the LMs that its predictors bring asking the
        store first."""
        if all(predictor.lm is None for predictor in program.predictors()):
            return program
        copy = program.deepcopy()
        for predictor in copy.predictors():
            if predictor.lm is not None:
                predictor.lm = self.store.around(predictor.lm)
        return copy

    def score(
        self,
        prompts: Prompts,
        examples: Sequence[Any],
        *,
        kind: str,
        tick: Callable[[], None] | None = None,
        step: Callable[[Outcome], None] | None = None,
    ) -> list[Outcome]:
        """Run ``prompts`` over ``examples`` and return the outcomes in their order.

        Args:
            prompts: the prompts of every predictor.
            examples: any number of them; each costs the pool next to nothing.
            kind: what the LM calls are counted as.
            tick: called several times a second while waiting.
            step: called with each outcome, in the order of the examples.

        Raises:
            MetricError: the metric raised or did not return a score.
        """
        name = self._digest(prompts)
        batch = _Batch([self._memo.get((name, id(example))) for example in examples])
        if batch.left:
            program = self._program(name, prompts)
            self._work(batch, lambda n: self._asking(kind, self.run, program, examples[n]), kind)
        outcomes = []
        for n, example in enumerate(examples):
            outcome = batch.outcome(n, tick)
            self._memo[name, id(example)] = (example, outcome)
            outcomes.append(outcome)
            if step is not None:
                step(outcome)
        return outcomes

    def _work(self, batch: _Batch, run: Callable[[int], Outcome], kind: str) -> None:
        """Let the pool's threads take the examples of a batch in turn: one task a thread, as a
        task an example would cost more than the rest of the scoring."""
        turns = itertools.count()

        def work() -> None:
            while not self._closed and (turn := next(turns)) < len(batch.left):
                batch.found[batch.left[turn]] = run(batch.left[turn])

        context = self._context_of(kind, None)
        batch.workers = [
            self._pool.submit(context.copy().run, work)
            for _ in range(min(self.threads, len(batch.left)))
        ]

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
        try:
            if trace:
                with dspy.context(trace=steps):
                    prediction = program(**example.inputs())
            else:
                prediction = program(**example.inputs())
        except Exception as error:
            return _failed(error, example)
        value = self._ask_metric(example, prediction, steps)
        try:
            score = to_score(value)
        except MetricError as error:
            raise MetricError(
                f"the metric {_name(self.metric)} on example {_brief(example)} {error}"
            ) from None
        return Outcome(
            score=score,
            success=is_success(score, self.metric_threshold),
            prediction=prediction,
            trace=_named_steps(program, steps) if steps else (),
        )

    def close(self) -> None:
        """Drop what has not begun and wait for the LM calls in flight."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        while self._entered:
            context, entered = self._entered.pop()
            context.run(entered.__exit__, None, None, None)

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

    def _in_context(
        self, context: contextvars.Context, kind: str, function: Callable[..., Any], *args: Any
    ) -> Any:
        return context.copy().run(self._asking, kind, function, *args)

    def _asking(self, kind: str, function: Callable[..., Any], *args: Any) -> Any:
        def reused(usage: Mapping[str, Any]) -> None:
            self.meter.add_reused(kind, usage)

        run = Asking(reused, self._slots)
        token = RUN.set(run)
        try:
            result = function(*args)
        finally:
            RUN.reset(token)
        if run.keys and isinstance(result, Outcome):
            return replace(result, requests=tuple(run.keys))
        return result

    def _context_of(self, kind: str, lm: Any) -> contextvars.Context:
        """The DSPy context of a kind of call, made once: entering one takes its time."""
        known = self._contexts.get((kind, id(lm)))
        if known is None:
            context = self._context.copy()
            entered = context.run(self._enter, kind, lm)
            self._entered.append((context, entered))
            known = self._contexts[kind, id(lm)] = (lm, context)
        return known[1]

    def _enter(self, kind: str, lm: Any) -> Any:
        import dspy

        own = lm is None or lm is self.lm
        chosen = {
            "lm": self.store.around((self.lm or dspy.settings.lm) if own else lm),
            "adapter": self.adapter if own else adapter_for(lm),
        }
        given = {name: value for name, value in chosen.items() if value is not None}
        entered = dspy.context(trace=None, usage_tracker=self.meter.tracker(kind), **given)
        entered.__enter__()
        return entered

    def _program(self, name: str, prompts: Prompts) -> Any:
        program = self._programs.get(name)
        if program is None:
            program = self._programs[name] = self.prepared(with_prompts(self.program, prompts))
        return program

    def _digest(self, prompts: Prompts) -> str:
        known = self._digests.get(id(prompts))
        if known is None:
            known = self._digests[id(prompts)] = (prompts, digest(prompts))
        return known[1]


class _Batch:
    """Examples that are scored together, and what came of them so far."""

    def __init__(self, known: Sequence[tuple[Any, Future[Outcome] | Outcome] | None]) -> None:
        self.found: list[Future[Outcome] | Outcome | None] = [entry and entry[1] for entry in known]
        self.left = [n for n, entry in enumerate(known) if entry is None]
        self.workers: Sequence[Future[None]] = ()

    def outcome(self, n: int, tick: Callable[[], None] | None) -> Outcome:
        """The outcome of example ``n``, as soon as there is one."""
        while self.found[n] is None:
            done, _ = wait(self.workers, timeout=TICK_SECONDS, return_when=FIRST_EXCEPTION)
            for worker in done:
                worker.result()
            if tick is not None:
                tick()
        found = self.found[n]
        return result_of(found, tick) if isinstance(found, Future) else found  # type: ignore[return-value]


def _done(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future


def result_of(future: Future[Any], tick: Callable[[], None] | None = None) -> Any:
    """Wait for a future, calling ``tick`` meanwhile so that progress can be shown."""
    if tick is not None and not future.done():
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


def to_score(value: Any) -> float:
    """Turn what a metric returned into a score from 0 to 1.

    Args:
        value: a bool, a number, or a ``dspy.Prediction`` with a field ``score``.

    Raises:
        MetricError: anything else, a NaN, or a number outside 0 to 1; the message goes on after
            the metric's name.
    """
    number = value
    if not isinstance(value, (bool, int, float)):
        if hasattr(value, "score") and not isinstance(value, Real):
            number = value.score
        item = getattr(number, "item", None)
        if callable(item) and getattr(number, "size", 1) == 1:
            number = item()
    if not isinstance(number, Real):
        raise MetricError(
            f"returned {value!r:.80}; it must return a bool, a number from 0 to 1, or "
            "dspy.Prediction(score=...)" + (" (is a return missing?)" if value is None else "")
        )
    score = float(number)
    if not 0.0 <= score <= 1.0:
        hint = "; divide by 100 if it counts per cent" if 1 < score <= 100 else ""
        raise MetricError(f"returned {score:g}; scores go from 0 to 1{hint}")
    return score


def is_success(score: float, metric_threshold: float | None) -> bool:
    """Whether a trace with this result may become a demo; 0.01 is not a success."""
    if metric_threshold is not None:
        return score >= metric_threshold
    return score >= 1.0


def _named_steps(
    program: Any, steps: Sequence[Any]
) -> tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]:
    names = {id(predictor): name for name, predictor in program.named_predictors()}
    return tuple(
        (names[id(predictor)], dict(inputs), dict(outputs.items()))
        for predictor, inputs, outputs in steps
        if id(predictor) in names
    )


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
