"""Recordings: what is written, and what is refused."""

from __future__ import annotations

import gzip
import json

import pytest

from pytest_mipro.errors import PromptFileError
from pytest_mipro.files import recording
from pytest_mipro.files.location import Location
from pytest_mipro.lm.requests import Answer


def request(text):
    return {"model": "m", "messages": [{"role": "user", "content": text}], "settings": {}}


@pytest.fixture
def location(tmp_path):
    return Location.at(tmp_path / "sorter.yaml")


def written(location, texts, keys=None):
    requests = {f"key of {text}": request(text) for text in texts}
    answers = {key: Answer([f"answer to {key}"], {"prompt_tokens": 3}) for key in requests}
    return recording.write(location, keys or list(requests), requests, answers.get)


def test_what_is_written_is_read_again(location):
    written(location, ["a\ud800", "b"])
    found = recording.read(location)
    assert found.answers["key of b"].outputs == ["answer to key of b"]
    assert found.answers["key of b"].usage == {"prompt_tokens": 3}
    assert [*found.requests] == [request("a\ud800"), request("b")]


def test_what_is_read_was_paid_for_by_an_earlier_run(location):
    written(location, ["a"])
    assert recording.read(location).answers["key of a"].earlier


def test_a_request_that_was_made_twice_stands_there_once(location):
    path = written(location, ["a"], ["key of a", "key of a"])
    assert len(path.read_text().splitlines()) == 2


def test_requests_that_others_made_are_left_out(location):
    path = written(location, ["a", "b"], ["key of b"])
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()[1:]] == ["key of b"]


def test_the_order_in_which_requests_were_made_does_not_matter(location):
    texts = written(location, ["a", "b"]).read_bytes(), written(location, ["b", "a"]).read_bytes()
    assert texts[0] == texts[1]


def test_a_recording_that_grew_large_takes_the_place_of_the_plain_one(location, monkeypatch):
    written(location, ["a"])
    monkeypatch.setattr(recording, "LARGE", 300)
    path = written(location, ["a", "b", "c"])
    assert path == location.compressed_recording_file
    assert not location.recording_file.exists()
    assert len(recording.read(location).answers) == 3
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 4


def test_a_recording_that_shrank_takes_the_place_of_the_large_one(location, monkeypatch):
    monkeypatch.setattr(recording, "LARGE", 1)
    written(location, ["a"])
    monkeypatch.undo()
    assert written(location, ["a"]) == location.recording_file
    assert not location.compressed_recording_file.exists()


@pytest.mark.parametrize("name", ["SOME_API_KEY", "github_token", "A_SECRET", "DB_PASSWORD"])
def test_a_secret_of_the_environment_is_refused_by_its_name(location, monkeypatch, name):
    monkeypatch.setenv(name, "what is secret")
    with pytest.raises(PromptFileError, match=f"environment variable {name}, so nothing was"):
        written(location, ["tell me what is secret"])
    assert not location.recording_file.exists()


def test_short_values_and_other_variables_are_no_secrets(location, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "none")
    monkeypatch.setenv("SOME_NAME", "what is public")
    assert written(location, ["none knows what is public"]).exists()


def test_the_nearest_recorded_request_is_shown_beside_a_new_one(location):
    written(location, ["Another thing", "Sort the text:\ngood", "Zebras are striped"])
    told = recording.read(location).asked_anew([request("Sort this text:\ngood")], 5)
    head, *lines = told.splitlines()
    assert head.startswith("the code now asks something else: 1 of 5 runs ask what is not in")
    changed = [line.strip() for line in lines if line.strip()[0] in "+-"]
    assert changed == ["-Sort the text:", "+Sort this text:"]


def test_where_everything_is_recorded_there_is_nothing_to_say(location):
    written(location, ["a"])
    assert recording.read(location).asked_anew([], 5) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a recording"),
        ("{}\n", "first line is not that of a recording"),
        ('{"format": 9}\n', "format 9 is newer.*upgrade"),
        ('{"format": 1}\n{"key": 3}\n', "is not a recording"),
    ],
)
def test_a_broken_recording_is_named_with_the_remedy(location, text, message):
    location.recording_file.write_text(text)
    with pytest.raises(PromptFileError, match=rf"sorter\.responses\.jsonl: .*{message}") as caught:
        recording.read(location)
    assert "--mipro-record" in str(caught.value) or "upgrade" in str(caught.value)
