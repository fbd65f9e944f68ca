"""The data, and which LM the tests run on."""

import os
from typing import Any

import dspy
import pytest
from triage import load_split


@pytest.fixture(scope="session")
def mipro_lm(mipro_lm: Any) -> Any:
    """The model that TRIAGE_LM names, such as openai/gpt-4o-mini; else what pyproject.toml says."""
    name = os.environ.get("TRIAGE_LM")
    return dspy.LM(name, temperature=0.0) if name else mipro_lm


@pytest.fixture(scope="session")
def splits() -> dict[str, Any]:
    """The labeled tickets, as keyword arguments of the fixture mipro."""
    return {f"{name}set": load_split(name) for name in ("train", "val", "test")}
