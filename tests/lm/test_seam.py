"""The contract with DSPy's inner parts: when DSPy moves, these say which part moved."""

from __future__ import annotations

import asyncio

import dspy
import pytest
from dspy import lm15
from scripted import Sort, answer_right, scripted_lm

from pytest_mipro.lm import seam


class Recorder:
    """An answerer that asks, and notes what passes."""

    def __init__(self):
        self.calls, self.costs = [], []

    def answer(self, call, lm, ask):
        self.calls.append(call)
        return ask()

    async def answer_awaited(self, call, lm, ask):
        self.calls.append(call)
        return await ask()

    def billed(self, usd):
        self.costs.append(usd)


class Tracker:
    """Notes the usage that DSPy tells of."""

    def __init__(self):
        self.entries = []

    def add_usage(self, lm, usage_entry):
        self.entries.append((lm, dict(usage_entry)))


def predicted(lm, **context):
    with dspy.context(lm=lm, **context):
        return dspy.Predict(Sort)(text="text number 2").label


def test_a_call_of_a_predictor_passes_the_answerer():
    recorder = Recorder()
    assert predicted(seam.with_answerer(scripted_lm(answer_right), recorder)) == "good"
    assert [call["model"] for call in recorder.calls] == ["scripted/model"]


def test_an_awaited_call_passes_it_too():
    recorder = Recorder()

    async def awaited():
        with dspy.context(lm=seam.with_answerer(scripted_lm(answer_right), recorder)):
            return (await dspy.Predict(Sort).acall(text="text number 2")).label

    assert asyncio.run(awaited()) == "good"
    assert len(recorder.calls) == 1


def test_the_lm_that_was_given_is_left_alone():
    lm, recorder = scripted_lm(answer_right), Recorder()
    seam.with_answerer(lm, recorder)
    assert predicted(lm) == "good"
    assert recorder.calls == []


def test_an_intercepted_lm_is_of_the_kind_that_it_was():
    lm = seam.with_answerer(scripted_lm(answer_right), Recorder())
    assert isinstance(lm, dspy.LM)
    assert type(lm).__name__ == "LM"


def test_what_is_no_lm_is_passed_on():
    assert seam.with_answerer("gpt", Recorder()) == "gpt"


def test_an_answer_in_plain_form_comes_back():
    outputs = scripted_lm(lambda asked: {"label": "good"})("say it")
    plain = seam.plain_outputs(outputs)
    assert seam.plain_outputs(seam.loaded_outputs(plain)) == plain


def test_a_response_of_the_engine_comes_back():
    response = lm15.Response(
        id=None,
        model="m",
        message=lm15.Message.assistant("yes"),
        finish_reason="stop",
        usage=lm15.Usage(input_tokens=3, output_tokens=1),
    )
    loaded = seam.loaded_outputs(seam.plain_outputs(response))
    assert loaded.message.text == "yes"
    assert loaded.usage.input_tokens == 3


def test_a_canonical_request_is_told_by_its_messages_and_settings():
    request = lm15.Request(
        model="m",
        messages=(lm15.Message.user("hello"),),
        config=lm15.Config(temperature=0.5, extensions={"grammar": "root ::= x"}),
    )
    call = seam.asked(scripted_lm(answer_right), request, None, {"rollout_id": 7})
    assert "hello" in str(call["request"]["messages"])
    assert call["request"]["config"]["temperature"] == 0.5
    assert "root ::= x" in str(call["request"]["config"])
    assert call["rollout_id"] == 7


def test_usage_of_each_answered_call_is_told_to_the_tracker():
    tracker, lm = Tracker(), scripted_lm(answer_right)
    with seam.tracked(tracker, lm=lm):
        dspy.Predict(Sort)(text="text number 2")
    [(model, usage)] = tracker.entries
    assert model == "scripted/model"
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (10, 2)


def test_the_tracker_of_a_context_can_be_read():
    tracker = Tracker()
    with seam.tracked(tracker):
        assert seam.current_tracker() is tracker


def test_the_answerer_hears_what_a_call_cost():
    recorder = Recorder()
    predicted(seam.with_answerer(scripted_lm(answer_right), recorder))
    assert len(recorder.costs) == 1


def test_a_dspy_lm_takes_cache_and_another_lm_need_not():
    class Own(dspy.BaseLM):
        pass

    assert seam.takes_cache(scripted_lm(answer_right))
    assert not seam.takes_cache(Own(model="own"))


def test_declared_inputs_are_known_and_their_absence_too():
    example = dspy.Example(text="a", label="b")
    assert seam.declared_inputs(example) is None
    assert seam.declared_inputs(example.with_inputs("text")) == {"text"}


def test_a_compiled_program_says_so():
    program = dspy.Predict(Sort)
    seam.mark_compiled(program)
    assert program._compiled is True


def test_list_prices_are_known_of_a_model_that_dspy_ships_prices_of():
    prompt, completion = seam.token_prices("openai/gpt-4o-mini")
    assert prompt == pytest.approx(0.15e-6)
    assert completion == pytest.approx(0.6e-6)


def test_no_price_is_guessed():
    assert seam.token_prices("nobody/nothing") is None
    assert seam.token_prices("nothing") is None
