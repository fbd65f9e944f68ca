"""The overridable fixtures."""

from __future__ import annotations

import pytest

HALF = "lambda asked: {'label': 'good'}"

FIXTURES = """
import pytest
from scripted import *

@pytest.fixture
def mipro_program():
    return Sorter()

@pytest.fixture
def mipro_metric():
    return exact

@pytest.fixture
def mipro_dataset():
    return {dataset}

@pytest.mark.mipro(threshold={threshold}, num_trials=4, num_candidates=3)
def test_sorter(mipro_result):
    assert mipro_result.score >= mipro_result.baseline_score
"""


@pytest.mark.parametrize(
    "dataset",
    [
        "examples(40)",
        "{'train': examples(20), 'val': examples(10, 50)}",
        "{'train': examples(20), 'val': examples(10, 50), 'test': examples(10, 70)}",
        "(examples(20), examples(10, 50))",
    ],
)
def test_mipro_result_is_built_from_the_fixtures(project, dataset):
    pytester = project(FIXTURES.format(dataset=dataset, threshold=0))
    pytester.runpytest("--mipro-optimize").assert_outcomes(passed=1)
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_failing_gate_fails_the_test_and_not_its_setup(project):
    pytester = project(FIXTURES.format(dataset="examples(40)", threshold=1.0), script=HALF)
    pytester.runpytest("--mipro-optimize").assert_outcomes(failed=1)
    pytester.runpytest().assert_outcomes(failed=1)


def test_an_outage_is_an_error_with_mipro_result_too(project):
    pytester = project(FIXTURES.format(dataset="examples(40)", threshold=0))
    pytester.runpytest("--mipro-optimize").assert_outcomes(passed=1)
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(
        "from dspy import lm15\n"
        + conftest.replace("learns_from_demos", "fails_with(lambda: lm15.ServerError('x'))")
    )
    pytester.runpytest().assert_outcomes(errors=1)


def test_a_fixture_that_is_missing_is_named(project):
    result = project("def test_x(mipro_result): ...").runpytest()
    result.stdout.fnmatch_lines(["*mipro_result needs the fixture mipro_program; define it*"])


def test_evaluate_leaves_the_asserting_to_the_test(project):
    test = """
    from scripted import *

    def test_sorter(mipro):
        result = mipro.evaluate(Sorter(), metric=exact, trainset=examples(30), threshold=1.0,
                                num_trials=3, num_candidates=3)
        assert result.verdict in ("missing", "below threshold")
        assert not result.passed
    """
    pytester = project(test, script=HALF)
    pytester.runpytest().assert_outcomes(passed=1)
    pytester.runpytest("--mipro-optimize").assert_outcomes(passed=1)


def test_without_any_lm_the_remedy_is_named(project):
    pytester = project()
    (pytester.path / "conftest.py").unlink()
    result = pytester.runpytest("--mipro-optimize")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no LM is set*dspy.configure*mipro_lm*embedded*"])


def test_the_lm_is_named_in_ini(project):
    pytester = project(
        ini="mipro_lm = openai/some-model\nmipro_lm_api_base = http://127.0.0.1:9/v1"
    )
    pytester.makeconftest("")
    pytester.makepyfile(
        test_it="""
        def test_lm(mipro_lm):
            assert mipro_lm.model == "openai/some-model"
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_recorded_split_is_used_again(project):
    pytester = project(FIXTURES.format(dataset="examples(40)", threshold=0))
    pytester.runpytest("--mipro-optimize").assert_outcomes(passed=1)
    pytester.runpytest("--mipro-seed=5").assert_outcomes(passed=1)
