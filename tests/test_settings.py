"""The one precedence rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mipro.errors import SettingsError
from pytest_mipro.settings import resolve

PLACES = ("command_line", "marker", "call", "ini")


@given(st.dictionaries(st.sampled_from(PLACES), st.integers(0, 99)))
def test_the_first_place_that_speaks_wins(given_seeds):
    expected = next((given_seeds[place] for place in PLACES if place in given_seeds), 0)
    settings = resolve(**{place: {"seed": seed} for place, seed in given_seeds.items()})
    assert settings.seed == expected


def test_none_says_nothing():
    assert resolve(command_line={"seed": None}, ini={"seed": 4}).seed == 4


def test_numbers_may_come_as_text():
    settings = resolve(ini={"threads": "3", "threshold": "0.5"})
    assert (settings.threads, settings.threshold) == (3, 0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 80),
        ("threshold", -0.1),
        ("threshold", True),
        ("threshold", float("nan")),
        ("threads", 2.5),
        ("threads", 0),
        ("auto", "extreme"),
        ("name", 7),
        ("seed", "x"),
    ],
)
def test_a_bad_value_names_setting_value_and_place(name, value):
    with pytest.raises(SettingsError) as caught:
        resolve(marker={name: value}, where="test_x")
    assert f"{name}={value!r} in @pytest.mark.mipro on test_x: must be" in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(SettingsError, match="unknown setting 'treads'.*threads"):
        resolve(call={"treads": 2})
