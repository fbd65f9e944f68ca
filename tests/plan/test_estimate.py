"""What optimising and gating will take."""

from __future__ import annotations

import dspy
import pytest
from prompted import Prompted
from scripted import Pipeline, answer_right, examples, scripted_lm

from pytest_mipro import PlainAdapter
from pytest_mipro.lm.adapters import adapter_for
from pytest_mipro.plan.estimate import estimate
from pytest_mipro.settings import Settings

DATA = {"trainset": examples(60), "valset": examples(40, 1000), "testset": examples(40, 2000)}


class Counting:
    """Answers right, and counts what it is asked and answers, in words and signs."""

    def __init__(self):
        self.prompts, self.answers = [], []

    def lm(self):
        made = scripted_lm(answer_right)
        complete = made.engine.complete

        def counted(request):
            response = complete(request)
            texts = [request.system or "", *(message.text or "" for message in request.messages)]
            self.prompts.append(sum(map(len, map(str, texts))) / 4)
            self.answers.append(len(response.message.text) / 4)
            return response

        made.engine.complete = counted
        return made


def estimated(prompted, lm=None, *, adapter=None, committed=False, program=None, **settings):
    test = prompted.prepared(program=program, **DATA)
    chosen = Settings(**settings)
    return estimate(
        test.task,
        chosen,
        recorded=0,
        committed=committed,
        lm=lm or scripted_lm(answer_right),
        adapter=adapter or adapter_for(lm, chosen.adapter),
    )


@pytest.fixture
def prompted(tmp_path):
    return Prompted(tmp_path)


def test_the_tokens_of_a_gate_are_what_is_sent_and_answered(prompted):
    told = estimated(prompted)
    prompted.gate(optimize=True, budget="60calls", **DATA)
    counting = Counting()
    prompted.gate(counting.lm(), **DATA)
    assert len(counting.prompts) == told.gate_calls == 40
    prompt, answers = told.gate_tokens
    assert prompt == pytest.approx(sum(counting.prompts), rel=0.25)
    assert answers == pytest.approx(sum(counting.answers), rel=0.5)


def test_the_tokens_of_optimising_are_what_is_sent_and_answered(prompted):
    told = estimated(prompted, budget="300calls")
    counting = Counting()
    result = prompted.gate(counting.lm(), optimize=True, budget="300calls", **DATA)
    assert told.total_calls == pytest.approx(result.usage.total_calls, rel=0.5)
    # The estimate is of the most calls: what is of the right size is a call's tokens.
    per_call = sum(counting.prompts) / len(counting.prompts)
    assert told.prompt_tokens / told.total_calls == pytest.approx(per_call, rel=0.35)
    per_answer = sum(counting.answers) / len(counting.answers)
    assert told.completion_tokens / told.total_calls == pytest.approx(per_answer, rel=0.5)


def test_a_plain_prompt_takes_fewer_tokens_than_a_chat(prompted):
    plain = estimated(prompted, adapter=PlainAdapter()).gate_tokens[0]
    assert plain < estimated(prompted).gate_tokens[0] / 2


def test_demos_take_tokens(prompted):
    none = estimated(prompted, max_labeled_demos=0, max_bootstrapped_demos=0)
    assert none.gate_tokens[0] < estimated(prompted, max_labeled_demos=8).gate_tokens[0] / 1.3


def test_every_predictor_of_a_program_takes_calls_and_tokens(prompted):
    one, two = estimated(prompted), estimated(prompted, program=Pipeline())
    assert two.gate_calls == 2 * one.gate_calls
    assert two.gate_tokens[0] > 1.8 * one.gate_tokens[0]
    # There is no label for the second predictor's output, so free text is expected of it.
    assert two.gate_tokens[1] > 2 * one.gate_tokens[1]


def test_repeats_multiply_what_a_gate_takes(prompted):
    once, three_times = estimated(prompted), estimated(prompted, repeats=3)
    assert three_times.gate_calls == 3 * once.gate_calls
    assert three_times.gate_tokens[0] == pytest.approx(3 * once.gate_tokens[0], abs=3)


def test_committed_prompts_are_scored_again_beside_the_new_ones(prompted):
    plain, committed = estimated(prompted), estimated(prompted, committed=True)
    assert "confirm" not in plain.calls
    assert committed.calls["confirm"] == 40


def test_a_gate_costs_its_tokens_at_list_price(prompted):
    told = estimated(prompted, dspy.LM("openai/gpt-4"))
    prompt, answers = told.gate_tokens
    assert told.lm == "openai/gpt-4"
    assert told.gate_usd == pytest.approx(prompt * 30e-6 + answers * 60e-6)
    assert told.usd == pytest.approx(
        told.prompt_tokens * 30e-6 + told.completion_tokens * 60e-6, rel=1e-3
    )


def test_where_no_price_is_known_there_is_none(prompted):
    told = estimated(prompted)
    assert (told.usd, told.gate_usd) == (None, None)
