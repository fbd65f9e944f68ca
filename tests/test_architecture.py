"""The order of the house: who may import whom, and who may know what. See docs/architecture.md."""

from __future__ import annotations

import ast
import re

import imports
import pytest

# From the ground up. A room imports rooms of its own layer and of those before it, never of those
# after it. A name stands for a module, or for a wing with all that is in it.
LAYERS = (
    ("errors", "options", "prompts", "progress"),
    ("settings", "outcome", "metriccall"),
    ("lm",),
    ("files",),
    ("task", "scoring", "examples", "metrics"),
    ("gate",),
    ("optimizers",),
    ("plan",),
    ("prompttest", "report"),
    ("session",),
    ("fixtures",),
    ("plugin",),
)
ARROWS = imports.graph()
ROOMS = {name: path for name, path in imports.modules().items() if name}


def layer_of(name):
    wing = name.split(".")[0]
    return next(number for number, layer in enumerate(LAYERS) if wing in layer)


def importers_of(package):
    return {
        name
        for name, path in ROOMS.items()
        if any(target.split(".")[0] == package for target in imports.outside(path))
    }


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_nothing_of_a_higher_layer(name):
    higher = {target for target in ARROWS[name] if target and layer_of(target) > layer_of(name)}
    assert not higher


def test_no_room_imports_the_face_of_the_package():
    assert {name for name in ROOMS if "" in ARROWS[name]} == set()


def test_there_is_no_circle_and_there_are_at_most_eight_floors():
    assert max(imports.floors(ARROWS).values()) <= 8


def test_a_module_imports_three_others_on_average_at_most():
    assert sum(map(len, ARROWS.values())) / len(ARROWS) <= 3.0


def test_only_the_three_rooms_of_the_plugin_know_pytest():
    assert importers_of("pytest") == {"plugin", "fixtures", "session"}


def test_only_one_room_knows_yaml():
    assert importers_of("yaml") == {"files.yamlfile"}


PRIVATE = re.compile(
    r"dspy\.(?:\w+\.)*_(?!_)\w+|_engine_spec|_input_keys|\._compiled|model_metadata"
    r"|usage_tracker\b|\.__class__ ="
)


@pytest.mark.parametrize("name", [name for name in ROOMS if name != "lm.seam"])
def test_only_the_seam_touches_the_inner_parts_of_dspy(name):
    code = ast.unparse(without_docstrings(ROOMS[name].read_text(encoding="utf-8")))
    assert PRIVATE.findall(code) == []


def without_docstrings(text):
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not is_text(part)] or [ast.Pass()]
    return tree


def is_text(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_a_circle_is_named():
    with pytest.raises(ValueError, match="a -> b -> a"):
        imports.floors({"a": {"b"}, "b": {"a"}})


def test_a_room_stands_above_all_that_it_imports():
    assert imports.floors({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": 3, "b": 2, "c": 1}


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_says_what_it_is_for(name):
    assert ast.get_docstring(ast.parse(ROOMS[name].read_text(encoding="utf-8")))


def test_no_room_has_more_than_450_lines():
    sizes = {name: len(path.read_text().splitlines()) for name, path in ROOMS.items()}
    assert {name: size for name, size in sizes.items() if size > 450} == {}
