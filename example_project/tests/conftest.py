"""Which LM the tests run on."""

from typing import Any

import pytest
from triage import load_split


@pytest.fixture(scope="session")
def splits() -> dict[str, Any]:
    return {f"{name}set": load_split(name) for name in ("train", "val", "test")}
