"""Prompts for small models, and the grammar of their answers."""

from __future__ import annotations

import enum
from typing import Literal

import dspy
import pytest
from dspy import lm15
from dspy.utils.exceptions import AdapterParseError

from pytest_mipro import PlainAdapter
from pytest_mipro.lm.plain_adapter import grammar


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Paint(dspy.Signature):
    """Name what is painted."""

    text: str = dspy.InputField()
    reason: str = dspy.OutputField()
    colour: Literal["red", 'say "blue"'] = dspy.OutputField()
    count: int = dspy.OutputField()


class Recorder:
    def __init__(self, text):
        self.text = text
        self.requests = []

    def complete(self, request):
        self.requests.append(request)
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant(self.text),
            finish_reason="stop",
            usage=lm15.Usage(),
        )


def ask(answer, signature=Paint, demos=(), **inputs):
    engine = Recorder(answer)
    lm = dspy.LM("some/model", engine=engine, cache=False, temperature=0.0, max_tokens=9)
    predict = dspy.Predict(signature)
    predict.demos = list(demos)
    with dspy.context(lm=lm, adapter=PlainAdapter()):
        return predict(**inputs), engine.requests[0]


def test_the_prompt_is_a_completion_that_ends_at_the_open_field():
    demo = {"text": "a\n wall", "reason": "it is", "colour": "red", "count": 2}
    _, request = ask(" so\ncolour: red\ncount: 1", demos=[demo], text="a\ndoor")
    assert request.messages[0].text == (
        "Name what is painted.\n\n"
        "text: a wall\nreason: it is\ncolour: red\ncount: 2\n\n"
        "text: a door\nreason:"
    )
    assert request.system is None
    assert (request.config.temperature, request.config.max_tokens) == (0.0, 9)


def test_answers_are_parsed_into_the_fields_types():
    prediction, _ = ask(' because\ncolour: say "blue"\ncount: 12\n', text="x")
    assert (prediction.reason, prediction.colour, prediction.count) == (
        "because",
        'say "blue"',
        12,
    )


@pytest.mark.parametrize(
    "answer", [" so", " so\ncolour: green\ncount: 1", " a\ncolour: red\ncount: x"]
)
def test_an_answer_outside_the_signature_is_unreadable(answer):
    with pytest.raises(AdapterParseError):
        ask(answer, text="x")


def test_the_grammar_holds_literals_to_their_values():
    class Pick(dspy.Signature):
        """Pick."""

        text: str = dspy.InputField()
        a: Literal["x", 'y"z'] = dspy.OutputField()
        b: Colour = dspy.OutputField()
        c: bool = dspy.OutputField()

    assert grammar(Pick) == (
        'root ::= " " ("x" | "y\\"z") "\\nb:" " " ("red" | "blue") "\\nc:" " " ("True" | "False")\n'
    )
    _, request = ask(" x\nb: red\nc: True", signature=Pick, text="t")
    assert request.config.extensions["grammar"] == grammar(Pick)


def test_free_text_ends_at_the_line():
    assert grammar(dspy.Signature("a -> b")).endswith('"\\n"\n')
