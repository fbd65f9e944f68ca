"""The fixtures of pytest-mipro. Define any ``mipro_*`` of them anew in a module or conftest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mipro.errors import MiproError, SettingsError, TaskError
from pytest_mipro.session import SESSION, MiproSession, located, outcome_of

if TYPE_CHECKING:
    from pytest_mipro.budget import Usage
    from pytest_mipro.gate import GateResult
    from pytest_mipro.progress import Progress


class Gate:
    """What the fixture ``mipro`` is: call it with a program, a metric and data."""

    def __init__(self, session: MiproSession, item: pytest.Item, lm: Any, prompt_lm: Any) -> None:
        self._session = session
        self._item = item
        self._lm = lm
        self._prompt_lm = prompt_lm

    def __call__(
        self,
        program: Any,
        *,
        metric: Any,
        trainset: Any,
        valset: Any = None,
        testset: Any = None,
        **overrides: Any,
    ) -> GateResult:
        """Gate ``program`` (optimising it first under ``--mipro-optimize``); fail unless it passes.

        Args:
            program: a ``dspy.Module``.
            metric: ``metric(example, prediction, trace=None)``.
            trainset, valset, testset: lists of ``dspy.Example``; what is missing of the last
                two is cut from the training set.
            overrides: settings, such as ``threshold=0.8``; the marker and the command line
                come before them.

        Returns:
            The result, when the verdict is pass.
        """
        __tracebackhide__ = True
        try:
            result = self._judged(program, metric, trainset, valset, testset, overrides)
        except MiproError as error:
            raise outcome_of(error) from None
        if not result.passed:
            raise self._session.outcome(self._item, result)
        return result

    def evaluate(
        self,
        program: Any,
        *,
        metric: Any,
        trainset: Any,
        valset: Any = None,
        testset: Any = None,
        **overrides: Any,
    ) -> GateResult:
        """Do the same as calling it, and leave the asserting to the test."""
        __tracebackhide__ = True
        try:
            return self._judged(program, metric, trainset, valset, testset, overrides)
        except MiproError as error:
            raise outcome_of(error) from None

    def _judged(
        self,
        program: Any,
        metric: Any,
        trainset: Any,
        valset: Any,
        testset: Any,
        overrides: Mapping[str, Any],
    ) -> GateResult:
        from pytest_mipro import models, promptfile
        from pytest_mipro.gate import judge
        from pytest_mipro.progress import Reporter
        from pytest_mipro.scoring import Scorer
        from pytest_mipro.task import make_task

        settings = self._session.settings(self._item, call=overrides)
        name, path = located(self._item, settings)
        self._session.claim(path, self._item, name)
        optimizing = self._session.optimizing
        file = None if optimizing else _read(path)
        task = make_task(
            program, metric, trainset, valset, testset, seed=_split_seed(file, settings.seed)
        )
        if file is None and not optimizing:
            return self._session.add(self._item, _missing(name, path, settings.threshold))
        if self._lm is None:
            raise TaskError(
                "no LM is set: configure one with dspy.configure(lm=...), set ini mipro_lm "
                "('embedded', or a model name such as openai/gpt-4o-mini), or define the "
                "fixture mipro_lm"
            )
        adapter = models.adapter_for(self._lm, settings.adapter)
        with Scorer(
            task.program,
            task.metric,
            lm=self._lm,
            adapter=adapter,
            threads=settings.threads,
            metric_threshold=settings.metric_threshold,
            store=self._session.store,
        ) as scorer:
            reporter = Reporter(self._listener(name), lambda: scorer.meter.usage.total_calls)
            if optimizing:
                from pytest_mipro.optimizers.fitting import fit

                fitted = fit(
                    task,
                    settings,
                    scorer,
                    path,
                    name=name,
                    prompt_lm=self._prompt_lm,
                    reporter=reporter,
                )
                file = promptfile.read(path)
            reporter.phase("gate", len(task.split.gate[1]))
            result = judge(
                task,
                file,
                path,
                settings,
                scorer,
                name=name,
                optimized=optimizing,
                tick=reporter.tick,
            )
            usage = scorer.meter.usage
            notes = result.notes
            if optimizing:
                notes += (*_reused(usage), *((fitted.note,) if fitted.note else ()))
            result = replace(result, usage=usage, seconds=reporter.seconds, notes=notes)
        return self._session.add(self._item, result)

    def _listener(self, name: str) -> Any:
        def show(now: Progress) -> None:
            self._session.show_progress(name, now)

        return show


@pytest.fixture(scope="session")
def mipro_lm(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The task LM: ``dspy.settings.lm``, else what ini ``mipro_lm`` names, else None."""
    yield from _lm(request, "lm")


@pytest.fixture(scope="session")
def mipro_prompt_lm(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The LM that proposes instructions: ini ``mipro_prompt_lm``, else None for the task LM."""
    yield from _lm(request, "prompt_lm")


@pytest.fixture
def mipro(request: pytest.FixtureRequest) -> Gate:
    """Gate a program: ``mipro(program, metric=..., trainset=...)``. See the README."""
    return Gate(
        request.config.stash[SESSION],
        request.node,
        _asked(request, "mipro_lm"),
        _asked(request, "mipro_prompt_lm"),
    )


@pytest.fixture
def mipro_program() -> Any:
    """The program of ``mipro_result``: define this fixture to return a ``dspy.Module``."""
    pytest.fail("mipro_result needs the fixture mipro_program; define it", pytrace=False)


@pytest.fixture
def mipro_metric() -> Any:
    """The metric of ``mipro_result``: define this fixture to return a function."""
    pytest.fail("mipro_result needs the fixture mipro_metric; define it", pytrace=False)


@pytest.fixture
def mipro_dataset() -> Any:
    """The data of ``mipro_result``: define this fixture to return a list of examples,

    a mapping with the keys train, val and test (the last two may be missing), or a tuple in
    that order.
    """
    pytest.fail("mipro_result needs the fixture mipro_dataset; define it", pytrace=False)


@pytest.fixture
def mipro_result(
    request: pytest.FixtureRequest,
    mipro: Gate,
    mipro_program: Any,
    mipro_metric: Any,
    mipro_dataset: Any,
) -> Any:
    """The gate's result for ``mipro_program``, ``mipro_metric`` and ``mipro_dataset``.

    A verdict other than pass fails the test itself, not this fixture, so that pytest counts it
    as a failure.
    """
    try:
        splits = _splits(mipro_dataset)
        return mipro(mipro_program, metric=mipro_metric, **splits)
    except (pytest.fail.Exception, MiproError) as outcome:
        request.config.stash[SESSION].postpone(request.node, outcome)
        return None


def _asked(request: pytest.FixtureRequest, name: str) -> Any:
    return request.getfixturevalue(name)


def _lm(request: pytest.FixtureRequest, setting: str) -> Iterator[Any]:
    import dspy

    from pytest_mipro import models

    session = request.config.stash[SESSION]
    ini = session.ini
    if setting == "lm" and dspy.settings.lm is not None:
        yield dspy.settings.lm
        return
    name = ini.get(setting) or ""
    if not name:
        yield None
        return
    try:
        lm = models.make_lm(name, api_base=ini.get("lm_api_base") or "")
    except (MiproError, SettingsError) as error:
        pytest.fail(str(error), pytrace=False)
    yield lm
    engine = lm.engine if hasattr(lm, "engine") else None
    if engine is not None and hasattr(engine, "close") and models.is_embedded(lm):
        engine.close()


def _splits(dataset: Any) -> dict[str, Any]:
    names = {"train": "trainset", "val": "valset", "test": "testset"}
    if isinstance(dataset, Mapping):
        unknown = [key for key in dataset if key not in names and key not in names.values()]
        if unknown or not dataset:
            raise outcome_of(
                TaskError(
                    f"the fixture mipro_dataset returned a mapping with the key {unknown!r}; "
                    "its keys are train, val and test"
                )
            )
        return {names.get(str(key), str(key)): value for key, value in dataset.items()}
    if isinstance(dataset, tuple) and 1 <= len(dataset) <= 3:
        return dict(zip(names.values(), dataset, strict=False))
    return {"trainset": dataset}


def _read(path: Path) -> Any:
    from pytest_mipro import promptfile

    try:
        return promptfile.read(path)
    except FileNotFoundError:
        return None


def _split_seed(file: Any, seed: int) -> int:
    """The seed that the recorded split was cut with, so that the gate scores the same examples."""
    recorded = file.fitted_with.get("split") if file is not None else None
    if isinstance(recorded, Mapping) and isinstance(recorded.get("seed"), int):
        return int(recorded["seed"])
    return seed


def _reused(usage: Usage) -> tuple[str, ...]:
    if not usage.reused:
        return ()
    return (
        f"{usage.reused} of {usage.total_calls} LM calls were answered by what an earlier run paid "
        "for; --mipro-fresh asks anew",
    )


def _missing(name: str, path: Path, threshold: float | None) -> GateResult:
    from pytest_mipro.gate import GateResult

    return GateResult(name=name, verdict="missing", prompt_file=path, threshold=threshold)
