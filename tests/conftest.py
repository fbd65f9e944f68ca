"""Shared fixtures: a scripted LM, and a project that pytester runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import rapidfuzz.process
import scipy.stats
import scripted
from hypothesis import settings
from prompted import python_path

from pytest_mipro import MIPRO, PlainAdapter, prompttest, session
from pytest_mipro.gate import fast
from pytest_mipro.optimizers import fitting
from pytest_mipro.report import facts, github, plan, terminal

# pytester forgets the modules that a run imports, and numpy cannot be imported twice: what the
# runs need stays loaded.
OURS = (MIPRO, PlainAdapter, prompttest, session, fast, fitting, facts, github, plan, terminal)
KEPT_LOADED = (*OURS, np, optuna, rapidfuzz.process, scipy.stats, scripted)

# pytester runs pytest again and again in this process, and each run imports the plugins anew. Where
# Python is told to keep no compiled code, compiling them takes two thirds of the suite's time.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# A test that is slow because the machine is busy has not failed.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

pytest_plugins = ["pytester"]

# DSPy would fetch the newest prices of models, in every process anew; what it ships serves here.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "true"

# Whoever has hypothesis installed would import it anew at the end of each of pytester's runs.
INI = "[pytest]\naddopts = -p no:hypothesispytest\n{more}\n"

CONFTEST = """
import pytest
from scripted import *

@pytest.fixture
def mipro_lm():
    return scripted_lm({script})
"""

TEST = """
import pytest
from scripted import *

@pytest.mark.mipro(threshold={threshold})
def test_sorter(mipro):
    mipro(Sorter(), metric=exact, trainset=examples(20), valset=examples(20, 100),
          testset=examples(20, 200), num_trials=6, num_candidates=4, minibatch_size=10)
"""


@pytest.fixture
def project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.Pytester]:
    """Make a project whose LM is scripted, with one mipro test in it unless told otherwise."""

    monkeypatch.setenv("PYTHONPATH", python_path())

    def make(
        test: str | None = None,
        *,
        script: str = "learns_from_demos",
        threshold: Any = 0.5,
        ini: str = "",
    ) -> pytest.Pytester:
        pytester.syspathinsert(Path(__file__).parent)
        pytester.makeconftest(CONFTEST.format(script=script))
        pytester.makepyfile(test_it=test or TEST.format(threshold=threshold))
        pytester.makeini(INI.format(more=ini))
        return pytester

    return make
