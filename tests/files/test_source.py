"""What counts as a change of code, and what does not."""

from __future__ import annotations

import importlib.util
import re
import textwrap

import pytest

from pytest_mipro.files import fingerprint, source

METRIC = """
def metric(example, prediction, trace=None):
    '''Whether the answer is right.'''
    total = 0
    for word in prediction.answer.split():
        if word in example.words:
            total += LIMITS["weight"]
    best = max((len(part) for part in example.parts), default=0)
    key = lambda item: item.rank
    return total > best
"""


@pytest.fixture
def module(tmp_path):
    made = []

    def make(code):
        path = tmp_path / f"module_{len(made)}.py"
        path.write_text("import dspy\n" + textwrap.dedent(code))
        spec = importlib.util.spec_from_file_location("module_under_test", path)
        made.append(importlib.util.module_from_spec(spec))
        spec.loader.exec_module(made[-1])
        return made[-1]

    return make


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("total", "points"),
        ("word", "token"),
        ("part", "piece"),
        ("item", "entry"),
        ("key", "order"),
        ("best", "total2"),
        ("example", "gold"),
        ("'''Whether the answer is right.'''", "'''Right or not, by word.'''"),
        ("    total = 0", "    # points so far\n    total = (\n        0\n    )"),
    ],
)
def test_renaming_and_reformatting_are_no_change_of_a_metric(module, old, new):
    # Attributes keep their names: only the variable is renamed.
    changed = re.sub(rf"(?<![.\w]){re.escape(old)}(?!\w)", lambda _: new, METRIC)
    assert changed != METRIC
    assert fingerprint.metric(module(METRIC).metric) == fingerprint.metric(module(changed).metric)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("total = 0", "total = 1"),
        ("total > best", "total >= best"),
        ("LIMITS", "BOUNDS"),
        ("prediction.answer", "prediction.reply"),
        ('"weight"', '"height"'),
        ("max(", "min("),
        ("return total > best", "return best > total"),
    ],
)
def test_what_changes_the_result_is_a_change_of_a_metric(module, old, new):
    changed = METRIC.replace(old, new)
    assert fingerprint.metric(module(METRIC).metric) != fingerprint.metric(module(changed).metric)


PROGRAM = """
class Inner(dspy.Module):
    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict("question -> answer")

    def forward(self, question):
        draft = self.answer(question=question)
        return draft


class Outer(dspy.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, question):
        return self.inner(question=question)
"""


def program_print(module, code):
    return fingerprint.program(module(code).Outer())


def test_a_local_variable_renamed_is_no_change_of_a_program(module):
    renamed = PROGRAM.replace("draft", "first")
    assert program_print(module, PROGRAM) == program_print(module, renamed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return draft", "return self.answer(question=draft.answer)"),
        ("def forward(self, question):\n        return self.inner(question=question)",
         "def forward(self, text):\n        return self.inner(question=text)"),
        ("dspy.Predict", "dspy.ChainOfThought"),
    ],
)  # fmt: skip
def test_a_change_in_a_module_of_the_program_is_a_change_of_it(module, old, new):
    assert program_print(module, PROGRAM) != program_print(module, PROGRAM.replace(old, new))


def test_names_that_are_global_stay_what_they_are(module):
    code = """
    def metric(example, prediction, trace=None):
        global count
        count = 1
        return count
    """
    assert "count" in source.normalized(module(code).metric)


def test_a_walrus_in_a_comprehension_is_a_local_of_the_function(module):
    code = """
    def metric(example, prediction, trace=None):
        found = [last := x for x in example.parts]
        return last
    """
    renamed = code.replace("last", "tail")
    first, second = (source.normalized(module(text).metric) for text in (code, renamed))
    assert first == second


def test_what_has_no_source_is_known_by_its_name():
    assert source.normalized(len) == "builtins:len"
