"""The sidecar of per-example scores."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mipro.errors import PromptFileError
from pytest_mipro.files import scoresfile
from pytest_mipro.files.scoresfile import RecordedScore, ScoresFile


def scores(**entries):
    recorded = {name: RecordedScore(score=score) for name, score in entries.items()}
    return ScoresFile(name="triage", metric="m", split="test", scores=recorded)


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.builds(RecordedScore, score=st.floats(0, 1), answer=st.text()),
        max_size=5,
    )
)
def test_what_is_written_is_read_again(tmp_path_factory, recorded):
    path = tmp_path_factory.mktemp("scores") / "x.scores.json"
    file = ScoresFile(name="ü\n", metric="m", split="val", scores=recorded)
    scoresfile.write(path, file)
    assert scoresfile.read(path) == file


def test_there_is_a_line_for_each_example_in_a_fixed_order():
    first, second = scores(b=1.0, a=0.0), scores(a=0.0, b=1.0)
    assert scoresfile.dump(first) == scoresfile.dump(second)
    lines = scoresfile.dump(first).splitlines()
    assert '  "a": {"score": 0.0, "answer": ""},' in lines
    assert '  "b": {"score": 1.0, "answer": ""}' in lines


def test_nothing_is_written_when_nothing_changed(tmp_path):
    path = tmp_path / "x.scores.json"
    scoresfile.write(path, scores(a=1.0))
    before = path.stat().st_mtime_ns
    scoresfile.write(path, scores(a=1.0))
    assert path.stat().st_mtime_ns == before


def test_there_may_be_no_file(tmp_path):
    assert scoresfile.read(tmp_path / "x.scores.json") is None


WHOLE = scoresfile.dump(scores(a=1.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"x.scores.json:1: is not JSON"),
        ("<<<<<<< HEAD\n" + WHOLE, "x.scores.json:1: has a merge conflict marker"),
        (WHOLE.replace('"format": 1', '"format": 2'), "format 2 is newer"),
        (WHOLE.replace('"score": 1.0', '"score": 7'), "scores.a.score: Input should be less"),
        (WHOLE.replace('"split"', '"spilt"'), "split: Field required"),
        ("[]", "the file: Input should be"),
    ],
)
def test_a_broken_file_says_where_and_what_to_do(tmp_path, text, message):
    path = tmp_path / "x.scores.json"
    path.write_text(text)
    with pytest.raises(PromptFileError, match=message) as caught:
        scoresfile.read(path)
    assert "upgrade pytest-mipro" in str(caught.value) or "--mipro-update-baseline" in str(
        caught.value
    )


def test_the_file_is_json(tmp_path):
    assert json.loads(WHOLE)["scores"]["a"]["score"] == 1.0
