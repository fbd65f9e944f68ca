"""Sorts support tickets by team and urgency."""

from triage.data import load_split
from triage.metric import exact_route, exact_team
from triage.program import Route, Triage

__all__ = ["Route", "Triage", "exact_route", "exact_team", "load_split"]
