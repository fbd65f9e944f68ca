"""Run a program over examples: concurrency, memo, errors, usage."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from types import TracebackType
from typing import Any

from pytest_mipro.errors import MetricError
from pytest_mipro.lm import seam
from pytest_mipro.lm.answering import RUN, Asking, around
from pytest_mipro.lm.description import adapter_name, described, varies
from pytest_mipro.lm.slots import CallSlots
from pytest_mipro.lm.store import ResponseStore
from pytest_mipro.lm.usage import UsageMeter
from pytest_mipro.metriccall import is_success, score_of
from pytest_mipro.outcome import Outcome, cause_of, failed, is_infrastructure
from pytest_mipro.progress import Listener, Reporter
from pytest_mipro.prompts import Prompts, digest, with_prompts

TICK_SECONDS = 0.25
RUNS_PER_SLOT = 3


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
        slots: LM calls under way at once where that is fewer than ``threads``, as when several
            processes share what is permitted; it changes no result.
        listener: told of the progress, several times a second while results are waited for.

    Attributes:
        reporter: what tells the listener; whoever uses the scorer says the phase.
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
        slots: int | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.program = program
        self.metric = metric
        self.lm = lm
        self.adapter = adapter
        self.threads = threads
        self.metric_threshold = metric_threshold
        self.meter = meter or UsageMeter()
        self.reporter = Reporter(listener, lambda: self.meter.usage.total_calls)
        self.store = store or ResponseStore()
        # More runs than LM calls may be under way: one that waits for an answer that another
        # run asked for takes no slot.
        self._pool = ThreadPoolExecutor(RUNS_PER_SLOT * threads, thread_name_prefix="mipro")
        self._slots = CallSlots(slots or threads)
        self._turns = itertools.count()
        self._context = contextvars.copy_context()
        self._contexts: dict[tuple[str, int], tuple[Any, contextvars.Context]] = {}
        self._entered: list[tuple[contextvars.Context, Any]] = []
        self._memo: dict[tuple[str, int], tuple[Any, Future[Outcome] | Outcome]] = {}
        self._closed = False
        self._programs: dict[str, Any] = {}
        self._digests: dict[int, tuple[Prompts, str]] = {}

    @property
    def task_lm(self) -> Any:
        """The LM that the program runs on."""
        import dspy

        return self.lm or dspy.settings.lm

    @property
    def adapter_name(self) -> str:
        """The class name of the adapter that the program runs on."""
        return adapter_name(self.adapter)

    @property
    def varies(self) -> bool:
        """Whether the task LM may answer the same request differently."""
        return varies(self.task_lm)

    def described(self, lm: Any = None) -> dict[str, Any]:
        """An LM, the task LM without one, with its decoding settings and the adapter; without any
        key, header or URL."""
        return {**described(self.task_lm if lm is None else lm), "adapter": self.adapter_name}

    def compiled(self, prompts: Prompts) -> Any:
        """A copy of the program that carries ``prompts``."""
        return with_prompts(self.program, prompts)

    def submit(
        self, prompts: Prompts, example: Any, *, kind: str, after: int = 0
    ) -> Future[Outcome]:
        """Start (or find) the run of ``example`` with ``prompts``.

        Only the thread that made the scorer may call this.

        Args:
            prompts: the prompts of every predictor.
            example: a ``dspy.Example`` with declared inputs.
            kind: what the LM calls are counted as.
            after: so many runs and calls that are asked for later go before this one.

        Returns:
            The outcome to come. Its ``result()`` raises a MetricError if the metric did.
        """
        name = self._digest(prompts)
        entry = self._memo.get((name, id(example)))
        if entry is None:
            program = self._program(name, prompts)
            turn = next(self._turns) + after
            context = self._context_of(kind)
            future: Future[Outcome] = self._pool.submit(
                self._in_context, context, kind, turn, self.run, program, example
            )
            # The example is kept, so that its id is not given to another.
            self._memo[name, id(example)] = (example, future)
            return future
        run = entry[1]
        return _done(run) if isinstance(run, Outcome) else run

    def call(
        self, function: Callable[[], Any], *, kind: str, lm: Any = None, adapter: Any = None
    ) -> Future[Any]:
        """Run any function that calls LMs on the pool, counted as ``kind``.

        Args:
            function: what to run.
            kind: what the LM calls are counted as.
            lm: in place of the task LM.
            adapter: of that LM; None to leave it to ``dspy.settings``.
        """
        context, turn = self._context_of(kind, lm, adapter), next(self._turns)
        return self._pool.submit(self._in_context, context, kind, turn, function)

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
                predictor.lm = around(self.store, predictor.lm)
        return copy

    def result(self, future: Future[Any]) -> Any:
        """Wait for a future, telling of the progress meanwhile."""
        return _result(future, self.reporter.tick)

    def score(
        self,
        prompts: Prompts,
        examples: Sequence[Any],
        *,
        kind: str,
        step: Callable[[Outcome], None] | None = None,
        repeat: int = 0,
    ) -> list[Outcome]:
        """Run ``prompts`` over ``examples`` and return the outcomes in their order.

        Args:
            prompts: the prompts of every predictor.
            examples: any number of them; each costs the pool next to nothing.
            kind: what the LM calls are counted as.
            step: called with each outcome, in the order of the examples.
            repeat: which evaluation of the same examples this is. Each asks the LM anew, past
                DSPy's cache too.

        Raises:
            MetricError: the metric raised or did not return a score.
        """
        name = self._digest(prompts) + (f"@{repeat}" if repeat else "")
        batch = _Batch([self._memo.get((name, id(example))) for example in examples])
        if batch.left:
            program = self._program(name, prompts)
            self._work(
                batch,
                lambda n: self._asking(
                    kind, next(self._turns), self.run, program, examples[n], repeat=repeat
                ),
                kind,
            )
        outcomes = []
        for n, example in enumerate(examples):
            outcome = batch.outcome(n, self.reporter.tick)
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

        context = self._context_of(kind)
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
                    prediction = _called(program, example.inputs())
            else:
                prediction = _called(program, example.inputs())
        except Exception as error:
            return failed(error, example)
        try:
            score = score_of(self.metric, example, prediction, steps)
        except MetricError as error:
            if error.__cause__ is not None and is_infrastructure(error.__cause__):
                return Outcome(None, "unreachable", f"metric: {cause_of(error.__cause__)}")
            raise
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

    def _in_context(self, context: contextvars.Context, *args: Any) -> Any:
        return context.copy().run(self._asking, *args)

    def _asking(
        self, kind: str, turn: int, function: Callable[..., Any], *args: Any, repeat: int = 0
    ) -> Any:
        def reused(usage: Mapping[str, Any]) -> None:
            self.meter.add_reused(kind, usage)

        run = Asking(reused, self._slots, turn, repeat, self.store)
        token = RUN.set(run)
        try:
            result = function(*args)
        finally:
            RUN.reset(token)
        if run.unrecorded is not None and isinstance(result, Outcome):
            # A program that goes on without an answer has not answered for itself.
            cause = "the recording has no answer to what was asked"
            return Outcome(None, "unrecorded", cause, unrecorded=run.unrecorded)
        lost = next((error for error in run.lost.values() if is_infrastructure(error)), None)
        if lost is not None and isinstance(result, Outcome):
            return Outcome(None, "unreachable", cause_of(lost), requests=tuple(run.keys))
        if run.keys and isinstance(result, Outcome):
            return replace(result, requests=tuple(run.keys))
        return result

    def _context_of(self, kind: str, lm: Any = None, adapter: Any = None) -> contextvars.Context:
        """The DSPy context of a kind of call, made once: entering one takes its time."""
        entry = self._contexts.get((kind, id(lm)))
        if entry is None:
            context = self._context.copy()
            entered = context.run(self._enter, kind, lm, adapter)
            self._entered.append((context, entered))
            entry = self._contexts[kind, id(lm)] = (lm, context)
        return entry[1]

    def _enter(self, kind: str, lm: Any, adapter: Any) -> Any:
        own = lm is None or lm is self.lm
        chosen = {
            "lm": around(self.store, self.task_lm if own else lm),
            "adapter": self.adapter if own else adapter,
        }
        given = {name: value for name, value in chosen.items() if value is not None}
        entered = seam.tracked(self.meter.tracker(kind), trace=None, **given)
        entered.__enter__()
        return entered

    def _program(self, name: str, prompts: Prompts) -> Any:
        program = self._programs.get(name)
        if program is None:
            program = self._programs[name] = self.prepared(with_prompts(self.program, prompts))
        return program

    def _digest(self, prompts: Prompts) -> str:
        entry = self._digests.get(id(prompts))
        if entry is None:
            entry = self._digests[id(prompts)] = (prompts, digest(prompts))
        return entry[1]


class _Batch:
    """Examples that are scored together, and what came of them so far."""

    def __init__(self, entries: Sequence[tuple[Any, Future[Outcome] | Outcome] | None]) -> None:
        self.found: list[Future[Outcome] | Outcome | None] = [
            entry and entry[1] for entry in entries
        ]
        self.left = [n for n, entry in enumerate(entries) if entry is None]
        self.workers: Sequence[Future[None]] = ()

    def outcome(self, n: int, tick: Callable[[], None]) -> Outcome:
        """The outcome of example ``n``, as soon as there is one."""
        while self.found[n] is None:
            done, _ = wait(self.workers, timeout=TICK_SECONDS, return_when=FIRST_EXCEPTION)
            for worker in done:
                worker.result()
            tick()
        found = self.found[n]
        return _result(found, tick) if isinstance(found, Future) else found  # type: ignore[return-value]


def _done(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future


def _result(future: Future[Any], tick: Callable[[], None]) -> Any:
    if not future.done():
        tick()
        while not wait([future], timeout=TICK_SECONDS).done:
            tick()
    return future.result()


def _called(program: Any, inputs: Mapping[str, Any]) -> Any:
    """Run a program, in an event loop of its own if it is only to be awaited."""
    if hasattr(program, "aforward") and not hasattr(program, "forward"):
        return asyncio.run(program.acall(**inputs))
    return program(**inputs)


def _named_steps(
    program: Any, steps: Sequence[Any]
) -> tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]:
    names = {id(predictor): name for name, predictor in program.named_predictors()}
    return tuple(
        (names[id(predictor)], dict(inputs), dict(outputs.items()))
        for predictor, inputs, outputs in steps
        if id(predictor) in names
    )
