"""Intervals, against published figures and by their properties."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mipro.statistics import interval


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombe(hits, n, low, high):
    assert interval([1.0] * hits + [0.0] * (n - hits)) == pytest.approx((low, high), abs=5e-5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_mean_lies_inside_and_the_ends_on_the_scale(scores):
    low, high = interval(scores)
    mean = sum(scores) / len(scores)
    assert -1e-9 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1 + 1e-9


def test_graded_scores_are_covered_at_the_stated_rate():
    rng = random.Random(1)
    hits = 0
    for _ in range(200):
        low, high = interval([rng.betavariate(2, 3) for _ in range(40)])
        hits += low <= 0.4 <= high
    assert 180 <= hits <= 199


def test_the_same_scores_give_the_same_interval():
    scores = [0.2, 0.5, 0.7, 0.1, 0.9]
    assert interval(scores) == interval(scores)


def test_no_scores_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        interval([])
