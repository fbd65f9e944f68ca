"""Demo values that are no plain text: written, read back, and shown to the LM as before."""

from __future__ import annotations

import datetime
import enum
from typing import Any

import dspy
import pydantic
import pytest
import yaml

from pytest_mipro import PlainAdapter, load_prompts, save_prompts


class Mood(enum.Enum):
    GLAD = "glad"
    SAD = "sad"


class Kind(str, enum.Enum):
    BUG = "bug"


class Level(enum.IntEnum):
    HIGH = 3


class Ticket(pydantic.BaseModel):
    title: str
    opened: datetime.date
    mood: Mood = Mood.GLAD


TICKET = Ticket(title='Ä "b"', opened=datetime.date(2024, 1, 31))
VALUES = {
    "a pydantic model": (
        Ticket,
        TICKET,
        {"title": 'Ä "b"', "opened": "2024-01-31", "mood": "glad"},
    ),
    "models in a list": (
        list[Ticket],
        [TICKET],
        [{"title": 'Ä "b"', "opened": "2024-01-31", "mood": "glad"}],
    ),
    "an enum": (Mood, Mood.SAD, "sad"),
    "an enum that is a text": (Kind, Kind.BUG, "bug"),
    "an enum that is a number": (Level, Level.HIGH, 3),
    "a date": (datetime.date, datetime.date(2024, 1, 31), "2024-01-31"),
    "a time": (datetime.datetime, datetime.datetime(2024, 1, 31, 9, 5), "2024-01-31T09:05:00"),
    "a set": (set[str], {"a"}, ["a"]),
    "a tuple": (tuple[str, int], ("a", 1), ["a", 1]),
    "a truth value": (bool, True, True),
    "nothing": (str | None, None, None),
}
every_value = pytest.mark.parametrize("what", VALUES)


class Program(dspy.Module):
    """Takes and gives a value of a type."""

    def __init__(self, kind: Any, *values: Any) -> None:
        super().__init__()
        fields = {"given": (kind, dspy.InputField()), "found": (kind, dspy.OutputField())}
        self.find = dspy.Predict(dspy.make_signature(fields, "Find it."))
        self.find.demos = [dspy.Example(given=value, found=value) for value in values]


@pytest.fixture
def both(tmp_path):
    """A program with a demo, and the program that its prompt file gives."""

    def make(what):
        kind, value, _ = VALUES[what]
        path = save_prompts(Program(kind, value), tmp_path / "x.yaml")
        return Program(kind, value), load_prompts(Program(kind), path), path

    return make


@every_value
def test_it_is_written_plainly(both, what):
    written = yaml.load(both(what)[2].read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    (demo,) = written["predictors"]["find"]["demos"]
    plain = yaml.load(yaml.safe_dump(VALUES[what][2]), Loader=yaml.BaseLoader)
    assert demo["outputs"] == {"found": plain}


@every_value
def test_it_is_read_back_plainly(both, what):
    (demo,) = both(what)[1].find.demos
    assert dict(demo.items()) == {"given": VALUES[what][2], "found": VALUES[what][2]}


@every_value
@pytest.mark.parametrize(
    "adapter", [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter(), PlainAdapter()]
)
def test_it_is_shown_to_the_lm_as_when_the_prompts_were_optimised(both, what, adapter):
    before, after, _ = both(what)
    shown = [
        adapter.format(
            program.find.signature,
            [dict(demo.items()) for demo in program.find.demos],
            {"given": VALUES[what][1]},
        )
        for program in (before, after)
    ]
    assert shown[0] == shown[1]


def test_the_plain_adapter_shows_a_demo_as_it_shows_an_input(both):
    program = both("a pydantic model")[1]
    (message,) = PlainAdapter().format(
        program.find.signature,
        [dict(demo.items()) for demo in program.find.demos],
        {"given": TICKET},
    )
    given = [line for line in message["content"].splitlines() if line.startswith("given: ")]
    assert given[0] == given[1]
