"""Options, ini, marker and their precedence, as pytest shows them."""

from __future__ import annotations

import pytest


def test_an_unknown_marker_argument_is_a_usage_error(project):
    test = """
    import pytest

    @pytest.mark.mipro(treshold=0.5)
    def test_x(mipro): ...
    """
    result = project(test).runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown setting 'treshold'*test_x*settings are*threshold*"])


def test_a_threshold_of_80_is_a_usage_error_that_says_0_80(project):
    result = project(threshold=80).runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*threshold=80*test_sorter*from 0 to 1*write 0.80*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mipro-auto=huge"], "*auto='huge'*--mipro-auto*light, medium, heavy*"),
        (["--mipro-threads=0"], "*threads='0'*from 1 to 1024*"),
        (["--mipro-threads=many"], "*threads='many'*whole number*"),
        (["--mipro-seed=-1"], "*seed='-1'*at least 0*"),
        (["--mipro-stale=maybe"], "*stale='maybe'*fail, warn, ignore*"),
        (["-o", "mipro_auto=huge"], "*auto='huge'*ini*mipro_auto*"),
        (["-o", "mipro_threshold=80"], "*threshold=80*0.80*"),
    ],
)
def test_a_bad_option_is_a_usage_error(project, arguments, message):
    result = project().runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


PLACES = """
import pytest
from pytest_mipro.fixtures import session_of

def seed_of(request, **call):
    return session_of(request.config).settings(request.node, call).seed

@pytest.mark.mipro(seed=2)
def test_marked(request):
    assert seed_of(request, seed=3) == {marked}

def test_called(request):
    assert seed_of(request, seed=3) == {called}

def test_bare(request):
    assert seed_of(request) == {bare}
"""


def test_a_setting_is_taken_from_the_marker_the_call_then_the_ini_file(project):
    pytester = project(PLACES.format(marked=2, called=3, bare=4), ini="mipro_seed = 4")
    pytester.runpytest().assert_outcomes(passed=3)


def test_the_command_line_comes_before_all_of_them(project):
    pytester = project(PLACES.format(marked=1, called=1, bare=1), ini="mipro_seed = 4")
    pytester.runpytest("--mipro-seed=1").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nmipro_prompt_dir = elsewhere\nmipro_threads = 2\n"),
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\nmipro_prompt_dir = 'elsewhere'\nmipro_threads = 2\n",
        ),
        ("pyproject.toml", "[tool.pytest]\nmipro_prompt_dir = 'elsewhere'\nmipro_threads = 2\n"),
    ],
)
def test_settings_work_alike_from_every_kind_of_ini(project, name, text):
    pytester = project()
    (pytester.path / "tox.ini").unlink()
    (pytester.path / name).write_text(text)
    options = ("--mipro-optimize", "--mipro-budget=20calls", "-p", "no:hypothesispytest")
    result = pytester.runpytest(*options)
    result.assert_outcomes(passed=1)
    assert "threads: 2" in (pytester.path / "elsewhere" / "sorter.yaml").read_text()


def test_the_marker_names_the_prompt_file(project):
    test = """
    import pytest
    from scripted import *

    @pytest.mark.mipro(prompt_file="own/place.yaml", threshold=0)
    def test_sorter(mipro):
        mipro(Sorter(), metric=exact, trainset=examples(20), valset=examples(10, 50),
              num_trials=2, num_candidates=2)
    """
    pytester = project(test)
    pytester.runpytest("--mipro-optimize").assert_outcomes(passed=1)
    assert "name: place\n" in (pytester.path / "own" / "place.yaml").read_text()


def test_two_tests_may_not_share_a_file_by_accident(project):
    test = """
    import pytest
    from scripted import *

    class TestA:
        def test_sorter(self, mipro):
            mipro(Sorter(), metric=exact, trainset=examples(20), num_trials=2, num_candidates=2)

    def test_sorter(mipro):
        mipro(Sorter(), metric=exact, trainset=examples(20), num_trials=2, num_candidates=2)
    """
    result = project(test).runpytest("--mipro-optimize", "--mipro-budget=20calls")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*both use the prompt file*mipro(name=*"])


def test_the_plugin_can_be_switched_off(project):
    pytester = project("def test_x(mipro): ...")
    pytester.runpytest("--fixtures").stdout.fnmatch_lines(["mipro*"])
    result = pytester.runpytest("-p", "no:mipro")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'mipro' not found*"])


def test_the_marker_is_registered(project):
    result = project().runpytest("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.mipro(threshold=*"])


def test_strict_markers_and_config_accept_the_plugin(project):
    pytester = project(ini="mipro_auto = light")
    pytester.runpytest("--strict-markers", "--strict-config", "--collect-only").assert_outcomes()


def test_a_project_without_mipro_tests_imports_nothing_heavy(project):
    test = """
    import sys

    def test_x():
        assert not {"dspy", "optuna", "numpy", "yaml", "scipy"} & set(sys.modules)
    """
    pytester = project(test)
    (pytester.path / "conftest.py").unlink()
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)


def test_progress_is_shown_while_optimizing(project, monkeypatch):
    monkeypatch.setattr("pytest_mipro.session.PROGRESS_SECONDS", 0.0)
    result = project().runpytest("--mipro-optimize", "--mipro-budget=60calls")
    result.stdout.fnmatch_lines(["mipro sorter: search */* LM calls, *LM calls in all, 0:0*"])


def test_a_budget_and_a_sampler_are_recorded_in_the_prompt_file(project):
    pytester = project()
    pytester.runpytest(
        "--mipro-optimize", "--mipro-budget=60calls", "--mipro-sampler=tpe"
    ).assert_outcomes(passed=1)
    text = (pytester.path / "prompts" / "sorter.yaml").read_text()
    assert "budget: 60calls" in text
    assert "sampler: tpe" in text


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--mipro-budget=2usd", "*--mipro-budget*'2usd'*number of LM calls, such as 400calls*"),
        ("--mipro-budget=5calls", "*'5calls'*at least 20*"),
        ("--mipro-sampler=random", "*must be one of outcomes, tpe*"),
    ],
)
def test_a_bad_budget_or_sampler_is_a_usage_error(project, option, message):
    result = project().runpytest(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
