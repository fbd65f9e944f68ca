"""What these tests ask of the versions that are installed."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if pytest.version_tuple >= (9,):
        return
    reason = "the table [tool.pytest] is read from pytest 9 on"
    for item in items:
        if "[tool.pytest]" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason=reason))
