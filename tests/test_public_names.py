"""What ``import pytest_mipro`` offers, and what it does not import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_mipro
from pytest_mipro import errors

SOURCE = Path(pytest_mipro.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", pytest_mipro.__all__)
def test_every_public_name_can_be_imported(name):
    assert getattr(pytest_mipro, name) is not None


def typed_imports():
    block = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    return [node for node in block.body if isinstance(node, ast.ImportFrom)]


def test_type_checkers_see_the_same_names():
    seen = {alias.name for node in typed_imports() for alias in node.names}
    assert seen | {"__version__"} == set(pytest_mipro.__all__)


def test_a_public_name_is_the_one_that_type_checkers_see():
    homes = {
        alias.name: node.module.removeprefix("pytest_mipro.")
        for node in typed_imports()
        if node.module != "pytest_mipro"
        for alias in node.names
    }
    assert homes == pytest_mipro._HOMES


def test_every_error_is_public():
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type)}
    own = {name for name in kinds if getattr(errors, name).__module__ == errors.__name__}
    assert own <= set(pytest_mipro.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        pytest_mipro.optimise  # noqa: B018


def test_importing_the_package_imports_neither_pytest_nor_dspy():
    code = "import sys, pytest_mipro; print({'pytest', 'dspy', 'yaml', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
