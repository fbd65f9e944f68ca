"""The regression gate of the application's prompts.

``pytest`` checks the committed prompts, ``pytest --mipro-optimize`` searches for better ones.
"""

from typing import Any

import pytest
from triage import Route, Triage, exact_route, exact_team


@pytest.mark.mipro(threshold=0.55)
def test_triage(mipro: Any, splits: dict[str, Any]) -> None:
    result = mipro(Triage(), metric=exact_team, **splits)
    assert result.score > result.baseline_score


@pytest.mark.mipro(threshold=0.45)
def test_route(mipro: Any, splits: dict[str, Any]) -> None:
    result = mipro(Route(), metric=exact_route, **splits)
    assert result.score > result.baseline_score
