"""The import graph of the package, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "pytest_mipro"


def modules(root: Path = PACKAGE) -> dict[str, Path]:
    """Every module of the package by its dotted name, without the package's own name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = [*path.relative_to(root).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def graph(root: Path = PACKAGE) -> dict[str, set[str]]:
    """What each module imports of the package: at its top, in a function, or for types alone."""
    names = modules(root)
    return {
        name: {target for target in _imports(path, root.name, names) if target != name}
        for name, path in names.items()
    }


def outside(path: Path) -> set[str]:
    """The dotted names of all that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def floors(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    """The floor of each module: one above the highest that it imports; 1 is the ground.

    Raises:
        ValueError: modules import each other in a circle; it names them.
    """
    known: dict[str, int] = {}

    def floor(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            raise ValueError(" -> ".join((*path[path.index(name) :], name)))
        if name not in known:
            above = [floor(target, (*path, name)) for target in sorted(arrows[name])]
            known[name] = 1 + max(above, default=0)
        return known[name]

    for name in arrows:
        floor(name, ())
    return known


def _imports(path: Path, package: str, names: Mapping[str, Path]) -> Iterator[str]:
    for target in outside(path):
        if target.split(".")[0] != package:
            continue
        inner = target.removeprefix(package).removeprefix(".")
        # A name of a module, where it is none itself, stands for that module.
        yield inner if inner in names else inner.rpartition(".")[0]
