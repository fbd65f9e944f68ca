"""Beside what else a pytest run is made of: JUnit XML, --lf, GitHub."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

OPTIMIZE = ("--mipro-optimize", "--mipro-budget=60calls", "-q")

PLAIN = """
import pytest
from scripted import *

@pytest.mark.mipro(threshold=0.5)
def test_sorter(mipro):
    mipro(Sorter(), metric=exact, trainset=examples(20), valset=examples(20, 100),
          testset=examples(20, 200))
"""


@pytest.fixture
def optimized(project):
    def make(test=PLAIN, **options):
        pytester = project(test, **options)
        pytester.runpytest(*OPTIMIZE)
        return pytester

    return make


def worse(pytester):
    """Let the LM answer the same to everything."""
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(
        conftest.replace("learns_from_demos", "lambda asked: {'label': 'good', 'sure': 'no'}")
    )
    return pytester


def properties(path):
    return {p.get("name"): p.get("value") for p in ET.parse(path).iter("property")}


def test_junitxml_has_the_figures_of_each_gate(optimized):
    pytester = optimized()
    pytester.runpytest("--junitxml=out.xml")
    found = properties(pytester.path / "out.xml")
    assert found["mipro.sorter.verdict"] == "pass"
    assert 0 <= float(found["mipro.sorter.interval_low"]) <= float(found["mipro.sorter.score"]) <= 1
    assert found["mipro.sorter.threshold"] == "0.5"
    assert found["mipro.sorter.lm_calls"] == "20"
    assert found["mipro.sorter.lm"] == "scripted/model"


def test_junitxml_tells_a_failed_gate_from_one_that_cannot_judge(optimized):
    pytester = worse(optimized())
    pytester.runpytest("--junitxml=out.xml")
    text = (pytester.path / "out.xml").read_text()
    assert "<failure" in text
    assert "REGRESSED" in text
    assert "mipro.sorter.p_value" in text
    conftest = (pytester.path / "conftest.py").read_text()
    script = re.sub(r"lambda asked.*\}", "fails_with(lambda: ConnectionError('gone'))", conftest)
    pytester.makeconftest(script)
    pytester.runpytest("--junitxml=out.xml")
    text = (pytester.path / "out.xml").read_text()
    assert "<error" in text
    assert "<failure" not in text


def test_last_failed_runs_the_failed_gate_again(optimized):
    two = PLAIN + PLAIN.split("from scripted import *")[1].replace("test_sorter", "test_other")
    pytester = optimized(two)
    (pytester.path / "prompts" / "other.yaml").unlink()
    pytester.runpytest().assert_outcomes(passed=1, failed=1)
    result = pytester.runpytest("--lf")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*other: MISSING*"])


def test_each_parameter_has_a_prompt_file_of_its_own(optimized):
    test = PLAIN.replace(
        '@pytest.mark.mipro(threshold=0.5)\ndef test_sorter(mipro)',
        '@pytest.mark.mipro(threshold=0.5)\n'
        '@pytest.mark.parametrize("shift", [0, 2], ids=["as is", "by/two"])\n'
        'def test_sorter(mipro, shift)',
    )  # fmt: skip
    pytester = optimized(test)
    names = {path.name for path in pytester.path.glob("prompts/*.yaml")}
    assert names == {"sorter-as-is.yaml", "sorter-by-two.yaml"}
    pytester.runpytest().assert_outcomes(passed=2)


LMS = """
import pytest
from scripted import *

LMS = [scripted_lm(answer_right), scripted_lm(learns_from_demos).copy(model="weaker/model")]

@pytest.mark.mipro(threshold=0.2, name="sorter", max_drop=1.0)
@pytest.mark.parametrize("mipro_lm", LMS, ids=lambda lm: lm.model)
def test_sorter(mipro):
    mipro(Sorter(), metric=exact, trainset=examples(20), valset=examples(20, 100),
          testset=examples(20, 200))
"""


def test_several_lms_share_a_prompt_file_and_make_a_transfer_table(project):
    pytester = project(LMS)
    pytester.runpytest("--mipro-optimize", "--mipro-budget=20calls", "-k", "scripted")
    assert [path.name for path in pytester.path.glob("prompts/*.yaml")] == ["sorter.yaml"]
    result = pytester.runpytest()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "name*lm*verdict*score*",
            "sorter*scripted/model*pass*1.000*",
            "sorter*weaker/model*pass*0.*",
            "*transfer not guaranteed*fitted with scripted/model, now the LM is weaker/model*",
        ]
    )


def test_a_test_in_a_class_and_an_async_program_work(project):
    test = """
    import pytest
    from scripted import *

    class Async(dspy.Module):
        def __init__(self):
            super().__init__()
            self.sort = dspy.Predict(Sort)
        async def aforward(self, text):
            return await self.sort.acall(text=text)

    class TestPrompts:
        @pytest.mark.mipro(threshold=0.5)
        def test_sorter(self, mipro):
            result = mipro(Async(), metric=exact, trainset=examples(20), valset=examples(20, 100),
                           testset=examples(20, 200))
            assert result.score > result.baseline_score
    """
    pytester = project(test)
    pytester.runpytest("--mipro-optimize", "--mipro-budget=200calls").assert_outcomes(passed=1)
    pytester.runpytest().assert_outcomes(passed=1)


@pytest.fixture
def on_github(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    return tmp_path / "summary.md"


def test_github_gets_an_annotation_and_a_summary(optimized, on_github):
    pytester = worse(optimized())
    on_github.unlink(missing_ok=True)
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        ["::error file=test_it.py,line=4,title=mipro sorter%3A regressed::mipro: sorter: REGR*%0A*"]
    )
    summary = on_github.read_text(encoding="utf-8")
    assert "| ❌ | sorter | regressed | 0.500 |" in summary
    assert "<details><summary>sorter: regressed</summary>" in summary
    assert "expected label=bad" in summary


def test_github_is_told_of_a_pass_in_the_summary_only(optimized, on_github):
    pytester = optimized()
    on_github.unlink(missing_ok=True)
    pytester.runpytest().stdout.no_fnmatch_line("::*")
    assert "| ✅ | sorter | pass |" in on_github.read_text(encoding="utf-8")


def test_nothing_is_written_elsewhere_when_not_on_github(optimized, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    worse(pytester := optimized())
    pytester.runpytest().stdout.no_fnmatch_line("::*")
