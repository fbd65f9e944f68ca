"""Stands in the way of the real package, for tests that must not need it."""

raise ImportError("the embedded LM was asked for")
