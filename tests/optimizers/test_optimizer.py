"""The three phases in one run: who goes first, who gets what, and what is not asked again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted import (
    Pipeline,
    Sorter,
    answer_right,
    exact,
    examples,
    learns_from_demos,
    scripted_lm,
)

from pytest_mipro.lm.store import ResponseStore
from pytest_mipro.optimizers.mipro.demosets import DemoLimits
from pytest_mipro.optimizers.mipro.effort import Effort
from pytest_mipro.optimizers.mipro.optimizer import optimize
from pytest_mipro.prompts import prompts_of
from pytest_mipro.scoring import Scorer

LIMITS = DemoLimits(4, 4)


class NotingScorer(Scorer):
    """Notes which runs are to go after others: their prompts, and after how many."""

    def submit(self, prompts, example, *, kind, after=0):
        if after:
            self.__dict__.setdefault("last", []).append((prompts, after))
        return super().submit(prompts, example, kind=kind, after=after)


def optimized(scorer, *, effort=None, calls=120, valset=20):
    return optimize(
        scorer,
        examples(20),
        examples(valset, 1000),
        effort=effort or Effort.within(calls, len(scorer.program.predictors()), LIMITS),
        limits=LIMITS,
        seed=0,
    )


def test_the_seed_prompts_first_examples_go_after_all_of_bootstrapping_and_proposing():
    with NotingScorer(Sorter(), exact, lm=scripted_lm(answer_right), threads=4) as scorer:
        optimized(scorer)
        calls = scorer.meter.usage.calls
        assert len(scorer.last) >= 5
        for prompts, after in scorer.last:
            assert prompts == prompts_of(Sorter())
            assert after > calls["bootstrap"] + calls["propose"]


def test_the_calls_of_each_phase_are_counted_as_such():
    lm = scripted_lm(learns_from_demos)
    with Scorer(Pipeline(), exact, lm=lm, threads=4) as scorer:
        usage = optimized(scorer, calls=200).usage
    texts = [asked.field("text") for asked in lm.engine.asked]
    validation = {example.text for example in examples(20, 1000)}
    search = sum(text in validation for text in texts)
    propose = texts.count("")
    bootstrap = len(texts) - search - propose
    assert usage.calls == {"bootstrap": bootstrap, "propose": propose, "search": search}
    assert min(usage.calls.values()) > 0


def test_bootstrapping_gets_no_more_than_its_share_of_the_calls():
    with Scorer(Sorter(), lambda e, p: False, lm=scripted_lm(), threads=4) as scorer:
        usage = optimized(scorer, calls=200).usage
    assert 0 < usage.calls["bootstrap"] <= 0.15 * 200


def test_no_more_validation_examples_are_met_than_the_effort_says():
    lm = scripted_lm()
    effort = replace(Effort.within(120, 1, LIMITS), val_size=7)
    with Scorer(Sorter(), exact, lm=lm, threads=4) as scorer:
        optimized(scorer, effort=effort, valset=60)
    texts = {asked.field("text") for asked in lm.engine.asked} - {""}
    assert len(texts & {example.text for example in examples(60, 1000)}) == 7


@pytest.mark.parametrize("program", [Sorter, Pipeline])
def test_a_run_that_is_begun_again_asks_nothing_again(program, tmp_path):
    results, lms = [], [scripted_lm(), scripted_lm()]
    for lm in lms:
        store = ResponseStore(tmp_path / "responses.sqlite3")
        with Scorer(program(), exact, lm=lm, threads=4, store=store) as scorer:
            results.append(optimized(scorer))
        store.close()
    first, second = results
    assert len(lms[0].engine.asked) > 50
    assert lms[1].engine.asked == []
    assert second.prompts == first.prompts
    assert second.search == first.search
    assert (first.usage.reused, second.usage.reused) == (0, second.usage.total_calls)
    assert second.usage.calls == first.usage.calls
