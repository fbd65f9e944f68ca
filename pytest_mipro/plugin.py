"""What pytest sees: options, ini, the marker, and hooks. Nothing heavy is imported here.

PYTEST_DONT_REWRITE: there is no assert here, and every pytest start would pay for looking for one.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

from pytest_mipro.fixtures import (
    SESSION,
    mipro,
    mipro_dataset,
    mipro_lm,
    mipro_metric,
    mipro_program,
    mipro_prompt_lm,
    mipro_result,
    session_of,
)
from pytest_mipro.options import RULES

__all__ = [
    "mipro",
    "mipro_dataset",
    "mipro_lm",
    "mipro_metric",
    "mipro_program",
    "mipro_prompt_lm",
    "mipro_result",
]

_MARKER = (
    "mipro(threshold=..., auto=..., name=..., prompt_file=..., ...): settings of a prompt test; "
    "see the README of pytest-mipro"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare an option and an ini entry for every setting that has one."""
    group = parser.getgroup("mipro", "prompt regression and optimisation")
    for setting, rule in RULES.items():
        name = f"mipro_{setting}"
        option = f"--{name.replace('_', '-')}"
        if rule.cli and rule.kind is bool:
            group.addoption(option, dest=name, action="store_true", default=None, help=rule.help)
        elif rule.cli:
            group.addoption(
                option,
                dest=name,
                metavar="{" + ",".join(rule.choices) + "}" if rule.choices else rule.metavar,
                default=None,
                help=f"{rule.help} ({_twin(name, rule.default)})",
            )
        if rule.ini:
            kinds = {int: "int", float: "float", bool: "bool"}
            parser.addini(name, rule.help, type=kinds.get(rule.kind, "string"), default=None)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; check what the command line and the ini file say."""
    config.addinivalue_line("markers", _MARKER)
    # Where nothing is said there is nothing to check, and most runs have no mipro test.
    if _says_something(config):
        session_of(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget what earlier runs paid for, if asked to; once, and not in every xdist worker."""
    config = session.config
    if SESSION in config.stash and not hasattr(config, "workerinput"):
        state = config.stash[SESSION]
        if state.general.fresh:
            state.forget()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close what the run opened."""
    if SESSION in config.stash:
        config.stash[SESSION].close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse markers with unknown or bad settings before anything is paid for."""
    marked = [item for item in items if item.get_closest_marker("mipro") is not None]
    if not marked:
        return
    state, problems = session_of(config), []
    # An xdist worker that ends here would take the controller down with it: there, the test fails.
    is_worker = hasattr(config, "workerinput")
    for item in marked:
        problem = state.problem(item)
        if problem and is_worker:
            state.pending[item.nodeid] = pytest.fail.Exception(problem, pytrace=False)
        elif problem:
            problems.append(problem)
    if problems:
        raise pytest.UsageError("\n".join(problems))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """End a test with what was found out about it before: a bad marker, or a verdict."""
    state = item.config.stash.get(SESSION, None)
    if state is not None and item.nodeid in state.pending:
        raise state.pending[item.nodeid]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a gate that cannot judge as an error, and not as a failed test."""
    report = yield
    state = item.config.stash.get(SESSION, None)
    if state is None:
        return report
    if report.when == "teardown":
        # Plain values, so that they travel from an xdist worker to the summary.
        report.mipro_rows = state.rows.pop(item.nodeid, [])  # type: ignore[attr-defined]
        report.mipro_plans = state.plans.pop(item.nodeid, [])  # type: ignore[attr-defined]
    if call.excinfo is not None and state.is_error(call.excinfo.value):
        report.longrepr = str(call.excinfo.value)
        if report.when == "call":
            # pytest counts what fails before the call as an error; asking the LM comes before.
            report.when = "setup"
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the table of all verdicts."""
    for plan in _sent(terminalreporter, "mipro_plans"):
        terminalreporter.ensure_newline()
        terminalreporter.section("mipro plan")
        terminalreporter.write_line(plan)
    rows = _sent(terminalreporter, "mipro_rows")
    if not rows:
        return
    from pytest_mipro.report import summary

    terminalreporter.section("mipro")
    width = terminalreporter._tw.fullwidth
    for line in summary.lines(rows, width=width, root=config.rootpath, environ=os.environ):
        terminalreporter.write_line(line)
    summary.tell_github(rows, environ=os.environ)


def _sent(terminalreporter: Any, name: str) -> list[Any]:
    """What the reports of all tests carry, from xdist's workers too."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    return [entry for report in reports for entry in getattr(report, name, ())]


def _says_something(config: pytest.Config) -> bool:
    """Whether the command line or the ini file has a setting, good or bad."""
    for setting, rule in RULES.items():
        name = f"mipro_{setting}"
        if rule.cli and config.getoption(name) is not None:
            return True
        try:
            if rule.ini and config.getini(name) is not None:
                return True
        except (TypeError, ValueError):
            return True
    return False


def _twin(name: str, default: Any) -> str:
    if not RULES[name.removeprefix("mipro_")].ini:
        return "no ini entry"
    return f"ini {name}" if default is None else f"default: ini {name}, else {default}"
