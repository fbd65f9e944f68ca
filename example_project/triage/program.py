"""The programs that the application runs."""

from typing import Literal

import dspy

Team = Literal["payment", "software", "delivery", "login"]
Urgency = Literal["high", "low"]


class PickTeam(dspy.Signature):
    """Decide which team answers the support ticket."""

    ticket: str = dspy.InputField()
    team: Team = dspy.OutputField()


class PickUrgency(dspy.Signature):
    """Decide how urgent the support ticket is."""

    ticket: str = dspy.InputField()
    team: Team = dspy.InputField()
    urgency: Urgency = dspy.OutputField()


class Triage(dspy.Module):
    """Sort a ticket by team."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = dspy.Predict(PickTeam)

    def forward(self, ticket: str) -> dspy.Prediction:
        return self.classify(ticket=ticket)


class Route(dspy.Module):
    """Sort a ticket by team, then say how urgent it is for that team."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = dspy.Predict(PickTeam)
        self.prioritise = dspy.Predict(PickUrgency)

    def forward(self, ticket: str) -> dspy.Prediction:
        team = self.classify(ticket=ticket).team
        urgency = self.prioritise(ticket=ticket, team=team).urgency
        return dspy.Prediction(team=team, urgency=urgency)
