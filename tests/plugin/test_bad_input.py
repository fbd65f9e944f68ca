"""A bad input gets one clear error that names it and the remedy, and leaves no file behind."""

from __future__ import annotations

import pytest

TEST = """
import dspy, pytest
from scripted import *

class NoPredictors(dspy.Module):
    def forward(self, text):
        return text

def raises(example, prediction, trace=None):
    raise ValueError("no such field")

def returns_nothing(example, prediction, trace=None):
    example.label == prediction.label

def per_cent(example, prediction, trace=None):
    return 80

def without_instruction():
    program = Sorter()
    program.sort.signature = program.sort.signature.with_instructions(" ")
    return program

class Broken(Sorter):
    def forward(self, text):
        return self.srot(text=text)

undeclared = [dspy.Example(text=str(n), label="good") for n in range(20)]
long = [dspy.Example(text="1" * 100_000 + str(n), label="good").with_inputs("text")
        for n in range(20)]

def test_sorter(mipro):
    mipro({call}, num_trials=2, num_candidates=2)
"""

BAD = {
    "Sorter(), metric=exact, trainset=[]": "*trainset is empty; give it examples*",
    "Sorter(), metric=exact, trainset=examples(9), valset=examples(1)": (
        "*valset has 1 example*give at least 2*"
    ),
    "Sorter(), metric=exact, trainset=undeclared": (
        "*trainset[[]0[]] does not say which of its fields*with_inputs*load_examples*"
    ),
    "Sorter(), metric=raises, trainset=examples(20)": (
        "*metric raises raised ValueError: no such field*"
    ),
    "Sorter(), metric=returns_nothing, trainset=examples(20)": (
        "*metric returns_nothing*returned None*is a return missing*"
    ),
    "Sorter(), metric=per_cent, trainset=examples(20)": "*returned 80*divide by 100*",
    "NoPredictors(), metric=exact, trainset=examples(20)": (
        "*NoPredictors has no predictors*dspy.Predict*"
    ),
    "without_instruction(), metric=exact, trainset=examples(20)": (
        "*predictor 'sort' of Sorter has no instruction*docstring*"
    ),
    "Broken(), metric=exact, trainset=examples(20)": (
        "*Broken failed on all 5 examples*AttributeError*srot*"
    ),
    "Sorter(), metric=exact, trainset=examples(20), threshold=80": "*threshold=80*write 0.80*",
    "Sorter(), metric=exact, trainset=examples(20), treads=8": "*unknown setting 'treads'*",
    "Sorter(), metric=exact, trainset=examples(20), lm='x'": "*lm in the call*ini mipro_lm*",
}


@pytest.mark.parametrize("call", BAD)
def test_it_is_named_with_its_remedy_and_nothing_is_written(project, call):
    pytester = project(TEST.replace("{call}", call))
    result = pytester.runpytest("--mipro-optimize")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([BAD[call]])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert not (pytester.path / "prompts").exists()


def test_inputs_too_long_for_the_lm_are_named(project):
    script = "lambda asked: (_ for _ in ()).throw(dspy.lm15.ContextLengthError('too many tokens'))"
    call = "Sorter(), metric=exact, trainset=long"
    pytester = project(TEST.replace("{call}", call), script=script)
    result = pytester.runpytest("--mipro-optimize")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*failed on all*'text', has 100,00? chars*"])


def test_unicode_and_100_kb_values_are_nothing_special(project):
    test = """
    import dspy
    from scripted import *

    data = [dspy.Example(text="ünï ☃ \\x00 \\u2028 \\t" * 5000 + f" {n}", label="good")
            .with_inputs("text") for n in range(12)]

    def test_sorter(mipro):
        mipro(Sorter(), metric=exact, trainset=data, num_trials=3, num_candidates=3)
    """
    pytester = project(test, script="lambda asked: {'label': 'good'}")
    pytester.runpytest("--mipro-optimize").assert_outcomes(passed=1)
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_prompt_folder_that_cannot_be_written_is_found_before_the_lm_is_asked(project):
    pytester = project(script="fails_with(lambda: AssertionError('the LM was asked'))")
    (pytester.path / "prompts").write_text("a file where the folder should be")
    result = pytester.runpytest("--mipro-optimize")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*prompts/sorter.yaml: cannot be written*mipro_prompt_dir*"])
    result.stdout.no_fnmatch_line("*the LM was asked*")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  sort:", "\tsort:", "*sorter.yaml:5:*spaces*"),
        ("name: sorter", "name: sorter\nname: x", "*sorter.yaml:3: key 'name' stands twice*"),
        ("name: sorter", "=======\nname: sorter", "*sorter.yaml:2: has a merge conflict*"),
        ("name: sorter", "name: sorter\ncolor: red", "*sorter.yaml:3: color: unknown key*"),
        ("format: 1", "format: 9", "*sorter.yaml:1: format 9 is newer*upgrade*"),
    ],
)
def test_a_hand_edited_file_fails_with_file_and_line(project, old, new, message):
    pytester = project()
    pytester.runpytest("--mipro-optimize").assert_outcomes(passed=1)
    path = pytester.path / "prompts" / "sorter.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])
