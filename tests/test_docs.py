"""What the documents say of the code is what the code says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def generate(monkeypatch):
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "generate", module)
    spec.loader.exec_module(module)
    return module


def test_the_tables_that_are_made_from_the_code_are_current(generate):
    assert generate.outdated() == [], "run: python docs/generate.py"


def test_a_setting_that_changed_is_noticed(generate, monkeypatch):
    monkeypatch.setattr(generate.RULES["threads"], "default", 9)
    assert generate.outdated() == ["settings"]


def test_modes_have_no_ini_entry_and_the_table_says_so(generate):
    rows = {line.split("|")[1].strip(): line for line in generate.settings_table().splitlines()}
    for mode in ("plan", "optimize", "fresh"):
        assert f"| `--mipro-{mode}` |" in rows[f"`{mode}`"]
    assert "`--mipro-auto`, ini, marker, call" in rows["`auto`"]
