"""What counts as a right answer."""

from typing import Any

import dspy


def exact_team(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    """The right team."""
    return bool(prediction.team == example.team)


def exact_route(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    """The right team and the right urgency: a ticket that is half right is still misrouted."""
    return bool(prediction.team == example.team and prediction.urgency == example.urgency)
