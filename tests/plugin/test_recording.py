"""Record a gate's responses, and replay them without an LM."""

from __future__ import annotations

import gzip
import json
import re

import pytest

TEST = """
import pytest
from scripted import *

@pytest.mark.mipro(threshold=0.3)
def test_pipeline(mipro):
    mipro(Pipeline(), metric=exact, trainset=examples(20), valset=examples(20, 100),
          testset=examples({count}, 200))
"""

NEVER = "fails_with(lambda: AssertionError('it was asked'))"
NO_SOCKET = """
import socket

def refused(*args, **kwargs):
    raise AssertionError("a socket was opened")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
"""


@pytest.fixture
def made(project):
    def make(count=10):
        pytester = project(TEST.format(count=count))
        pytester.runpytest("--mipro-optimize", "--mipro-budget=40calls").assert_outcomes(passed=1)
        return pytester

    return make


@pytest.fixture
def recorded(made):
    pytester = made()
    result = pytester.runpytest("--mipro-record")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*recorded in pipeline.responses.jsonl; replay it with*"])
    return pytester


def path_of(pytester):
    return pytester.path / "prompts" / "pipeline.responses.jsonl"


def without_lm(pytester, *, before=""):
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(before + conftest.replace("learns_from_demos", NEVER))
    return pytester


def test_a_replay_gives_the_same_verdict_without_lm_or_network(recorded):
    first = recorded.runpytest()
    score = re.search(r"pipeline *pass *(\S+)", first.stdout.str())[1]
    result = without_lm(recorded, before=NO_SOCKET).runpytest_subprocess("--mipro-replay")
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([rf"pipeline +pass +{re.escape(score)} .* 0 +\d"])


def test_a_replay_notices_a_worse_program(recorded):
    test = (recorded.path / "test_it.py").read_text()
    recorded.makepyfile(
        test_it=test.replace(
            "metric=exact", "metric=lambda e, p, t=None: e.label == p.label and p.sure == 'no'"
        )
    )
    result = without_lm(recorded).runpytest("--mipro-replay", "--mipro-stale=ignore")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*BELOW THRESHOLD: score 0.000*"])


def test_recording_again_changes_no_byte(recorded):
    before = path_of(recorded).read_bytes()
    recorded.runpytest("--mipro-record")
    assert path_of(recorded).read_bytes() == before


def test_a_recording_is_sorted_text_with_a_line_for_each_request(recorded):
    head, *lines = path_of(recorded).read_text().splitlines()
    assert json.loads(head) == {"format": 1, "recording": "pipeline"}
    assert len(lines) == 20
    assert lines == sorted(lines)
    assert set(json.loads(lines[0])) == {"request", "outputs", "usage", "key"}


def test_a_request_that_was_not_recorded_is_shown_beside_the_nearest(recorded):
    prompts = recorded.path / "prompts" / "pipeline.yaml"
    instruction = "Say whether the text is good or bad."
    assert instruction in prompts.read_text()
    prompts.write_text(prompts.read_text().replace(instruction, "Sort the text: good or bad."))
    result = without_lm(recorded).runpytest("--mipro-replay")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*STALE*",
            "*the code now asks something else: 10 of 10 runs ask what is not in "
            "pipeline.responses.jsonl; the first of them, beside the nearest recorded:",
            "*-*Say whether the text is good or bad.",
            "*+*Sort the text: good or bad.",
            "*-> undo the change, or record anew with --mipro-record*",
        ]
    )
    result.stdout.no_fnmatch_line("*it was asked*")


def test_without_a_recording_a_replay_says_how_to_make_one(made):
    result = without_lm(made()).runpytest("--mipro-replay")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*there is no recording to replay*--mipro-record*"])


def test_a_broken_recording_is_named_with_the_remedy(recorded):
    path_of(recorded).write_text("")
    result = without_lm(recorded).runpytest("--mipro-replay")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*pipeline.responses.jsonl: is not a recording*--mipro-record*"])


def test_a_large_recording_is_compressed_and_replayed(made, monkeypatch):
    monkeypatch.setattr("pytest_mipro.files.recording.LARGE", 10_000)
    pytester = made(40)
    pytester.runpytest("--mipro-record").assert_outcomes(passed=1)
    packed = path_of(pytester).with_suffix(".jsonl.gz")
    assert not path_of(pytester).exists()
    assert len(gzip.decompress(packed.read_bytes()).splitlines()) == 81
    without_lm(pytester).runpytest("--mipro-replay").assert_outcomes(passed=1)


def test_a_secret_of_the_environment_is_not_recorded(made, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "text number 203")
    pytester = made()
    result = pytester.runpytest("--mipro-record")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*would hold the value of the environment variable SOME_API_KEY*"])
    assert not path_of(pytester).exists()


def test_nothing_is_recorded_when_the_lm_could_not_be_asked(made):
    pytester = made()
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(
        conftest.replace("learns_from_demos", "fails_with(lambda: ConnectionError('gone'), 3)")
    )
    pytester.runpytest("--mipro-record").stdout.fnmatch_lines(["*nothing was recorded*"])
    assert not path_of(pytester).exists()


def test_embeddings_and_judgements_of_a_metric_are_replayed_too(project):
    test = """
    import pytest
    from scripted import *
    from pytest_mipro import metrics

    asked = []

    def embed(texts):
        if {offline}:
            raise AssertionError("it was asked")
        return [[len(text), 1.0] for text in texts]

    judge = scripted_lm(lambda asked: {{"reasons": "so", "score": "1.0"}}).copy(model="judge/lm")
    similar = metrics.EmbeddingSimilarity("label", dspy.Embedder(embed, caching=False))
    judged = metrics.LMJudge("Right.", judge)

    def both(example, prediction, trace=None):
        return judged(example, prediction).score * similar(example, prediction) > 0.5

    @pytest.mark.mipro(threshold=0.1)
    def test_pipeline(mipro):
        mipro(Pipeline(), metric=both, trainset=examples(20), valset=examples(20, 100),
              testset=examples(10, 200))
    """
    pytester = project(test.format(offline=False))
    pytester.runpytest("--mipro-optimize", "--mipro-budget=40calls").assert_outcomes(passed=1)
    pytester.runpytest("--mipro-record").assert_outcomes(passed=1)
    offline = test.format(offline=True)
    pytester.makepyfile(test_it=offline)
    result = without_lm(pytester).runpytest("--mipro-replay", "--mipro-stale=ignore")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("other", ["--mipro-optimize", "--mipro-record"])
def test_a_replay_excludes_what_needs_the_lm(project, other):
    result = project().runpytest("--mipro-replay", other)
    result.stderr.fnmatch_lines(["*--mipro-replay cannot go together*"])
