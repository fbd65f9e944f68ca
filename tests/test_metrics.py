"""What each ready-made metric says while scoring and while bootstrapping."""

from __future__ import annotations

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Sorter, exact, examples, scripted_lm

from pytest_mipro import metrics
from pytest_mipro.files import fingerprint
from pytest_mipro.prompts import prompts_of
from pytest_mipro.scoring import Scorer

TRACE: list = []


def gold(**fields):
    return dspy.Example(question="?", **fields).with_inputs("question")


def said(**fields):
    return dspy.Prediction(**fields)


def test_exact_match_compares_all_labels_or_the_named_ones():
    example = gold(team="login", urgency="high")
    half = said(team="login", urgency="low")
    assert metrics.ExactMatch()(example, said(team=" login ", urgency="high")) is True
    assert metrics.ExactMatch()(example, half) is False
    assert metrics.ExactMatch("team")(example, half) is True


def test_exact_match_may_overlook_case_punctuation_and_articles():
    example, prediction = gold(answer="The Eiffel Tower."), said(answer="eiffel tower")
    assert metrics.ExactMatch("answer", normalize=True)(example, prediction)
    assert not metrics.ExactMatch("answer")(example, prediction)


def test_token_f1_is_a_number_while_scoring_and_a_bool_while_bootstrapping():
    example, prediction = gold(answer="red green blue"), said(answer="red green")
    metric = metrics.TokenF1("answer", success=0.75)
    assert metric(example, prediction) == pytest.approx(0.8)
    assert metric(example, prediction, TRACE) is True
    assert metrics.TokenF1("answer")(example, prediction, TRACE) is False


def test_of_several_answers_the_best_counts():
    example = gold(answer=["red", "dark red"])
    assert metrics.TokenF1("answer")(example, said(answer="dark red")) == 1.0


@given(st.text(), st.text())
def test_token_f1_and_similarity_go_from_0_to_1(expected, got):
    for metric in (metrics.TokenF1("answer"), metrics.StringSimilarity("answer")):
        assert 0.0 <= metric(gold(answer=expected), said(answer=got)) <= 1.0
        assert metric(gold(answer=expected), said(answer=expected)) == 1.0


def test_regex_takes_its_pattern_from_the_metric_or_the_example():
    assert metrics.Regex("answer", r"^\d+$")(gold(answer=""), said(answer="42")) is True
    assert metrics.Regex("answer", r"^\d+$")(gold(answer=""), said(answer="4x")) is False
    assert metrics.Regex("answer")(gold(answer="colou?r"), said(answer="the color red")) is True


def test_string_similarity_forgives_small_slips():
    metric = metrics.StringSimilarity("answer")
    example, prediction = gold(answer="Charles Babbage"), said(answer="Charles Babage")
    assert 0.9 < metric(example, prediction) < 1.0
    assert metric(example, prediction, TRACE) is True


def test_a_field_that_is_not_there_is_named():
    with pytest.raises(KeyError, match=r"no field 'answr'; there are answer"):
        metrics.StringSimilarity("answr")(gold(answr="x"), said(answer="x"))


def letters(texts):
    return [[text.count(letter) for letter in "abc"] for text in texts]


def test_embedding_similarity_is_the_cosine():
    metric = metrics.EmbeddingSimilarity("answer", dspy.Embedder(letters, caching=False))
    assert metric(gold(answer="aab"), said(answer="aab")) == pytest.approx(1.0)
    assert metric(gold(answer="aa"), said(answer="bb")) == 0.0
    assert metric(gold(answer="aab"), said(answer="aab"), TRACE) is True


def test_a_text_is_embedded_once_in_a_run():
    embedded = []

    def counting(texts):
        embedded.extend(texts)
        return letters(texts)

    metric = metrics.EmbeddingSimilarity("label", dspy.Embedder(counting, caching=False))
    program = Sorter()
    with Scorer(program, metric, lm=scripted_lm(), threads=4) as scorer:
        scorer.score(prompts_of(program), examples(12), kind="gate")
    assert sorted(embedded) == ["bad", "good"]


def judge(score):
    return scripted_lm(lambda asked: {"reasons": "as the rubric says", "score": score})


def test_the_judge_sees_rubric_inputs_labels_and_answer():
    lm = judge("0.9")
    verdict = metrics.LMJudge("It is polite.", lm)(gold(answer="Yes, sir"), said(answer="Yep"))
    assert (verdict.score, verdict.feedback) == (0.9, "as the rubric says")
    (asked,) = lm.engine.asked
    assert "It is polite." in asked.system
    for part in ("question: ?", "answer: Yes, sir", "answer: Yep"):
        assert part in asked.last


def test_the_judge_gives_a_bool_while_bootstrapping_and_never_more_than_1():
    example, prediction = gold(answer="Yes"), said(answer="Yep")
    assert metrics.LMJudge("Polite.", judge("7"))(example, prediction).score == 1.0
    assert metrics.LMJudge("Polite.", judge("0.9"))(example, prediction, TRACE) is True
    assert metrics.LMJudge("Polite.", judge("0.5"))(example, prediction, TRACE) is False


def test_the_judge_is_asked_once_for_each_answer():
    lm = judge("1.0")
    program = Sorter()
    same = [*examples(2), *examples(2)]
    with Scorer(program, metrics.LMJudge("Right.", lm), lm=scripted_lm(), threads=4) as scorer:
        scores = [o.score for o in scorer.score(prompts_of(program), same, kind="gate")]
    assert scores == [1.0] * 4
    assert len(lm.engine.asked) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (metrics.ExactMatch("team"), metrics.ExactMatch("urgency")),
        (metrics.TokenF1("answer"), metrics.TokenF1("answer", success=0.5)),
        (metrics.LMJudge("Polite."), metrics.LMJudge("Short.")),
        (metrics.LMJudge("Polite.", judge("1")), metrics.LMJudge("Polite.")),
        (metrics.ExactMatch(), exact),
    ],
)
def test_another_argument_is_another_metric(one, other):
    assert fingerprint.metric(one) != fingerprint.metric(other)
