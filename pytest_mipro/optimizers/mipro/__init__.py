"""MIPROv2, in three phases: bootstrap, propose, search."""
