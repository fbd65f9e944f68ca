"""A behaviour broken on purpose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A behaviour broken on purpose: ``before`` stands once in ``path`` and becomes ``after``."""

    name: str  # the behaviour, as a sentence: "a teacher is used"
    path: str  # relative to the package folder, such as "optimizers/mipro/race.py"
    before: str
    after: str
    tests: tuple[str, ...]  # test files (or node ids) that should notice, relative to tests/
