"""One prompt test, without pytest: what it writes, what it refuses, and what it says."""

from __future__ import annotations

import json
import re

import pytest
from prompted import TEST, Prompted, wrong_on
from scripted import answer_right, examples, fails_with, learns_from_demos, scripted_lm
from scripted_server import ScriptedServer

from pytest_mipro.errors import PromptFileError, TaskError
from pytest_mipro.lm.store import ResponseStore
from pytest_mipro.prompttest import Surroundings
from pytest_mipro.report import facts, terminal

NEVER = scripted_lm(fails_with(lambda: AssertionError("it was asked")))


@pytest.fixture
def prompted(tmp_path):
    return Prompted(tmp_path)


def half(example, prediction, trace=None):
    return 0.5 if example.label == prediction.label else 0.0


# What is missing.


def test_without_a_prompt_file_the_verdict_is_missing_and_no_lm_is_asked(prompted):
    result = prompted.gate(NEVER)
    assert result.verdict == "missing"
    assert result.prompt_file == prompted.location.prompt_file
    assert NEVER.engine.asked == []


def test_without_an_lm_the_remedy_is_named(prompted):
    test = prompted.optimized().prepared()
    with pytest.raises(TaskError, match="no LM is set: configure one.*mipro_lm"):
        test.gate(Surroundings(None))


# What calls cost.


PRICE = 10 * 30e-6 + 2 * 60e-6  # of a call: the server says 10 and 2 tokens


@pytest.fixture
def priced():
    """An LM that DSPy knows the price of."""
    with ScriptedServer() as server:
        yield server.lm().copy(model="openai/gpt-4")


def test_a_gate_says_what_its_calls_cost(prompted, priced):
    result = prompted.optimized().gate(priced)
    assert result.usage.cost == pytest.approx(20 * PRICE)
    assert terminal.row(result)["cost"] == "$0.0084"
    assert facts.of(result)["usd"] == pytest.approx(0.0084)


def test_a_prompt_file_says_what_finding_its_prompts_cost(prompted, priced):
    result = prompted.gate(priced, optimize=True, budget="20calls", num_candidates=1)
    search = prompted.file.search
    assert search["usd"] == pytest.approx(search["lm_calls"]["total"] * PRICE, abs=1e-4)
    assert result.usage.cost == pytest.approx(search["usd"], abs=1e-4)


def test_where_no_price_is_known_nothing_is_said_of_cost(prompted):
    result = prompted.optimized().gate()
    assert result.usage.cost is None
    assert "usd" not in facts.of(result)
    assert "usd" not in prompted.file.search


# What an earlier run paid for.


def test_what_an_earlier_run_paid_for_is_told_and_not_asked_again(prompted, tmp_path):
    path = tmp_path / "store.sqlite3"
    prompted.optimized(store=ResponseStore(path))
    again = prompted.gate(NEVER, optimize=True, budget="20calls", store=ResponseStore(path))
    assert again.verdict == "pass"
    total = again.usage.total_calls
    assert any(
        note.startswith(f"{total} of {total} LM calls were answered") for note in again.notes
    )
    assert terminal.row(again)["calls"] == 0


# Prompts that are committed.


def test_committed_prompts_that_new_ones_only_equal_stay_to_the_byte(prompted):
    before = prompted.optimized().bytes()
    result = prompted.gate(optimize=True, budget="20calls", seed=5)
    assert any(note.startswith("the committed prompts stay") for note in result.notes)
    assert prompted.bytes() == before


def test_a_scores_file_that_vanished_is_written_again_where_the_prompts_stay(prompted):
    before = prompted.optimized().bytes()
    prompted.location.scores_file.unlink()
    prompted.gate(optimize=True, budget="20calls", seed=5)
    assert prompted.bytes() == before


def test_the_recorded_split_is_scored_whatever_the_seed_says_now(prompted):
    cut = {"trainset": examples(40), "valset": None, "testset": None}
    prompted.optimized(**cut, seed=3)
    result = prompted.gate(**cut, seed=8)
    assert (result.verdict, result.notes) == ("pass", ())


# The comparison with recorded scores.


def test_recorded_scores_of_another_metric_are_not_compared_and_that_is_said(prompted):
    result = prompted.optimized().gate(metric=half, stale="ignore")
    assert result.comparison is None
    assert result.notes == ("the recorded scores were not compared: they are of another metric",)


def test_recorded_scores_of_another_split_are_not_compared_and_that_is_said(prompted):
    result = prompted.optimized(testset=None).gate(stale="ignore")
    assert result.comparison is None
    assert result.notes == (
        "the recorded scores were not compared: they are of the valset, the gate scores the "
        "testset",
    )


def test_recorded_scores_of_other_examples_are_not_compared_and_that_is_said(prompted):
    result = prompted.optimized().gate(testset=examples(20, 500), stale="ignore")
    assert result.comparison is None
    assert result.notes == ("the recorded scores were not compared: they are of other examples",)


def test_an_example_that_got_worse_is_shown_with_both_answers(prompted):
    result = prompted.optimized().gate(scripted_lm(wrong_on(1)))
    (flip,) = result.flips
    assert (flip.inputs, flip.expected) == ("text=text number 200", "label=good")
    assert (flip.then, flip.then_score) == ("label=good", 1.0)
    assert (flip.now, flip.now_score) == ("label=bad", 0.0)


# Accepting today's scores.


def test_update_baseline_refuses_a_gate_that_fails(prompted):
    before = prompted.optimized().bytes()
    result = prompted.gate(scripted_lm(wrong_on(15)), update_baseline=True, threshold=0.9)
    assert result.verdict == "below threshold"
    assert result.notes[-1] == "nothing was recorded, as the verdict is not pass on all examples"
    assert prompted.bytes() == before


def test_update_baseline_refuses_a_gate_that_could_not_ask_for_all_examples(prompted):
    before = prompted.optimized().bytes()
    lm = scripted_lm(fails_with(lambda: ConnectionError("gone"), 20))
    result = prompted.gate(lm, update_baseline=True, threshold=0.5)
    assert result.verdict == "pass"
    assert result.notes[-1] == "nothing was recorded, as the verdict is not pass on all examples"
    assert prompted.bytes() == before


def test_update_baseline_refuses_prompts_that_do_not_fit(prompted):
    prompted.optimized().change("  sort:", "  order:")
    before = prompted.bytes()
    result = prompted.gate(NEVER, update_baseline=True)
    assert result.verdict == "stale"
    assert prompted.bytes() == before


def test_update_baseline_accepts_a_lower_score_that_is_no_regression_then(prompted):
    worse = scripted_lm(wrong_on(8))
    assert prompted.optimized().gate(worse).verdict == "regressed"
    result = prompted.gate(worse, update_baseline=True)
    assert (result.verdict, result.notes) == ("pass", ("the recorded scores are today's: 0.600",))
    assert prompted.gate(worse).verdict == "pass"


def test_update_baseline_accepts_a_changed_metric(prompted):
    prompted.optimized().gate(metric=half, update_baseline=True)
    result = prompted.gate(metric=half)
    assert (result.verdict, result.recorded_score) == ("pass", 0.5)


def other_lm(script=answer_right, **settings):
    lm = scripted_lm(script).copy(model="other/model")
    lm.kwargs.update(settings)
    return lm


def test_scores_accepted_with_another_lm_say_with_which(prompted):
    prompted.optimized()
    prompted.gate(other_lm(), update_baseline=True)
    fitted_with = prompted.file.fitted_with
    assert fitted_with["lm"] == "scripted/model"
    assert fitted_with["accepted_with"] == {
        "lm": "other/model",
        "decoding": {"temperature": 0.0},
        "adapter": "ChatAdapter",
    }


def test_scores_accepted_with_the_same_lm_say_nothing_of_it(prompted):
    prompted.optimized().gate(other_lm(), update_baseline=True)
    prompted.gate(update_baseline=True)
    assert "accepted_with" not in prompted.file.fitted_with


def test_an_accepted_lm_is_no_longer_warned_of_and_the_old_one_is(prompted):
    prompted.optimized()
    assert "transfer not guaranteed" in prompted.gate(other_lm()).notes[0]
    prompted.gate(other_lm(), update_baseline=True)
    assert prompted.gate(other_lm()).notes == ()
    assert "transfer not guaranteed" in prompted.gate().notes[0]


# Runs of an LM whose answers vary.


def varying():
    lm = scripted_lm(answer_right)
    lm.kwargs["temperature"] = 0.7
    return lm


def calls_of_update(prompted, lm, **settings):
    prompted.optimized()
    result = prompted.gate(lm, update_baseline=True, **settings)
    return result.usage.total_calls, prompted.scores.repeats


def test_where_answers_vary_scores_are_recorded_of_three_runs(prompted):
    assert calls_of_update(prompted, varying()) == (60, 3)


def test_where_answers_do_not_vary_scores_are_recorded_of_one_run(prompted):
    assert calls_of_update(prompted, scripted_lm(answer_right)) == (20, 1)


def test_recorded_repeats_says_how_many_runs_are_recorded(prompted):
    assert calls_of_update(prompted, varying(), recorded_repeats=2) == (40, 2)


def test_no_fewer_runs_are_recorded_than_a_gate_makes(prompted):
    assert calls_of_update(prompted, varying(), repeats=4) == (80, 4)


# What no longer fits.


def test_a_stale_file_asks_no_lm(prompted):
    result = prompted.optimized().gate(NEVER, metric=half)
    assert (result.verdict, result.usage.total_calls) == ("stale", 0)
    assert result.stale[0].startswith("the code of the metric scripted:exact changed")


def test_under_stale_warn_the_score_decides_and_the_change_is_noted(prompted):
    result = prompted.optimized().gate(metric=half, stale="warn")
    assert (result.verdict, result.score) == ("pass", 0.5)
    assert any(note.startswith("stale: the code of the metric") for note in result.notes)


def test_under_stale_ignore_the_change_is_not_noted(prompted):
    result = prompted.optimized().gate(metric=half, stale="ignore")
    assert result.verdict == "pass"
    assert not any(note.startswith("stale: ") for note in result.notes)


def test_another_adapter_is_stale(prompted):
    result = prompted.optimized().gate(NEVER, adapter="json")
    assert result.verdict == "stale"
    assert result.stale[0].startswith("the adapter was ChatAdapter, now it is JSONAdapter")


# What else a reader should know.


def test_an_example_in_two_splits_is_noted(prompted):
    both = [*TEST[:-1], *examples(1, 100)]
    result = prompted.optimized(testset=both).gate(testset=both)
    assert result.notes == (
        "leakage: 1 example stands in both valset and testset; remove from one, or the score is "
        "too good",
    )


def test_a_fast_gate_says_what_it_scored_and_saved(prompted):
    many = {"testset": examples(200, 1000)}
    result = prompted.optimized(**many).gate(**many, fast=True, threshold=0.5, max_drop=1.0)
    assert (result.n + result.skipped, len(result.scores)) == (200, result.n)
    assert result.usage.total_calls == result.n < 200
    (note,) = result.notes
    saved = f"{result.skipped / 200:.0%}"
    assert note.startswith(f"fast: scored {result.n} of 200 examples, {saved} of the calls saved; ")


def test_the_baseline_of_the_committed_prompts_is_told(prompted):
    result = prompted.optimized(scripted_lm(learns_from_demos)).gate()
    assert result.baseline_score == prompted.file.scores.baseline.mean < 1.0
    assert result.baseline_interval == tuple(prompted.file.scores.baseline.interval)


def test_a_gate_reports_its_progress_and_optimising_its_phases(prompted):
    seen = []
    prompted.gate(optimize=True, budget="20calls", listener=seen.append)
    phases = list(dict.fromkeys(now.phase for now in seen))
    assert (phases[0], phases[-2:]) == ("baseline", ["confirm", "gate"])
    assert seen[-1].total == len(TEST)
    assert seen[-1].calls == prompted.file.search["lm_calls"]["total"]


# Recordings.


def test_a_replay_asks_nothing_and_gives_the_same_scores(prompted):
    lm = scripted_lm(wrong_on(3))
    first = prompted.optimized().gate(lm, record=True)
    replayed = prompted.gate(NEVER, replay=True)
    assert replayed.scores == first.scores
    assert replayed.usage.reused == replayed.usage.total_calls == 20


def test_a_replay_refuses_an_example_that_was_not_recorded_and_asks_no_lm(prompted):
    prompted.optimized().gate(record=True)
    result = prompted.gate(NEVER, replay=True, testset=examples(20, 201), stale="warn")
    assert result.scores == (*[1.0] * 19, None)
    assert any("1 of 20 runs ask what is not in sorter.resp" in note for note in result.notes)
    assert NEVER.engine.asked == []


def test_a_replay_of_other_prompts_is_stale_and_shows_the_nearest_recorded(prompted):
    prompted.optimized().gate(record=True)
    prompted.change("Say whether the text is good or bad.", "Sort the text.")
    result = prompted.gate(NEVER, replay=True)
    assert result.verdict == "stale"
    text = result.stale[0]
    assert "20 of 20 runs ask what is not in sorter.responses.jsonl" in text
    assert "-        Say whether the text is good or bad." in text
    assert "+        Sort the text." in text


def test_a_recording_is_not_written_when_the_lm_could_not_be_asked_for_all(prompted):
    lm = scripted_lm(fails_with(lambda: ConnectionError("gone"), 20))
    result = prompted.optimized().gate(lm, record=True, threshold=0.5)
    assert result.verdict == "pass"
    assert "nothing was recorded, as the LM could not be asked for all examples" in result.notes
    assert not prompted.location.recording_file.exists()


def test_a_recording_holds_the_requests_of_the_gate_alone(prompted):
    prompted.gate(optimize=True, budget="20calls", record=True)
    head, *lines = prompted.location.recording_file.read_text().splitlines()
    assert json.loads(head) == {"format": 1, "recording": "sorter"}
    assert len(lines) == len(TEST) < len(prompted.requests)


def test_without_a_recording_a_replay_says_how_to_make_one(prompted):
    with pytest.raises(PromptFileError, match="no recording to replay; make it with.*--mipro-rec"):
        prompted.optimized().gate(NEVER, replay=True)


def test_no_key_or_url_is_in_what_is_written_or_stored(prompted, tmp_path):
    store = ResponseStore(tmp_path / "responses.sqlite3", requests=prompted.requests)
    with ScriptedServer() as server:
        lm = server.lm(api_key="sk-hidden")
        result = prompted.gate(lm, optimize=True, record=True, budget="20calls", store=store)
    store.close()
    assert result.verdict == "pass"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".yaml", ".json", ".jsonl", ".sqlite3"}
    for path in written:
        assert not re.search(rb"hidden|127\.0\.0\.1", path.read_bytes()), path
