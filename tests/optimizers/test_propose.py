"""Instruction candidates."""

from __future__ import annotations

import pytest
from dspy import lm15
from scripted import Pipeline, ScriptedEngine, Sorter, exact, examples, scripted_lm

from pytest_mipro.errors import CannotJudge
from pytest_mipro.optimizers.mipro.propose import Grounding, Proposer
from pytest_mipro.prompts import Demo, prompts_of
from pytest_mipro.scoring import Scorer


class Writer(ScriptedEngine):
    """Answers proposals from a list, again and again from its start."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers
        self.given = 0

    def _proposal(self, asked):
        fields = super()._proposal(asked)
        if "instruction" not in fields:
            return fields
        self.given += 1
        answer = self.answers[(self.given - 1) % len(self.answers)]
        if isinstance(answer, Exception):
            raise answer
        return {"instruction": answer}


def proposed(answers=None, *, program=None, count=4, grounding=None, demos=None, threads=1):
    program = program or Sorter()
    lm = scripted_lm()
    if answers is not None:
        lm = lm.copy(engine=Writer(answers))
    with Scorer(program, exact, lm=lm, threads=threads) as scorer:
        found = (
            Proposer(
                scorer,
                prompts_of(program),
                examples(20),
                lm=None,
                count=count,
                seed=0,
                grounding=grounding or Grounding(),
                temperature=1.0,
            )
            .finish(demos or {})
            .instructions
        )
    return found, lm.engine


def test_the_original_instruction_comes_first():
    found, _ = proposed()
    assert found["sort"][0] == "Say whether the text is good or bad."
    assert len(found["sort"]) == 4


def test_every_predictor_gets_its_own():
    found, _ = proposed(program=Pipeline())
    assert [len(found[name]) for name in ("sort", "check")] == [4, 4]


def test_the_summary_and_the_description_are_asked_for_once():
    _, engine = proposed(program=Pipeline(), count=6)
    for output in ("data_summary", "program_summary"):
        assert sum(f"`[[ ## {output} ## ]]`" in asked.last for asked in engine.asked) == 1


def test_all_signals_reach_the_proposer():
    demo = Demo({"text": "a shown demo"}, {"label": "good"}, "bootstrapped")
    _, engine = proposed(demos={"sort": [demo]})
    asked = [a.last for a in engine.asked if "`[[ ## instruction ## ]]`" in a.last]
    for signal in ("data_summary", "program_summary", "role", "worked_examples", "tip"):
        assert any(f"[[ ## {signal} ## ]]" in text for text in asked), signal
    assert any("a shown demo" in text for text in asked)
    program = next(a.last for a in engine.asked if "`[[ ## program_summary ## ]]`" in a.last)
    assert "class Sorter" in program


def test_signals_can_be_switched_off():
    _, engine = proposed(grounding=Grounding(False, False, False, False))
    asked = " ".join(a.last for a in engine.asked)
    for signal in ("data_summary", "program_summary", "role", "tip"):
        assert f"[[ ## {signal} ## ]]" not in asked


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "   ",
        "short",
        "x" * 3000 + " y z",
        "Say whether the TEXT is good,  or bad!",
    ],
)
def test_unusable_answers_are_dropped_and_asked_for_again(bad):
    found, engine = proposed([bad, "A first good way to do it.", "A second good way to do it."])
    assert bad not in found["sort"][1:]
    assert "A first good way to do it." in found["sort"]
    assert engine.given > 3


def test_an_answer_that_gives_away_an_example_is_dropped():
    import dspy

    program = Sorter()
    secret = dspy.Example(text="the very secret text of one customer", label="good")
    lm = scripted_lm().copy(
        engine=Writer(["Say good for: the very secret text of one customer.", "A clean way to do."])
    )
    with Scorer(program, exact, lm=lm, threads=1) as scorer:
        proposer = Proposer(
            scorer,
            prompts_of(program),
            [secret.with_inputs("text")],
            lm=None,
            count=2,
            seed=0,
            grounding=Grounding(),
            temperature=1.0,
        )
        found = proposer.finish({}).instructions
    assert found["sort"][1:] == ["A clean way to do."]


def instruction_requests(engine):
    return [asked for asked in engine.asked if "`[[ ## instruction ## ]]`" in asked.last]


def test_what_is_asked_for_again_gets_another_tip_each_time():
    _, engine = proposed([""], count=2)
    tips = [asked.field("tip") for asked in instruction_requests(engine)]
    assert len(tips) == len(set(tips)) == 3


def test_the_proposals_of_a_wave_get_different_tips():
    _, engine = proposed(count=7)
    tips = [asked.field("tip") for asked in instruction_requests(engine)]
    assert len(tips) == len(set(tips)) == 6


def test_the_same_question_is_put_anew_for_each_proposal():
    ways = [f"A way to do it, number {n}." for n in range(5)]
    found, engine = proposed(ways, count=6, grounding=Grounding(False, False, False, False))
    assert len({asked.last for asked in engine.asked}) == 1
    assert len(engine.asked) == 5
    assert sorted(found["sort"][1:]) == ways


def test_what_is_asked_for_again_is_not_answered_by_the_answer_that_was_dropped():
    found, engine = proposed(
        ["", "A good way to do it."], count=2, grounding=Grounding(False, False, False, False)
    )
    assert found["sort"][1:] == ["A good way to do it."]
    assert len(engine.asked) == 2


def test_quotes_and_labels_around_an_answer_are_taken_off():
    found, _ = proposed(['Instruction: "Sort it with great care."'], count=2)
    assert found["sort"][1] == "Sort it with great care."


def test_one_call_that_fails_does_not_lose_the_others():
    found, _ = proposed(
        [lm15.ServerError("x"), "A first good way to do it.", "A second way to do it."]
    )
    assert len(found["sort"]) == 3


def test_when_no_call_gets_through_it_says_so():
    with pytest.raises(CannotJudge, match="could not be asked for any instruction"):
        proposed([lm15.AuthError("bad key")])


def test_one_candidate_asks_nothing():
    found, engine = proposed(count=1)
    assert found == {"sort": ["Say whether the text is good or bad."]}
    assert engine.asked == []
