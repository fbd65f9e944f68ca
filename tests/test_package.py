"""The package's public names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_mipro

ROOT = Path(pytest_mipro.__file__).parents[1]


@pytest.mark.parametrize("name", pytest_mipro.__all__)
def test_a_public_name_can_be_imported(name):
    assert getattr(pytest_mipro, name) is not None


def test_the_public_names_are_those_that_have_a_home():
    assert {*pytest_mipro.__all__} == {*pytest_mipro._HOMES, "metrics", "__version__"}


def test_type_checkers_are_told_the_same_homes():
    tree = ast.parse(Path(pytest_mipro.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    homes = {
        name.name: node.module.removeprefix("pytest_mipro.")
        for node in imports
        if node.module.startswith("pytest_mipro.")
        for name in node.names
    }
    assert homes == pytest_mipro._HOMES


def test_public_names_are_listed_by_dir():
    assert {*pytest_mipro.__all__} <= {*dir(pytest_mipro)}


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pytest_mipro.nothing


@pytest.mark.parametrize("module", ["pytest_mipro", "pytest_mipro.settings", "pytest_mipro.errors"])
def test_importing_it_imports_neither_pytest_nor_dspy(module):
    heavy = {"dspy", "pytest", "optuna", "yaml", "numpy", "scipy", "rich"}
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}; " + (
        f"print(*({heavy!r} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
