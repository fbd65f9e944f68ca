"""The parts of README.md and docs/architecture.md that are made from the code.

``python docs/generate.py`` writes them anew; ``tests/test_docs.py`` fails where they are not.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_mipro.options import RULES, Rule

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_mipro"
WINGS = ("", "lm", "files", "gate", "optimizers", "optimizers/mipro", "plan", "report")


def settings_table() -> str:
    """Every setting with its default, the places where it can be set, and its meaning."""
    lines = ["| setting | default | where | meaning |", "|---|---|---|---|"]
    for name, rule in RULES.items():
        lines.append(f"| `{name}` | {_default(rule)} | {_places(name, rule)} | {_meaning(rule)} |")
    return "\n".join(lines)


def rooms_table() -> str:
    """Every room with what it is for, by wing."""
    lines = ["| room | what it is for |", "|---|---|"]
    for wing in WINGS:
        folder = PACKAGE / wing
        purpose = _purpose(folder / "__init__.py") if wing else "What all wings share."
        lines.append(f"| **{wing or 'pytest_mipro'}** | {purpose} |")
        for path in sorted(folder.glob("*.py")):
            if path.name != "__init__.py":
                lines.append(f"| `{path.relative_to(PACKAGE)}` | {_purpose(path)} |")
    return "\n".join(lines)


PARTS: Mapping[str, tuple[Path, Callable[[], str]]] = {
    "settings": (ROOT / "README.md", settings_table),
    "rooms": (ROOT / "docs" / "architecture.md", rooms_table),
}


def outdated() -> list[str]:
    """The parts that do not say what the code says."""
    return [
        name for name, (path, make) in PARTS.items() if _replaced(path, name, make()) is not None
    ]


def write() -> None:
    """Write all parts anew."""
    for name, (path, make) in PARTS.items():
        text = _replaced(path, name, make())
        if text is not None:
            path.write_text(text, encoding="utf-8")


def _replaced(path: Path, name: str, table: str) -> str | None:
    """The text of a file with a part made anew; None where it is as it should be."""
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin, made by docs/generate.py -->", f"<!-- {name}: end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{path}: has no place for the part {name!r}: {begin} ... {end}")
    new = pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text, count=1)
    return None if new == text else new


def _default(rule: Rule) -> str:
    if rule.default_help:
        return rule.default_help
    if rule.default is None or rule.default is False or rule.default == "":
        return ""
    return f"`{rule.default:g}`" if isinstance(rule.default, float) else f"`{rule.default}`"


def _places(name: str, rule: Rule) -> str:
    places = [f"`--mipro-{name.replace('_', '-')}`"] if rule.cli else []
    places += ["ini"] if rule.ini else []
    places += ["marker, call"] if rule.per_test else []
    return ", ".join(places)


def _meaning(rule: Rule) -> str:
    values = f" ({', '.join(f'`{choice}`' for choice in rule.choices)})" if rule.choices else ""
    return f"{rule.help}{values}".replace("|", "\\|")


def _purpose(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


if __name__ == "__main__":
    write()
    sys.exit(0)
