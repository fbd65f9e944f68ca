"""The labeled tickets."""

from pathlib import Path

import dspy

from pytest_mipro import load_examples

DATA = Path(__file__).parent.parent / "data"


def load_split(name: str) -> list[dspy.Example]:
    """Read the labeled tickets of one split: train, val or test."""
    return load_examples(DATA / f"{name}.jsonl", inputs=["ticket"])
