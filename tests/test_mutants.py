"""The behaviours that ``python tests/mutants`` breaks on purpose."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mutants.tables import TESTS, all_mutants, broken

import pytest_mipro


@pytest.mark.parametrize("mutant", all_mutants(), ids=lambda mutant: mutant.name)
def test_what_a_mutant_breaks_stands_once_in_the_package(mutant):
    assert broken(mutant)


def test_the_tests_of_the_mutants_are_there():
    named = {test for mutant in all_mutants() for test in mutant.tests}
    for test in named:
        path, *names = test.partition("[")[0].split("::")
        text = (TESTS / path).read_text(encoding="utf-8")
        assert all(f"def {name}(" in text or f"class {name}" in text for name in names), test


def test_no_two_mutants_have_the_same_name():
    names = [mutant.name for mutant in all_mutants()]
    assert len(names) == len(set(names))


def test_a_run_in_a_subprocess_is_of_the_package_under_test(project):
    asked = "import pytest_mipro; print(pytest_mipro.__file__)"
    output = project().run(sys.executable, "-c", asked).stdout.str()
    assert Path(output.strip()).parent == Path(pytest_mipro.__file__).parent
