"""YAML as files of this project hold it. The only room that knows YAML.

Parsed by the safe loader, with what a person does wrong told by line; written so that a diff reads
as prose.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pytest_mipro.errors import MiproError


def parse(path: Path, text: str, *, error: type[MiproError]) -> Any:
    """Parse YAML with the safe loader, refusing duplicate keys.

    Args:
        path: named in errors.
        text: of the file.
        error: what to raise.

    Raises:
        MiproError: of the given kind, with file and line.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line = mark.line + 1 if mark else 1
        at_tab = mark is not None and _has_tab(text, mark.line)
        remedy = "; YAML is indented with spaces, replace the tab" if at_tab else ""
        raise error(f"{path}:{line}: {fault.problem or fault.context}{remedy}") from None
    except yaml.YAMLError as fault:
        raise error(f"{path}: is not YAML: {fault}") from None


def dump(data: Mapping[str, Any]) -> str:
    """Return the text of a mapping; equal values give equal text.

    A text that is a :class:`Prose`, or has several lines, is written as a literal block.
    """
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000, indent=2
    )
    return text


def line_of(text: str, where: tuple[Any, ...]) -> int:
    """Line of the key that ``where`` leads to, counted from 1; the nearest parent's if absent."""
    node = yaml.compose(text, Loader=_Loader)
    line = 1
    for step in where:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(step)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _has_tab(text: str, line: int) -> bool:
    lines = text.split("\n")
    return line < len(lines) and "\t" in lines[line]


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} stands twice (first in line {seen[key]}); remove one",
                    problem_mark=key_node.start_mark,
                )
            if isinstance(key, Hashable):
                seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)


# A prompt file holds what JSON can hold: a date stays a text, as it was in the data.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Prose(str):
    """A text that is always written as a literal block."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless)


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    wanted = isinstance(value, Prose) or "\n" in value
    # YAML takes these for line ends, unless they are written as escapes between quotes.
    odd = re.search(r"[\r\x85\u2028\u2029]", value) is not None
    style = '"' if odd else "|" if wanted and value.strip() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=style)


def _represent_list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.SequenceNode:
    short = all(isinstance(item, (int, float)) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=short)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Prose, _represent_text)
_Dumper.add_representer(list, _represent_list)
_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
