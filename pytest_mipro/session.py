"""What one pytest run keeps: settings by place, results, and what a test's outcome becomes."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mipro.errors import CannotJudge, MiproError, SettingsError
from pytest_mipro.settings import Settings, resolve

if TYPE_CHECKING:
    from pytest_mipro.gate import GateResult
    from pytest_mipro.progress import Progress
    from pytest_mipro.recording import Recording
    from pytest_mipro.responses import ResponseStore

SESSION: pytest.StashKey[MiproSession] = pytest.StashKey()
ROWS: pytest.StashKey[list[dict[str, Any]]] = pytest.StashKey()
PLANS: pytest.StashKey[list[str]] = pytest.StashKey()
PENDING: pytest.StashKey[BaseException] = pytest.StashKey()
PROGRESS_SECONDS = 1.5


class MiproSession:
    """The state of a run, reached through ``config.stash[SESSION]``.

    Args:
        config: pytest's.
        command_line, ini: the settings that these two places give.
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
        self.general = resolve(command_line=command_line, ini=ini)
        self.optimizing = self.general.optimize
        if self.general.plan or self.general.replay:
            # DSPy would fetch the newest prices and limits of models; what it ships serves here.
            os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
        self.requests: dict[str, Mapping[str, Any]] | None = {} if self.general.record else None
        self._owners: dict[Path, tuple[str, str]] = {}
        self._store: ResponseStore | None = None
        self._shown_at = 0.0
        self._line_open = False

    @property
    def store(self) -> ResponseStore | None:
        """Where responses are kept while optimising, so that an interrupted run can go on.

        A gate has none: it must see what the LM answers today.
        """
        if self.optimizing and self._store is None:
            from pytest_mipro.responses import ResponseStore

            self._store = ResponseStore(self._store_path, requests=self.requests)
        return self._store

    def store_for(self, replayed: Recording | None) -> ResponseStore:
        """What answers a test's LM requests first: a recording alone when one is replayed."""
        from pytest_mipro.responses import ResponseStore

        if replayed is not None:
            return ResponseStore(answers=replayed.answers, closed=True)
        return self.store or ResponseStore(requests=self.requests)

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

    def slots(self, threads: int) -> int:
        """The LM calls that this process may have under way: xdist's workers share them."""
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        return max(1, threads // workers)

    def claim(self, path: Path, item: pytest.Item, name: str) -> None:
        """Refuse that two tests, or two calls in one, write the same prompt file unasked."""
        owner = self._owners.get(path)
        explicit = bool({"name", "prompt_file"} & set(marker_settings(item)))
        if owner is not None and not explicit and owner[0] != item.nodeid:
            raise SettingsError(
                f"{item.nodeid} and {owner[0]} both use the prompt file {path}; give one of them "
                f"another with @pytest.mark.mipro(name=...)"
            )
        self._owners[path] = (item.nodeid, name)

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
        item.stash.setdefault(ROWS, []).append({**terminal.row(result), **where})
        item.user_properties += [
            (f"mipro.{result.name}.{fact}", value) for fact, value in facts.of(result).items()
        ]
        return result

    def command(self, item: pytest.Item) -> str:
        """The command that runs a test from where pytest was called."""
        path = os.path.relpath(item.path, self.config.invocation_params.dir)
        return "::".join(["pytest " + path, *item.nodeid.split("::")[1:]])

    def planned(self, item: pytest.Item, name: str, text: str, problem: str) -> BaseException:
        """Keep a plan for the summary; return what ends its test."""
        self.end_progress()
        item.stash.setdefault(PLANS, []).append(text)
        if problem:
            return pytest.fail.Exception(f"mipro: {name}: {problem}; see the plan", pytrace=False)
        return pytest.skip.Exception("planned with --mipro-plan, not run", _use_item_location=True)

    def outcome(self, item: pytest.Item, result: GateResult) -> BaseException:
        """The exception that a verdict other than pass ends the test with."""
        from pytest_mipro.report import terminal

        text = terminal.verdict(result, command=self.command(item))
        if result.verdict == "cannot judge":
            return CannotJudge(text, result.causes)
        return pytest.fail.Exception(text, pytrace=False)

    def postpone(self, item: pytest.Item, outcome: BaseException) -> None:
        """Keep an outcome that was met while setting up, for the test itself to end with."""
        item.stash[PENDING] = outcome

    def show_progress(self, name: str, now: Progress) -> None:
        """Show a line at most every so many seconds, past pytest's capturing."""
        due = time.monotonic() - self._shown_at >= PROGRESS_SECONDS
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if not due or reporter is None or not (self.optimizing or reporter.isatty):
            return
        from pytest_mipro.report import terminal

        self._shown_at = time.monotonic()
        line = terminal.progress(name, now)
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        if capture is None:
            self._write(reporter, line)
            return
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
    """What the ``mipro`` markers of a test say; the closest one wins."""
    merged: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("mipro"))):
        if marker.args:
            raise SettingsError(
                f"@pytest.mark.mipro on {item.name} has the positional argument "
                f"{marker.args[0]!r}; name it, such as threshold=0.8"
            )
        merged.update(marker.kwargs)
    return merged


def located(item: pytest.Item, settings: Settings) -> tuple[str, Path]:
    """Name and path of a test's prompt file."""
    folder = item.path.parent
    if settings.prompt_file is not None:
        path = folder / settings.prompt_file
        return settings.name or path.stem, path
    name = settings.name or default_name(item)
    return name, folder / settings.prompt_dir / f"{name}.yaml"


def default_name(item: pytest.Item) -> str:
    """The test's name without ``test_``, with what a file name cannot have replaced."""
    return re.sub(r"[^\w.-]+", "-", item.name.removeprefix("test_")).strip("-.") or "prompts"


def outcome_of(error: MiproError) -> BaseException:
    """What an error becomes in pytest: a failure that reads as its message, or an error."""
    if isinstance(error, CannotJudge):
        return CannotJudge(f"mipro: CANNOT JUDGE: {error}", error.causes)
    return pytest.fail.Exception(f"mipro: {error}", pytrace=False)
