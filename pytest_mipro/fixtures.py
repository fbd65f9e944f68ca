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
    from pytest_mipro.decision import Scored
    from pytest_mipro.gate import GateResult
    from pytest_mipro.progress import Progress, Reporter
    from pytest_mipro.promptfile import PromptFile
    from pytest_mipro.scoring import Scorer
    from pytest_mipro.settings import Settings
    from pytest_mipro.task import PromptTask


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
        from pytest_mipro.task import make_task

        session = self._session
        settings = session.settings(self._item, call=overrides)
        name, path = located(self._item, settings)
        session.claim(path, self._item, name)
        file = None if settings.optimize else _read(path)
        task = make_task(
            program, metric, trainset, valset, testset, seed=_split_seed(file, settings.seed)
        )
        if settings.plan:
            raise self._plan(task, file, settings, name, path)
        if file is None and not settings.optimize:
            return session.add(self._item, _missing(name, path, settings.threshold))
        if self._lm is None:
            raise TaskError(
                "no LM is set: configure one with dspy.configure(lm=...), set ini mipro_lm "
                "('embedded', or a model name such as openai/gpt-4o-mini), or define the "
                "fixture mipro_lm"
            )
        return session.add(self._item, self._run(task, file, settings, name, path))

    def _run(
        self, task: PromptTask, file: PromptFile | None, settings: Settings, name: str, path: Path
    ) -> GateResult:
        """Optimise if asked to, give the verdict, and write what is to be written."""
        from pytest_mipro import models, recording, scoresfile
        from pytest_mipro.gate import judge
        from pytest_mipro.progress import Reporter
        from pytest_mipro.scoring import Scorer

        replayed = recording.read(path) if settings.replay else None
        with Scorer(
            task.program,
            task.metric,
            lm=self._lm,
            adapter=models.adapter_for(self._lm, settings.adapter),
            threads=settings.threads,
            metric_threshold=settings.metric_threshold,
            store=self._session.store_for(replayed),
            slots=self._session.slots(settings.threads),
        ) as scorer:
            reporter = Reporter(self._listener(name), lambda: scorer.meter.usage.total_calls)
            notes: list[str] = []
            if settings.optimize:
                file = self._fit(task, settings, scorer, path, name, reporter, notes)
            assert file is not None
            reporter.phase("gate", len(task.split.gate[1]))
            result, scored = judge(
                task,
                file,
                path,
                settings,
                scorer,
                name=name,
                recorded=None if settings.update_baseline else scoresfile.read(_scores(path)),
                recording=replayed,
                tick=reporter.tick,
            )
            notes += self._written(task, file, path, scorer, settings, result, scored)
            return replace(
                result,
                usage=scorer.meter.usage,
                seconds=reporter.seconds,
                notes=(*result.notes, *notes),
                optimized=settings.optimize,
            )

    def _plan(
        self, task: PromptTask, file: PromptFile | None, settings: Settings, name: str, path: Path
    ) -> BaseException:
        """Say whether optimising is worth it; return what ends the test."""
        from pytest_mipro import baseline, models, readiness, scoresfile
        from pytest_mipro.estimate import estimate
        from pytest_mipro.optimizers.mipro.optimizer import effort_of
        from pytest_mipro.report import plan

        adapter = models.adapter_for(self._lm, settings.adapter)
        found = readiness.check(
            task, file, scoresfile.read(_scores(path)), adapter=models.adapter_name(adapter)
        )
        effort, limits = effort_of(settings, task.program)
        takes = estimate(
            task,
            effort,
            limits,
            repeats=settings.repeats,
            recorded=baseline.runs_to_record(settings, self._lm),
            committed=file is not None,
            lm=self._lm,
            adapter=adapter,
        )
        text = plan.plan(name, found, takes, command=self._session.command(self._item))
        problem = "" if found.ready else found.advice
        return self._session.planned(self._item, name, text, problem)

    def _fit(
        self,
        task: PromptTask,
        settings: Settings,
        scorer: Scorer,
        path: Path,
        name: str,
        reporter: Reporter,
        notes: list[str],
    ) -> PromptFile:
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
        notes += [*_reused(scorer.meter.usage), *([fitted.note] if fitted.note else [])]
        return fitted.file

    def _written(
        self,
        task: PromptTask,
        file: PromptFile,
        path: Path,
        scorer: Scorer,
        settings: Settings,
        result: GateResult,
        scored: Scored | None,
    ) -> list[str]:
        """Write the baseline and the recording if asked to; say what was written, or why not."""
        from pytest_mipro import baseline, recording

        notes = []
        if settings.update_baseline:
            if result.passed and scored is not None and scored.complete:
                taken = baseline.update(task, file, path, scored, scorer, settings)
                score = baseline.score_entry(task, taken).mean
                runs = f", of {len(taken.runs)} runs each" if len(taken.runs) > 1 else ""
                notes.append(f"the recorded scores are today's: {score:.3f}{runs}")
            else:
                notes.append("nothing was recorded, as the verdict is not pass on all examples")
        if settings.record and scored is not None:
            if scored.complete:
                requests = self._session.requests or {}
                written = recording.write(path, scorer.store, requests, scored.outcomes)
                notes.append(f"recorded in {written.name}; replay it with --mipro-replay")
            else:
                notes.append("nothing was recorded, as the LM could not be asked for all examples")
        return notes

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
def mipro(request: pytest.FixtureRequest, mipro_lm: Any, mipro_prompt_lm: Any) -> Gate:
    """Gate a program: ``mipro(program, metric=..., trainset=...)``. See the README."""
    return Gate(request.config.stash[SESSION], request.node, mipro_lm, mipro_prompt_lm)


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
        lm = models.make_lm(
            name,
            api_base=ini.get("lm_api_base") or "",
            offline=session.general.replay or session.general.plan,
        )
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


def _scores(path: Path) -> Path:
    from pytest_mipro import scoresfile

    return scoresfile.path_beside(path)


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
