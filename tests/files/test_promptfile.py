"""The prompt file: what it looks like, what it refuses, and that it is never half-written."""

from __future__ import annotations

from pathlib import Path

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Pipeline, Sorter

from pytest_mipro import load_prompts, save_prompts
from pytest_mipro.errors import PromptFileError
from pytest_mipro.files import promptfile
from pytest_mipro.files.promptfile import DemoEntry, PredictorEntry, PromptFile

VALID = """\
format: 1
name: sorter
program: scripted:Sorter
predictors:
  sort:
    instructions: |-
      Say which it is.
    demos:
      - inputs:
          text: a
        outputs:
          label: good
        origin: labeled
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sorter.yaml"
    path.write_text(VALID, encoding="utf-8")
    return path


def refused(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PromptFileError) as caught:
        load_prompts(Sorter(), path)
    return str(caught.value).replace(str(path), "FILE")


def test_loading_applies_instructions_and_demos(path):
    program = load_prompts(Sorter(), path)
    assert program.sort.signature.instructions == "Say which it is."
    assert [(d.text, d.label) for d in program.sort.demos] == [("a", "good")]


def test_loading_leaves_the_given_program_alone(path):
    program = Sorter()
    before = program.sort.signature.instructions
    load_prompts(program, path)
    assert program.sort.signature.instructions == before
    assert program.sort.demos == []


def test_saving_and_loading_gives_the_same_prompts(tmp_path):
    program = Pipeline()
    program.sort.signature = program.sort.signature.with_instructions("Two\nlines, ünï ☃.")
    program.check.demos = [dspy.Example(text="t", label="bad", sure="no", augmented=True)]
    saved = save_prompts(program, tmp_path / "deep" / "p.yaml")
    loaded = load_prompts(Pipeline(), saved)
    assert loaded.sort.signature.instructions == "Two\nlines, ünï ☃."
    assert dict(loaded.check.demos[0].items()) == dict(program.check.demos[0].items())


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@given(
    instructions=TEXT.filter(lambda text: text.strip()),
    values=st.dictionaries(TEXT.filter(bool), VALUE, max_size=4),
)
def test_any_text_and_value_survives_the_file(tmp_path_factory, instructions, values):
    path = tmp_path_factory.mktemp("p") / "x.yaml"
    entry = PredictorEntry(
        instructions=instructions,
        demos=[DemoEntry(inputs=values, outputs={}, origin="labeled")],
    )
    file = PromptFile(name="x", program="m:P", predictors={"p": entry})
    promptfile.write(path, file)
    assert promptfile.read(path) == file
    assert promptfile.dump(promptfile.read(path)) == path.read_bytes().decode()


@pytest.mark.parametrize(
    "text", ["2024-01-31", "yes", "no", "null", "1e3", "0x10", "~", "- a", "a: b", "#c", "12:30:45"]
)
def test_texts_that_look_like_something_else_stay_texts(tmp_path, text):
    program = Sorter()
    program.sort.demos = [dspy.Example(text=text, label="good")]
    loaded = load_prompts(Sorter(), save_prompts(program, tmp_path / "x.yaml"))
    assert loaded.sort.demos[0].text == text


def test_instructions_are_literal_blocks(tmp_path):
    text = save_prompts(Sorter(), tmp_path / "x.yaml").read_text()
    assert "    instructions: |-\n      Say whether the text is good or bad.\n" in text


def test_a_value_of_100_kb_is_one_value(tmp_path):
    program = Sorter()
    program.sort.demos = [dspy.Example(text="é" * 100_000, label="good")]
    loaded = load_prompts(Sorter(), save_prompts(program, tmp_path / "x.yaml"))
    assert loaded.sort.demos[0].text == "é" * 100_000


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("format: 1", "format: 2", "FILE:1: format 2 is newer"),
        ("name: sorter\n", "name: sorter\nname: twice\n", "FILE:3: key 'name' stands twice"),
        ("name: sorter\n", "name: sorter\ncolour: red\n", "FILE:3: colour: unknown key"),
        ("    demos:", "    demo:", "FILE:8: predictors.sort.demo: unknown key"),
        ("  sort:\n", "\tsort:\n", "FILE:5:"),
        ("      Say which it is.\n", "", "FILE:6: predictors.sort.instructions: is blank"),
        ("origin: labeled", "origin: dreamt", "FILE:13: predictors.sort.demos.0.origin:"),
        ("program: scripted:Sorter\n", "", "program: is missing"),
        ("name: sorter\n", "<<<<<<< HEAD\nname: sorter\n", "FILE:2: has a merge conflict marker"),
    ],
)
def test_a_bad_edit_is_named_with_file_line_and_key(path, old, new, expected):
    assert expected in refused(path, VALID.replace(old, new, 1))


def test_a_tab_is_named_with_its_remedy(path):
    assert "spaces" in refused(path, VALID.replace("  sort:\n", "\tsort:\n"))


def test_a_python_object_is_refused(path):
    assert "FILE:2" in refused(path, VALID.replace("sorter", "!!python/object:os.system x", 1))


def test_text_that_is_not_utf8_is_refused(path):
    path.write_bytes(b"format: 1\nname: \xff\xfe\n")
    with pytest.raises(PromptFileError, match="UTF-8"):
        load_prompts(Sorter(), path)


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(PromptFileError, match="--mipro-optimize"):
        load_prompts(Sorter(), tmp_path / "none.yaml")


def test_a_missing_predictor_is_refused_when_strict(path):
    with pytest.raises(PromptFileError, match="'check' is in the program, not in the file"):
        load_prompts(Pipeline(), path)


def test_what_fits_is_applied_when_not_strict(path):
    with pytest.warns(UserWarning, match="'check'"):
        program = load_prompts(Pipeline(), path, strict=False)
    assert program.sort.signature.instructions == "Say which it is."


def test_a_renamed_field_is_named(path):
    text = VALID.replace("text: a", "words: a")
    message = refused(path, text)
    assert "field 'words'" in message
    assert "signature has 'text'" in message


def test_nothing_is_written_when_nothing_changed(path):
    file = promptfile.read(path)
    promptfile.write(path, file)
    before = path.stat().st_mtime_ns
    assert promptfile.write(path, file) is False
    assert path.stat().st_mtime_ns == before


def test_a_write_that_fails_leaves_the_old_file_whole(path, monkeypatch):
    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(PromptFileError, match="No space left"):
        save_prompts(Sorter(), path)
    assert path.read_text() == VALID
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_interrupted_write_leaves_the_old_file_whole(path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_prompts(Sorter(), path)
    assert path.read_text() == VALID
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PromptFileError, match="cannot be written.*mipro_prompt_dir"):
        save_prompts(Sorter(), tmp_path / "file" / "x.yaml")


def test_a_demo_value_without_a_plain_form_is_named(tmp_path):
    program = Sorter()
    program.sort.demos = [dspy.Example(text=object(), label="good")]
    with pytest.raises(PromptFileError, match="'sort'.*field 'text'.*object"):
        save_prompts(program, tmp_path / "x.yaml")
    assert not list(tmp_path.iterdir())
