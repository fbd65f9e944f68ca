"""Counting what was asked of LMs."""

from __future__ import annotations

from pytest_mipro.lm.usage import UsageMeter


def test_calls_are_counted_by_what_they_were_made_for():
    meter = UsageMeter()
    for kind in ("search", "propose", "search"):
        meter.tracker(kind).add_usage("m", {"prompt_tokens": 10, "completion_tokens": 2})
    assert meter.usage.calls == {"search": 2, "propose": 1}
    assert meter.usage.total_calls == 3
    assert (meter.usage.prompt_tokens, meter.usage.completion_tokens) == (30, 6)


def test_what_an_earlier_run_paid_for_is_among_the_calls_and_told_apart():
    meter = UsageMeter()
    meter.tracker("gate").add_usage("m", {"prompt_tokens": 10})
    meter.add_reused("gate", {"prompt_tokens": 7})
    assert (meter.usage.calls, meter.usage.reused) == ({"gate": 2}, 1)
    assert meter.usage.prompt_tokens == 17


def test_the_cost_is_none_where_no_price_is_known():
    meter = UsageMeter()
    assert meter.usage.cost is None
    meter.add_cost(0.25)
    meter.add_cost(0.5)
    assert meter.usage.cost == 0.75


def test_token_counts_that_are_no_numbers_do_not_count():
    meter = UsageMeter()
    meter.add_tokens({"prompt_tokens": None, "completion_tokens": 3, "prompt_tokens_details": {}})
    assert (meter.usage.prompt_tokens, meter.usage.completion_tokens) == (0, 3)
