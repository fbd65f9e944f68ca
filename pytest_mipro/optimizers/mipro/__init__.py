"""MIPROv2, in three phases: bootstrap, propose, search."""

from pytest_mipro.optimizers.mipro.effort import Effort
from pytest_mipro.optimizers.mipro.optimizer import MIPRO, Compiled, optimize

__all__ = ["MIPRO", "Compiled", "Effort", "optimize"]
