"""Programs, metrics and data: what is accepted, how it is cut, what is refused."""

from __future__ import annotations

import json

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Sorter, exact, examples

from pytest_mipro import load_examples
from pytest_mipro.errors import TaskError
from pytest_mipro.task import cut, leakage, make_task


def test_a_training_set_alone_is_cut_into_three_disjoint_parts():
    split = make_task(Sorter(), exact, examples(40)).split
    parts = [{e.text for e in part} for part in (split.train, split.val, split.test)]
    assert [len(part) for part in parts] == [20, 10, 10]
    assert set.union(*parts) == {e.text for e in examples(40)}


@given(st.integers(6, 200), st.integers(0, 1000))
def test_every_example_has_one_place_whatever_the_size(count, seed):
    split = cut(examples(count), None, None, seed=seed)
    placed = [e.text for e in (*split.train, *split.val, *split.test)]
    assert sorted(placed) == sorted(e.text for e in examples(count))
    assert min(len(split.train), len(split.val), len(split.test)) >= 2


def test_repeated_examples_never_leak_from_a_cut():
    task = make_task(Sorter(), exact, [*examples(12), *examples(12)], seed=1)
    assert leakage(task.facts.example_ids) == []


def test_the_cut_is_shuffled_with_the_seed():
    def tests(seed):
        return [e.text for e in cut(examples(40), None, None, seed=seed).test]

    assert tests(1) == tests(1)
    assert tests(1) != tests(2)


def test_given_splits_are_kept_as_they_are():
    split = make_task(Sorter(), exact, examples(5), examples(4, 10), examples(3, 20)).split
    assert (len(split.train), len(split.val), len(split.test)) == (5, 4, 3)
    assert split.carved == ()


def test_the_gate_scores_the_test_set_or_else_the_validation_set():
    assert make_task(Sorter(), exact, examples(5), examples(4), examples(3)).split.gate[0] == "test"
    assert make_task(Sorter(), exact, examples(5), examples(4)).split.gate[0] == "val"


def names_of(testset):
    return make_task(Sorter(), exact, examples(5), examples(4, 10), testset).facts.example_names


def test_examples_that_stand_twice_are_told_apart():
    names = names_of([*examples(2), *examples(1)])
    assert names[2] == f"{names[0]}#2"
    assert len(set(names)) == 3


def test_the_name_of_an_example_does_not_depend_on_its_place():
    assert names_of(examples(3))[2] == names_of(examples(1, 2))[0]


def test_an_example_in_two_splits_is_leakage():
    task = make_task(Sorter(), exact, examples(5), examples(5, 3))
    assert leakage(task.facts.example_ids) == [
        "leakage: 2 examples stand in both trainset and valset; "
        "remove from one, or the score is too good"
    ]


class NoPredictors(dspy.Module):
    def forward(self, text):
        return text


def no_instruction():
    program = Sorter()
    program.sort.signature = program.sort.signature.with_instructions(" ")
    return program


UNDECLARED = [dspy.Example(text="a", label="good")] * 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Sorter(), exact, []), "trainset is empty"),
        ((Sorter(), exact, examples(3)), "trainset has 3 different examples, too few"),
        ((Sorter(), exact, examples(9), examples(1)), "valset has 1 example"),
        ((Sorter(), exact, examples(9), []), "valset is empty"),
        ((Sorter(), exact, UNDECLARED), r"trainset\[0\].*text, label.*with_inputs"),
        ((Sorter(), exact, [{"text": "a"}] * 9), r"trainset\[0\] is a dict.*dspy.Example"),
        ((Sorter(), exact, "path.jsonl"), "trainset is a str"),
        ((NoPredictors(), exact, examples(9)), "NoPredictors has no predictors"),
        ((no_instruction(), exact, examples(9)), "'sort' of Sorter has no instruction"),
        ((Sorter, exact, examples(9)), r"give an instance: Sorter\(\)"),
        ((print, exact, examples(9)), "must be a dspy.Module"),
        ((Sorter(), "exact", examples(9)), "'exact', which cannot be called"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_remedy(arguments, message):
    with pytest.raises(TaskError, match=message):
        make_task(*arguments)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("d.jsonl", '{"text": "ä\u2028b", "n": "1"}\n\n{"text": "c", "n": "2"}\n'),
        ("d.json", json.dumps([{"text": "ä\u2028b", "n": "1"}, {"text": "c", "n": "2"}])),
        ("d.csv", 'text,n\n"ä\u2028b",1\nc,2\n'),
        ("d.yaml", '- {text: "ä\\Lb", n: "1"}\n- {text: c, n: "2"}\n'),
    ],
)
def test_examples_are_read_alike_from_every_kind_of_file(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    loaded = load_examples(tmp_path / name, inputs=["text"])
    assert [(e.text, e.n) for e in loaded] == [("ä\u2028b", "1"), ("c", "2")]
    assert list(loaded[0].inputs().keys()) == ["text"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("d.jsonl", '{"text": "a"}\n{"text": \n', r"d.jsonl:2: is not JSON"),
        ("d.jsonl", '{"text": "a"}\n[1]\n', r"d.jsonl:2: a record must be a mapping"),
        ("d.jsonl", '{"words": "a"}\n', r"d.jsonl:1: no field 'text'; the record has words"),
        ("d.json", '{"text": "a"}', "must hold a list"),
        ("d.xml", "<a/>", "not '.xml'"),
    ],
)
def test_a_bad_record_is_named_with_file_and_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(TaskError, match=message):
        load_examples(tmp_path / name, inputs=["text"])


def test_a_missing_data_file_is_named(tmp_path):
    with pytest.raises(TaskError, match=r"none.jsonl: cannot be read"):
        load_examples(tmp_path / "none.jsonl", inputs=["text"])
