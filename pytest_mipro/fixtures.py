"""The fixtures of pytest-mipro. Define any ``mipro_*`` of them anew in a module or conftest.

Every pytest start pays for this room, so what it uses is imported when it is used.

PYTEST_DONT_REWRITE: there is no assert here to rewrite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_mipro.gate.result import GateResult
    from pytest_mipro.session import MiproSession

SESSION: pytest.StashKey[MiproSession] = pytest.StashKey()


def session_of(config: pytest.Config) -> MiproSession:
    """The state of this run, made when it is first asked for.

    Raises:
        pytest.UsageError: the command line or the ini file has a bad value.
    """
    if SESSION not in config.stash:
        from pytest_mipro.session import MiproSession

        config.stash[SESSION] = MiproSession.opened(config)
    return config.stash[SESSION]


class MiproFixture:
    """What the fixture ``mipro`` is: call it with a program, a metric and data."""

    def __init__(self, session: MiproSession, item: pytest.Item, lm: Any, prompt_lm: Any) -> None:
        self._session = session
        self._item = item
        self._lms = (lm, prompt_lm)

    def __call__(
        self,
        program: Any,
        *,
        metric: Any,
        trainset: Sequence[Any],
        valset: Sequence[Any] | None = None,
        testset: Sequence[Any] | None = None,
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
        result = self._gated((program, metric, trainset, valset, testset), overrides)
        if not result.passed:
            self._session.fail(self._item, result)
        return result

    def evaluate(
        self,
        program: Any,
        *,
        metric: Any,
        trainset: Sequence[Any],
        valset: Sequence[Any] | None = None,
        testset: Sequence[Any] | None = None,
        **overrides: Any,
    ) -> GateResult:
        """Do the same as calling it, and leave the asserting to the test."""
        __tracebackhide__ = True
        return self._gated((program, metric, trainset, valset, testset), overrides)

    def _gated(self, data: tuple[Any, ...], overrides: Mapping[str, Any]) -> GateResult:
        from pytest_mipro.prompttest import PromptTest, Surroundings

        __tracebackhide__ = True
        session, item, (lm, prompt_lm) = self._session, self._item, self._lms
        with session.telling_errors():
            settings = session.settings(item, overrides)
            location = session.claimed(item, settings)
            test = PromptTest.prepared(location, settings, *data)
            if settings.plan:
                session.end_planned(item, location.name, test.plan(lm))
            around = Surroundings(
                *(lm, prompt_lm, session.slots(settings.threads)),
                *(session.store, session.requests, session.listener(location.name)),
            )
            return session.add(item, test.gate(around))


@pytest.fixture(scope="session")
def mipro_lm(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The task LM: ``dspy.settings.lm``, else what ini ``mipro_lm`` names, else None."""
    with session_of(request.config).lm("lm") as lm:
        yield lm


@pytest.fixture(scope="session")
def mipro_prompt_lm(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The LM that proposes instructions: ini ``mipro_prompt_lm``, else None for the task LM."""
    with session_of(request.config).lm("prompt_lm") as lm:
        yield lm


@pytest.fixture
def mipro(request: pytest.FixtureRequest, mipro_lm: Any, mipro_prompt_lm: Any) -> MiproFixture:
    """Gate a program: ``mipro(program, metric=..., trainset=...)``. See the README."""
    return MiproFixture(session_of(request.config), request.node, mipro_lm, mipro_prompt_lm)


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
    mipro: MiproFixture,
    mipro_program: Any,
    mipro_metric: Any,
    mipro_dataset: Any,
) -> Any:
    """The gate's result for ``mipro_program``, ``mipro_metric`` and ``mipro_dataset``.

    A verdict other than pass fails the test itself, not this fixture, so that pytest counts it
    as a failure.
    """
    session = session_of(request.config)
    with session.postponing(request.node):
        splits: Mapping[str, Any] = session.splits(mipro_dataset)
        return mipro(mipro_program, metric=mipro_metric, **splits)
    return None
