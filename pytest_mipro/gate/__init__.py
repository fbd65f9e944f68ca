"""Scores to a verdict: what changed, what the scores say, and what is recorded of them."""
