"""The mutants of every table in this folder, and whether they still fit the package."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
PACKAGE = TESTS.parent / "pytest_mipro"

for folder in (TESTS, HERE):  # so that a table finds mutant.py, however this module is loaded
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from mutant import Mutant  # noqa: E402


def all_mutants() -> list[Mutant]:
    """The mutants of all tables: modules of this folder that have ``MUTANTS``."""
    known = {"__main__", "mutant", "tables"}
    paths = [path for path in sorted(HERE.glob("*.py")) if path.stem not in known]
    return [mutant for path in paths for mutant in _table(path)]


def broken(mutant: Mutant, package: Path = PACKAGE) -> str:
    """The text of the mutant's file once it is broken.

    Raises:
        ValueError: the mutant does not fit the file any more.
    """
    try:
        text = (package / mutant.path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{mutant.name}: {error}") from error
    if (count := text.count(mutant.before)) != 1:
        raise ValueError(
            f"{mutant.name}: stands {count} times in {mutant.path}, and should once:\n"
            f"{mutant.before}"
        )
    changed = text.replace(mutant.before, mutant.after)
    try:
        ast.parse(changed)
    except SyntaxError as error:
        raise ValueError(f"{mutant.name}: {mutant.path} is no Python any more: {error}") from error
    return changed


def _table(path: Path) -> tuple[Mutant, ...]:
    spec = importlib.util.spec_from_file_location(f"mutants_of_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(getattr(module, "MUTANTS", ()))
