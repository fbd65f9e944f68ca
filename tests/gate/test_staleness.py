"""What makes a prompt file stale, and how that is told."""

from __future__ import annotations

import dspy
import pytest
from prompted import VAL, Prompted
from scripted import Pipeline, Sorter, answer_right, examples, scripted_lm

from pytest_mipro import save_prompts
from pytest_mipro.files import promptfile
from pytest_mipro.gate import staleness
from pytest_mipro.lm.description import described

SPLITS = {"trainset": examples(10), "valset": VAL, "testset": examples(20, 200)}


@pytest.fixture(scope="module")
def prompted(tmp_path_factory):
    """Prompts that are committed; no test here writes."""
    return Prompted(tmp_path_factory.mktemp("committed")).optimized()


def changes(prompted, *, adapter="ChatAdapter", file=None, **options):
    test = prompted.prepared(**{**SPLITS, **options})
    assert test.committed is not None
    return staleness.changes(
        test.task, file or test.committed.file, test.committed.scores, adapter=adapter
    )


def headlines(prompted, **options):
    return [change.headline for change in changes(prompted, **options)]


def test_nothing_is_stale_where_nothing_changed(prompted):
    assert changes(prompted) == []


def test_a_changed_adapter_is_stale(prompted):
    (change,) = changes(prompted, adapter="JSONAdapter")
    assert change.text == "the adapter was ChatAdapter, now it is JSONAdapter"
    assert "name the old one (ini mipro_adapter), or" in change.remedy
    assert not change.structural


def test_the_adapter_that_scores_were_accepted_with_counts(prompted):
    facts = {**prompted.file.fitted_with, "accepted_with": {"adapter": "JSONAdapter"}}
    file = prompted.file.model_copy(update={"fitted_with": facts})
    assert headlines(prompted, file=file) == ["the adapter was JSONAdapter, now it is ChatAdapter"]
    assert headlines(prompted, file=file, adapter="JSONAdapter") == []


def kinder(example, prediction, trace=None):
    return bool(prediction.label)


def test_a_changed_metric_shows_which_lines_changed(prompted):
    (change,) = changes(prompted, metric=kinder)
    assert change.headline == "the code of the metric scripted:exact changed"
    assert "\n      -    return bool(example.label == prediction.label)" in change.text
    assert "\n      +    return bool(prediction.label)" in change.text
    assert change.remedy.startswith("scores of two metrics cannot be compared; ")


class Stripping(Sorter):
    def forward(self, text):
        return self.sort(text=text.strip())


def test_a_changed_program_is_stale(prompted):
    assert headlines(prompted, program=Stripping()) == [
        "the code of the program scripted:Sorter changed"
    ]


def asking(**fields):
    program = Sorter()
    signature = dspy.make_signature(
        {"text": (str, dspy.InputField()), "label": (str, dspy.OutputField()), **fields}, "Say."
    )
    program.sort = dspy.Predict(signature)
    return program


def test_a_changed_signature_is_shown_before_and_after(prompted):
    (change,) = changes(prompted, program=asking())
    assert change.text.splitlines() == [
        "predictor 'sort': its signature was",
        "      text: str -> label: Literal[good, bad]",
        "    now it is",
        "      text: str -> label: str",
    ]


def test_a_predictor_that_is_not_in_the_file_cannot_be_meant(prompted):
    (change,) = changes(prompted, program=Pipeline())
    assert change.structural
    assert change.text.startswith("predictor 'check' is in the program, not in the file")


def test_a_renamed_field_is_told_once(prompted):
    program = Sorter()
    program.sort = dspy.Predict(dspy.Signature("words -> label", "Say."))
    (change,) = changes(prompted, program=program)
    assert "field 'text', its signature has 'words'; was a field renamed?" in change.text


@pytest.mark.parametrize(
    ("split", "data", "told"),
    [
        (
            "trainset",
            examples(12),
            "the examples of the trainset changed: it had 10, now it has 12",
        ),
        ("valset", examples(10, 101), "the examples of the valset changed"),
        (
            "testset",
            examples(20, 205),
            "the examples of the testset changed: 5 new, 5 gone",
        ),
        (
            "testset",
            examples(22, 200),
            "the examples of the testset changed: it had 20, now it has 22; 2 new, 0 gone",
        ),
    ],
)
def test_changed_examples_are_counted(prompted, split, data, told):
    assert headlines(prompted, **{split: data}) == [told]


def test_a_labeled_demo_that_contradicts_the_trainset_is_named(prompted, tmp_path):
    program = Sorter()
    program.sort.demos = [dspy.Example(text="text number 4", label="bad").with_inputs("text")]
    file = promptfile.read(save_prompts(program, tmp_path / "x.yaml"))
    (change,) = changes(prompted, file=file)
    assert change.structural
    assert change.text == (
        "predictor 'sort': labeled demo 1 says label='bad', the trainset says 'good' "
        "(text=text number 4)"
    )


def test_prompts_that_were_saved_by_hand_are_stale_only_where_they_do_not_fit(prompted, tmp_path):
    file = promptfile.read(save_prompts(Sorter(), tmp_path / "x.yaml"))
    assert changes(prompted, file=file, metric=kinder, testset=examples(3)) == []


def test_an_lm_with_other_settings_is_told_by_setting(prompted):
    lm = scripted_lm(answer_right).copy(temperature=0.5, max_tokens=7)
    assert staleness.transfer(prompted.file, described(lm)) == [
        "transfer not guaranteed: decoding: max_tokens was not set, now it is 7; the score decides",
        "transfer not guaranteed: decoding: temperature was 0.0, now it is 0.5; the score decides",
    ]


def test_a_change_is_told_with_its_remedy(prompted):
    (change,) = changes(prompted, adapter="XMLAdapter")
    assert str(change) == f"{change.text}\n    -> {change.remedy}"
