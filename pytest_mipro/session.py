"""What one pytest run keeps: settings by place, results, and what a test's outcome becomes."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_mipro.errors import CannotJudge, MiproError, SettingsError, TaskError
from pytest_mipro.files.location import Location
from pytest_mipro.options import RULES
from pytest_mipro.settings import Settings, check, refuse_conflicts, resolve

if TYPE_CHECKING:
    from pytest_mipro.gate.result import GateResult
    from pytest_mipro.lm.store import ResponseStore
    from pytest_mipro.progress import Progress

PROGRESS_SECONDS = 1.5
_SPLITS = {"train": "trainset", "val": "valset", "test": "testset"}


class MiproSession:
    """The state of a run. It is made when the first mipro test, or a setting, asks for it.

    Args:
        config: pytest's.
        command_line, ini: the settings that these two places give.

    Attributes:
        rows: of the summary table, by the test's node id.
        plans: what ``--mipro-plan`` shows, by the test's node id.
        pending: outcomes that were met before a test's call phase, which it is to end with.
        requests: what is asked of LMs, to be recorded; None where nothing is.
    """

    def __init__(
        self,
        config: pytest.Config,
        command_line: Mapping[str, Any],
        ini: Mapping[str, Any],
    ) -> None:
        self.config = config
        self.command_line = command_line
        self.ini = ini
        # An ini file that says fast gives way to what is asked for now.
        refuse_conflicts(resolve(command_line=command_line, ini={**ini, "fast": None}))
        self.general = resolve(command_line=command_line, ini=ini)
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.plans: dict[str, list[str]] = defaultdict(list)
        self.pending: dict[str, BaseException] = {}
        self.requests: dict[str, Mapping[str, Any]] | None = {} if self.general.record else None
        self._owners: dict[Path, str] = {}
        self._store: ResponseStore | None = None
        self._shown_at = 0.0
        self._line_open = False
        if self.general.plan or self.general.replay:
            # DSPy would fetch the newest prices and limits of models; what it ships serves here.
            os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")

    @classmethod
    def opened(cls, config: pytest.Config) -> MiproSession:
        """The state of a run that begins.

        Raises:
            pytest.UsageError: the command line or the ini file has a bad value.
        """
        try:
            return cls._checked(config)
        except SettingsError as error:
            raise pytest.UsageError(f"mipro: {error}") from None

    @classmethod
    def _checked(cls, config: pytest.Config) -> MiproSession:
        command_line, ini = {}, {}
        for name, rule in RULES.items():
            if rule.cli:
                option = f"--mipro-{name.replace('_', '-')}"
                given = config.getoption(f"mipro_{name}")
                command_line[name] = check(name, given, source=f"the command line ({option})")
            if rule.ini:
                given = _ini(config, f"mipro_{name}")
                given = None if given == "" else given
                ini[name] = check(name, given, source=f"the ini file (mipro_{name})")
        return cls(config, command_line, ini)

    @cached_property
    def store(self) -> ResponseStore | None:
        """Where responses are kept while optimising, so that an interrupted run can go on.

        A gate has none: it must see what the LM answers today.
        """
        if not self.general.optimize:
            return None
        from pytest_mipro.lm.store import ResponseStore

        self._store = ResponseStore(self._store_path, requests=self.requests)
        return self._store

    def forget(self) -> None:
        """Delete the responses that earlier runs left."""
        for path in self._store_path.parent.glob(f"{self._store_path.name}*"):
            path.unlink()

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    @property
    def _store_path(self) -> Path:
        return self.config.rootpath / ".mipro" / "responses.sqlite3"

    def settings(self, item: pytest.Item, call: Mapping[str, Any] | None = None) -> Settings:
        """The settings of one test. What is written of a gate rests on all examples, so
        ``fast`` does not hold then."""
        settings = resolve(
            command_line=self.command_line,
            marker=marker_settings(item),
            call=call,
            ini=self.ini,
            where=item.name,
        )
        writes = settings.optimize or settings.update_baseline or settings.record
        return replace(settings, fast=False) if writes else settings

    def problem(self, item: pytest.Item) -> str:
        """What is wrong with the marker of a test; empty when nothing is."""
        try:
            self.settings(item)
        except SettingsError as error:
            return f"mipro: {item.nodeid}: {error}"
        return ""

    def is_error(self, outcome: BaseException) -> bool:
        """Whether a test that ended so says nothing of its prompts: it cannot judge."""
        return isinstance(outcome, CannotJudge)

    def slots(self, threads: int) -> int:
        """The LM calls that this process may have under way: xdist's workers share them."""
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        return max(1, threads // workers)

    @contextmanager
    def lm(self, setting: str) -> Iterator[Any]:
        """The LM of a run: ``dspy.settings.lm`` for the task, else what an ini entry names."""
        from pytest_mipro.lm import models

        offline = self.general.replay or self.general.plan
        name, api_base = self.ini.get(setting) or "", self.ini.get("lm_api_base") or ""
        current = models.configured() if setting == "lm" else None
        if current is not None or not name:
            yield current
            return
        with self.telling_errors():
            lm = models.make_lm(name, api_base=api_base, offline=offline)
        with models.closing(lm):
            yield lm

    def claimed(self, item: pytest.Item, settings: Settings) -> Location:
        """The files of a test; refuse that two tests write the same prompt file unasked.

        Raises:
            SettingsError: another test has the same prompt file.
        """
        location = Location.of_test(
            item.path.parent,
            item.name,
            name=settings.name,
            prompt_file=settings.prompt_file,
            prompt_dir=settings.prompt_dir,
        )
        path = location.prompt_file
        owner = self._owners.setdefault(path, item.nodeid)
        shared = {"name", "prompt_file"} & set(marker_settings(item))
        if owner != item.nodeid and not shared:
            raise SettingsError(
                f"{item.nodeid} and {owner} both use the prompt file {path}; give one of them "
                f"another with @pytest.mark.mipro(name=...)"
            )
        return location

    def splits(self, dataset: Any) -> dict[str, Any]:
        """The arguments of the fixture ``mipro`` that a ``mipro_dataset`` stands for.

        Raises:
            TaskError: it is a mapping with other keys than train, val and test.
        """
        if isinstance(dataset, Mapping):
            names = (*_SPLITS, *_SPLITS.values())
            unknown = [key for key in dataset if key not in names]
            if unknown or not dataset:
                raise TaskError(
                    f"the fixture mipro_dataset returned a mapping with the key {unknown!r}; "
                    "its keys are train, val and test"
                )
            return {_SPLITS.get(str(key), str(key)): value for key, value in dataset.items()}
        if isinstance(dataset, tuple) and 1 <= len(dataset) <= 3:
            return dict(zip(_SPLITS.values(), dataset, strict=False))
        return {"trainset": dataset}

    def add(self, item: pytest.Item, result: GateResult) -> GateResult:
        """Keep a result for the summary and the properties of the test; return it."""
        from pytest_mipro.report import facts, terminal

        self.end_progress()
        where = {
            "nodeid": item.nodeid,
            "path": str(item.path),
            "line": (item.location[1] or 0) + 1,
            "text": terminal.verdict(result, command=self.command(item)),
        }
        self.rows[item.nodeid].append({**terminal.row(result), **where})
        item.user_properties += [
            (f"mipro.{result.name}.{fact}", value) for fact, value in facts.of(result).items()
        ]
        return result

    def command(self, item: pytest.Item) -> str:
        """The command that runs a test from where pytest was called."""
        path = os.path.relpath(item.path, self.config.invocation_params.dir)
        return "::".join(["pytest " + path, *item.nodeid.split("::")[1:]])

    def end_planned(self, item: pytest.Item, name: str, plan: Any) -> NoReturn:
        """Keep a plan for the summary, and end its test: it fails if it is not ready, and is
        skipped if it is."""
        from pytest_mipro.report.plan import plan as shown

        self.end_progress()
        text = shown(name, plan.readiness, plan.estimate, command=self.command(item))
        self.plans[item.nodeid].append(text)
        if not plan.readiness.ready:
            pytest.fail(f"mipro: {name}: {plan.readiness.advice}; see the plan", pytrace=False)
        raise pytest.skip.Exception("planned with --mipro-plan, not run", _use_item_location=True)

    def fail(self, item: pytest.Item, result: GateResult) -> NoReturn:
        """End a test with a verdict other than pass."""
        from pytest_mipro.report import terminal

        text = terminal.verdict(result, command=self.command(item))
        if result.verdict == "cannot judge":
            raise CannotJudge(text, result.causes)
        pytest.fail(text, pytrace=False)

    @contextmanager
    def telling_errors(self) -> Iterator[None]:
        """Turn an error of ours into what pytest shows without a traceback."""
        try:
            yield
        except CannotJudge as error:
            raise CannotJudge(f"mipro: CANNOT JUDGE: {error}", error.causes) from None
        except MiproError as error:
            pytest.fail(f"mipro: {error}", pytrace=False)

    @contextmanager
    def postponing(self, item: pytest.Item) -> Iterator[None]:
        """Keep an outcome that is met while setting up, for the test itself to end with."""
        try:
            with self.telling_errors():
                yield
        except (pytest.fail.Exception, MiproError) as outcome:
            self.pending[item.nodeid] = outcome

    def listener(self, name: str) -> Callable[[Progress], None]:
        """What shows the progress of a test."""

        def show(now: Progress) -> None:
            self._show_progress(name, now)

        return show

    def _show_progress(self, name: str, now: Progress) -> None:
        """Show a line at most every so many seconds, past pytest's capturing."""
        due = time.monotonic() - self._shown_at >= PROGRESS_SECONDS
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if not due or reporter is None or not (self.general.optimize or reporter.isatty):
            return
        from pytest_mipro.report import terminal

        self._shown_at = time.monotonic()
        line = terminal.progress(name, now)
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        if capture is None:
            self._write(reporter, line)
            return
        # A test's output is captured, and this is not the test's.
        with capture.global_and_fixture_disabled():
            self._write(reporter, line)

    def end_progress(self) -> None:
        """Leave the line that is rewritten on a terminal."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if self._line_open and reporter is not None:
            reporter.write_line("")
        self._line_open = False

    def _write(self, reporter: Any, line: str) -> None:
        if reporter.isatty:
            width = max(20, reporter._tw.fullwidth - 1)
            reporter.rewrite(line[:width].ljust(width))
            self._line_open = True
        else:
            reporter.ensure_newline()
            reporter.write_line(line)
        sys.stdout.flush()


def marker_settings(item: pytest.Item) -> dict[str, Any]:
    """What the ``mipro`` markers of a test say; the closest one wins.

    Raises:
        SettingsError: a marker has a positional argument.
    """
    merged: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("mipro"))):
        if marker.args:
            raise SettingsError(
                f"@pytest.mark.mipro on {item.name} has the positional argument "
                f"{marker.args[0]!r}; name it, such as threshold=0.8"
            )
        merged.update(marker.kwargs)
    return merged


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name} in the ini file: {error}") from None
