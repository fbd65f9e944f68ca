"""What a run keeps, without pytest around it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from scripted import examples

from pytest_mipro import session as room
from pytest_mipro.errors import CannotJudge, SettingsError, TaskError
from pytest_mipro.gate.result import GateResult
from pytest_mipro.progress import Progress
from pytest_mipro.session import MiproSession

HERE = Path("/project")


class Terminal:
    """Takes the place of pytest's terminal reporter."""

    def __init__(self, *, isatty=False):
        self.isatty = isatty
        self._tw = SimpleNamespace(fullwidth=80)
        self.lines = []

    def write_line(self, line):
        self.lines.append(line)

    rewrite = write_line

    def ensure_newline(self):
        pass


def session(*, terminal=None, ini=None, **command_line):
    plugins = {"terminalreporter": terminal}
    config = SimpleNamespace(
        pluginmanager=SimpleNamespace(get_plugin=plugins.get),
        invocation_params=SimpleNamespace(dir=HERE),
        rootpath=HERE,
    )
    return MiproSession(config, command_line, ini or {})


def item(name="test_sorter", *markers, file="tests/test_it.py", in_class=""):
    nodeid = "::".join(filter(None, [file, in_class, name]))
    marks = [pytest.mark.mipro(**kwargs).mark for kwargs in markers]
    return SimpleNamespace(
        name=name,
        nodeid=nodeid,
        path=HERE / file,
        location=(file, 3, name),
        user_properties=[],
        iter_markers=lambda _: iter(marks),
    )


# Calls that are permitted.


@pytest.mark.parametrize(
    ("workers", "threads", "slots"), [(None, 8, 8), ("1", 8, 8), ("3", 8, 2), ("4", 2, 1)]
)
def test_xdist_workers_share_the_permitted_calls(monkeypatch, workers, threads, slots):
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    if workers:
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
    assert session().slots(threads) == slots


# Settings by place.


def test_the_command_line_comes_first_then_the_marker_the_call_and_the_ini_file():
    marked, bare = item("test_sorter", {"seed": 2}), item()
    assert session(seed=1, ini={"seed": 4}).settings(marked, {"seed": 3}).seed == 1
    assert session(ini={"seed": 4}).settings(marked, {"seed": 3}).seed == 2
    assert session(ini={"seed": 4}).settings(bare, {"seed": 3}).seed == 3
    assert session(ini={"seed": 4}).settings(bare).seed == 4


def test_of_several_markers_the_closest_wins():
    assert session().settings(item("test_sorter", {"seed": 1}, {"seed": 2})).seed == 1


@pytest.mark.parametrize("writing", ["optimize", "update_baseline", "record"])
def test_what_is_written_rests_on_all_examples_though_ini_says_fast(writing):
    assert session(ini={"fast": True}).settings(item()).fast
    assert not session(ini={"fast": True}, **{writing: True}).settings(item()).fast


@pytest.mark.parametrize("offline", ["plan", "replay"])
def test_what_needs_no_network_keeps_dspy_from_fetching_prices(monkeypatch, offline):
    monkeypatch.delenv("LITELLM_LOCAL_MODEL_COST_MAP")
    session()
    assert "LITELLM_LOCAL_MODEL_COST_MAP" not in room.os.environ
    session(**{offline: True})
    assert room.os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "true"


# Whose prompt file it is.


def claims(*items):
    run = session()
    return [run.claimed(one, run.settings(one)).prompt_file for one in items]


def test_two_tests_may_not_have_one_prompt_file_unasked():
    two = item(), item(in_class="TestIt")
    with pytest.raises(SettingsError, match="TestIt::test_sorter and .*both use the prompt file"):
        claims(*two)


def test_two_tests_may_share_a_prompt_file_that_their_markers_name():
    first, second = claims(item(), item("test_other", {"name": "sorter"}))
    assert first == second == HERE / "tests" / "prompts" / "sorter.yaml"


def test_a_test_may_gate_its_prompt_file_more_than_once():
    assert len(set(claims(item(), item()))) == 1


def test_tests_in_two_folders_have_two_prompt_files():
    assert len(set(claims(item(), item(file="more/test_it.py")))) == 2


# What a dataset stands for.


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ({"train": 1, "val": 2}, {"trainset": 1, "valset": 2}),
        ({"trainset": 1, "testset": 3}, {"trainset": 1, "testset": 3}),
        ((1, 2, 3), {"trainset": 1, "valset": 2, "testset": 3}),
        ((1,), {"trainset": 1}),
    ],
)
def test_a_dataset_may_be_a_mapping_or_a_tuple(dataset, names):
    assert session().splits(dataset) == names


def test_a_dataset_may_be_a_list():
    data = examples(3)
    assert session().splits(data) == {"trainset": data}


def test_a_dataset_with_a_key_that_is_no_split_is_refused():
    with pytest.raises(TaskError, match="key .*'dev'.*train, val and test"):
        session().splits({"train": [], "dev": []})


# Progress.


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=1000.0)
    monkeypatch.setattr(room.time, "monotonic", lambda: now.time)
    return now


def shown(clock, terminal, seconds, **options):
    """The lines that a run shows which reports its progress at these moments."""
    listen = session(terminal=terminal, **options).listener("sorter")
    for moment in seconds:
        clock.time = 1000.0 + moment
        listen(Progress("gate", done=int(10 * moment), total=40))
    return [line.split()[3].rstrip(",") for line in terminal.lines]


def test_progress_is_a_line_every_so_many_seconds_and_no_more(clock):
    assert room.PROGRESS_SECONDS == 1.5
    moments = [0, 0.1, 1.4, 1.5, 1.6, 2.9, 3.0, 3.1]
    assert shown(clock, Terminal(), moments, optimize=True) == ["0/40", "15/40", "30/40"]


def test_progress_of_a_gate_is_shown_on_a_terminal_alone(clock):
    assert shown(clock, Terminal(), [0, 2]) == []
    assert shown(clock, Terminal(isatty=True), [0, 2]) == ["0/40", "20/40"]


def test_a_line_of_progress_is_cut_to_the_terminal(clock):
    terminal = Terminal(isatty=True)
    terminal._tw.fullwidth = 30
    shown(clock, terminal, [0])
    assert [len(line) for line in terminal.lines] == [29]


# How a test ends.


def result(verdict, **facts):
    return GateResult("sorter", verdict, HERE / "prompts" / "sorter.yaml", **facts)


def test_the_command_of_a_missing_verdict_runs_this_test_from_where_pytest_was_called():
    with pytest.raises(pytest.fail.Exception) as caught:
        session().fail(item(in_class="TestIt"), result("missing"))
    command = "pytest tests/test_it.py::TestIt::test_sorter --mipro-optimize"
    assert f"make it with: {command}\n" in str(caught.value)


def test_a_gate_that_cannot_judge_is_an_error_and_a_verdict_is_not():
    run = session()
    with pytest.raises(CannotJudge) as caught:
        run.fail(item(), result("cannot judge", causes={"down": 2}, n=2))
    assert run.is_error(caught.value)
    with pytest.raises(pytest.fail.Exception) as failed:
        run.fail(item(), result("below threshold", score=0.1, interval=(0, 1), threshold=0.5))
    assert not run.is_error(failed.value)


def test_a_result_becomes_properties_of_its_test():
    run, one = session(), item()
    run.add(one, result("pass", score=0.75, interval=(0.5, 1.0), n=8))
    assert dict(one.user_properties)["mipro.sorter.score"] == 0.75
    (row,) = run.rows[one.nodeid]
    assert (row["nodeid"], row["line"], row["verdict"]) == (one.nodeid, 4, "pass")


def test_forgetting_deletes_the_store_and_nothing_else(tmp_path):
    run = session()
    run.config.rootpath = tmp_path
    folder = tmp_path / ".mipro"
    folder.mkdir()
    for name in ("responses.sqlite3", "responses.sqlite3-wal", ".gitignore"):
        (folder / name).touch()
    run.forget()
    assert [path.name for path in folder.iterdir()] == [".gitignore"]


def test_only_optimising_keeps_what_the_lm_answers(tmp_path):
    gate, optimising = session(), session(optimize=True)
    optimising.config.rootpath = tmp_path
    assert gate.store is None
    assert optimising.store is not None
    optimising.close()
    assert (tmp_path / ".mipro" / ".gitignore").read_text() == "*\n"
