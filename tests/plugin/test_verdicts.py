"""What a user sees of each verdict."""

from __future__ import annotations

import re

import pytest


def optimized(project, **options):
    pytester = project(**options)
    result = pytester.runpytest("--mipro-optimize")
    result.assert_outcomes(passed=1)
    return pytester


def test_optimize_writes_a_prompt_file_and_passes(project):
    pytester = project()
    result = pytester.runpytest("--mipro-optimize")
    result.assert_outcomes(passed=1)
    text = (pytester.path / "prompts" / "sorter.yaml").read_text()
    keys = re.findall(r"^(\w+):", text, re.MULTILINE)
    assert keys == [
        "format",
        "name",
        "program",
        "predictors",
        "scores",
        "fitted_with",
        "fingerprints",
        "search",
    ]
    assert "    instructions: |-\n" in text
    assert "origin: " in text


def test_plain_pytest_passes_on_the_committed_prompts(project):
    pytester = optimized(project)
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*mipro*", "name*verdict*score*interval*", "sorter*pass*"])


def test_plain_pytest_changes_no_file(project):
    pytester = optimized(project)
    before = {p: p.read_bytes() for p in (pytester.path / "prompts").iterdir()}
    pytester.runpytest()
    assert {p: p.read_bytes() for p in (pytester.path / "prompts").iterdir()} == before


def test_the_compiled_prompts_score_better_than_the_baseline(project):
    test = """
    import pytest
    from scripted import *

    @pytest.mark.mipro(threshold=0.5)
    def test_sorter(mipro):
        result = mipro(Sorter(), metric=exact, trainset=examples(30), valset=examples(20, 100),
                       testset=examples(24, 200))
        assert result.score > result.baseline_score
        assert result.interval[0] <= result.score <= result.interval[1]
        assert result.program.sort.demos
        assert result.usage.total_calls > 0
    """
    project(test).runpytest("--mipro-optimize").assert_outcomes(passed=1)


def test_a_missing_file_fails_with_the_command_that_makes_one(project):
    result = project().runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*MISSING*prompts/sorter.yaml*",
            "*pytest test_it.py::test_sorter --mipro-optimize*",
        ]
    )


def test_a_missing_file_asks_the_lm_nothing(project):
    pytester = project(script="fails_with(lambda: AssertionError('asked'))")
    pytester.runpytest().stdout.no_fnmatch_line("*asked*")


def test_below_threshold_fails_and_lists_examples(project):
    pytester = optimized(project)
    (pytester.path / "prompts" / "sorter.scores.json").unlink()
    pytester.makeconftest(
        (pytester.path / "conftest.py")
        .read_text()
        .replace("learns_from_demos)", "lambda asked: {'label': 'good'})")
    )
    result = pytester.runpytest("-o", "mipro_stale=ignore")
    result.assert_outcomes(passed=1)  # half of the labels are good
    pytester.makepyfile(
        test_it=(pytester.path / "test_it.py").read_text().replace("threshold=0.5", "threshold=0.9")
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*BELOW THRESHOLD: score 0.500 (95 % interval * to *, n=20) on the testset, "
            "40.0 points below the threshold of 0.9",
            "*10 of 20 examples are below full marks*",
            "*text=text number 201*",
            "*expected label=bad*",
            "*got      label=good (score 0)*",
        ]
    )


def test_a_score_equal_to_the_threshold_passes(project):
    pytester = project(script="lambda asked: {'label': 'good'}", threshold=0.5)
    pytester.runpytest("--mipro-optimize").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("lm15.RateLimitError('slow down')", "LMRateLimitError"),
        ("lm15.AuthError('bad key')", "LMAuthError"),
        ("lm15.ServerError('oops')", "LMServerError"),
        ("lm15.TimeoutError('late')", "LMTimeoutError"),
        ("ConnectionResetError('gone')", "LM*"),
    ],
)
def test_an_outage_is_an_error_with_its_causes_counted(project, error, cause):
    pytester = optimized(project)
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(
        conftest.replace("learns_from_demos", f"fails_with(lambda: {error})").replace(
            "import pytest", "import pytest\nfrom dspy import lm15"
        )
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*CANNOT JUDGE*20 of 20*", f"*20 x {cause}*"])


def test_a_few_unreachable_examples_do_not_hide_a_sure_verdict(project):
    pytester = optimized(project)
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(
        conftest.replace(
            "learns_from_demos", "fails_with(lambda: lm15.ServerError('x'), 10)"
        ).replace("import pytest", "import pytest\nfrom dspy import lm15")
    )
    pytester.runpytest().assert_outcomes(passed=1)
    test = (pytester.path / "test_it.py").read_text()
    pytester.makepyfile(test_it=test.replace("threshold=0.5", "threshold=0.95"))
    pytester.runpytest().assert_outcomes(errors=1)


def test_an_outage_while_optimizing_writes_nothing(project):
    pytester = project(script="fails_with(lambda: lm15.ServerError('down'))")
    pytester.makeconftest("from dspy import lm15\n" + (pytester.path / "conftest.py").read_text())
    result = pytester.runpytest("--mipro-optimize")
    result.assert_outcomes(errors=1)
    assert not list(pytester.path.glob("prompts/*"))


def test_unreadable_answers_score_zero_and_are_counted(project):
    pytester = optimized(project)
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(conftest.replace("learns_from_demos", "lambda asked: {'label': 'hm'}"))
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*score 0.000*", "*20 x malformed: AdapterParseError*"])


STALE = {
    "a renamed field": ("text: str = dspy.InputField()", "words: str = dspy.InputField()"),
    "a changed program": ("return self.sort(text=text)", "return self.sort(text=text.strip())"),
    "a changed metric": ("example.label == prediction.label", "example.label is not None"),
}

OWN = """
import dspy, pytest
from typing import Literal
from scripted import examples

class Sort(dspy.Signature):
    '''Say whether the text is good or bad.'''
    text: str = dspy.InputField()
    label: Literal["good", "bad"] = dspy.OutputField()

class Sorter(dspy.Module):
    def __init__(self):
        super().__init__()
        self.sort = dspy.Predict(Sort)
    def forward(self, text):
        return self.sort(text=text)

def exact(example, prediction, trace=None):
    return example.label == prediction.label

@pytest.mark.mipro(threshold=0.3)
def test_sorter(mipro):
    mipro(Sorter(), metric=exact, trainset=examples(20), valset=examples(20, 100),
          num_trials=6, num_candidates=4, minibatch_size=10)
"""


@pytest.mark.parametrize("change", STALE)
def test_a_change_of_the_code_makes_the_file_stale(project, change):
    pytester = optimized(project, test=OWN)
    old, new = STALE[change]
    pytester.makepyfile(test_it=OWN.replace(old, new))
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*STALE*prompts/sorter.yaml*", "*fit it anew with: pytest*"])


def test_stale_names_the_renamed_field(project):
    pytester = optimized(project, test=OWN)
    old, new = STALE["a renamed field"]
    pytester.makepyfile(test_it=OWN.replace(old, new))
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["*predictor 'sort'*field 'text'*signature has 'words'*"])


def test_a_mislabeled_demo_is_stale_and_named(project):
    pytester = optimized(project)
    path = pytester.path / "prompts" / "sorter.yaml"
    turned = {"label: good": "label: bad", "label: bad": "label: good"}
    path.write_text(
        re.sub(r"label: (good|bad)", lambda found: turned[found.group(0)], path.read_text())
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*STALE*", "*labeled demo * says label=*the trainset says*"])


def test_reformatting_and_comments_are_no_change(project):
    pytester = optimized(project, test=OWN)
    pytester.makepyfile(
        test_it=OWN.replace(
            "return self.sort(text=text)",
            "# a comment\n        return self.sort(\n            text=text,\n        )",
        )
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_changed_data_is_stale_and_can_be_warned_of(project):
    pytester = optimized(project, test=OWN)
    pytester.makepyfile(test_it=OWN.replace("examples(20, 100)", "examples(21, 100)"))
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the examples of the valset changed*"])
    result = pytester.runpytest("--mipro-stale=warn")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*stale: the examples of the valset changed*"])
    pytester.runpytest("--mipro-stale=ignore").assert_outcomes(passed=1)


def test_another_lm_is_noted_and_the_score_decides(project):
    pytester = optimized(project)
    path = pytester.path / "prompts" / "sorter.yaml"
    path.write_text(path.read_text().replace("lm: scripted/model", "lm: other/model"))
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*fitted with other/model, now the LM is scripted/model*"])


def test_the_same_seed_gives_the_same_file(project):
    pytester = optimized(project)
    path = pytester.path / "prompts" / "sorter.yaml"
    first = re.sub(r"seconds: .*", "", path.read_text())
    path.unlink()
    pytester.runpytest("--mipro-optimize")
    assert re.sub(r"seconds: .*", "", path.read_text()) == first


def test_the_order_in_which_calls_return_changes_nothing(project):
    texts = []
    for delay in ("None", "lambda asked: hash_of(asked.last) % 7 / 1000"):
        pytester = project(script=f"learns_from_demos, delay={delay}")
        pytester.runpytest("--mipro-optimize")
        path = pytester.path / "prompts" / "sorter.yaml"
        texts.append(re.sub(r"seconds: .*", "", path.read_text()))
        path.unlink()
    assert texts[0] == texts[1]


def test_another_seed_may_give_another_file(project):
    pytester = optimized(project)
    path = pytester.path / "prompts" / "sorter.yaml"
    first = path.read_text()
    path.unlink()
    pytester.runpytest("--mipro-optimize", "--mipro-seed=7")
    assert "seed: 7" in path.read_text()
    assert path.read_text() != first


def optimize(pytester, *options):
    result = pytester.runpytest("--mipro-optimize", *options)
    return result, (pytester.path / "prompts" / "sorter.yaml").read_bytes()


def test_committed_prompts_that_are_as_good_stay_and_the_report_says_so(project):
    pytester = optimized(project)
    before = (pytester.path / "prompts" / "sorter.yaml").read_bytes()
    result, after = optimize(pytester, "--mipro-seed=5", "--mipro-budget=20calls")
    assert after == before
    result.stdout.fnmatch_lines(["sorter: the committed prompts stay: on the testset they score*"])


def test_worse_committed_prompts_are_replaced(project):
    pytester = optimized(project)
    path = pytester.path / "prompts" / "sorter.yaml"
    text = path.read_text()
    path.write_text(re.sub(r"    demos:\n.*?(?=\nscores:)", "    demos: []", text, flags=re.DOTALL))
    result, after = optimize(pytester)
    assert b"origin: " in after
    result.stdout.no_fnmatch_line("*committed prompts stay*")


def test_kept_prompts_are_no_longer_stale_after_a_change_of_the_metric(project):
    pytester = optimized(project)
    test = pytester.path / "test_it.py"
    test.write_text(
        test.read_text()
        + "\ndef exact(example, prediction, trace=None):\n"
        + "    return example.label == prediction.label and True\n"
    )
    pytester.runpytest().assert_outcomes(failed=1)
    optimize(pytester, "--mipro-budget=20calls", "--mipro-seed=5")
    pytester.runpytest().assert_outcomes(passed=1)
