"""The example's programs on the embedded LM: held-out gain at equal LM calls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy

from benchmarks.gains import quiet
from pytest_mipro import MIPRO, PlainAdapter, embedded_lm
from pytest_mipro.outcome import means_over
from pytest_mipro.prompts import prompts_of
from pytest_mipro.scoring import Scorer

EXAMPLE = Path(__file__).resolve().parent.parent / "example_project"


def measure(seed: int = 0) -> Iterator[str]:
    """The lines of a table, as they come: calls, and the score on held-out tickets before and
    after."""
    sys.path.insert(0, str(EXAMPLE))
    from triage.data import load_split
    from triage.metric import exact_route, exact_team
    from triage.program import Route, Triage

    train, val, test = (load_split(name) for name in ("train", "val", "test"))
    yield f"\nembedded LM, {len(test)} held-out tickets, seed {seed}"
    yield f"  {'':34s}{'calls':>7s}{'before':>8s}{'after':>8s}{'gain':>8s}{'of peer':>9s}"
    lm = embedded_lm()
    for program, metric in ((Triage(), exact_team), (Route(), exact_route)):
        with quiet(), dspy.context(lm=lm, adapter=PlainAdapter()):
            before = _score(program, metric, test, lm)
            peer, peer_calls = _peer(program, metric, train, val, lm, seed)
            ours, calls = _ours(program, metric, train, val, f"{peer_calls}calls", seed)
            gains = [_score(compiled, metric, test, lm) - before for compiled in (peer, ours)]
        name = type(program).__name__
        for who, made, gain in zip(
            ("dspy.MIPROv2 light", "ours"), (peer_calls, calls), gains, strict=True
        ):
            of_peer = f"{gain / gains[0]:9.2f}" if gains[0] > 0 else "        -"
            yield (
                f"  {name + ', ' + who:34s}{made:7d}{before:8.2f}{before + gain:8.2f}"
                f"{100 * gain:+8.1f}{of_peer}"
            )
    lm.engine.close()


class _Counting:
    """An engine that counts what it is asked."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.calls = 0

    def complete(self, request: Any) -> Any:
        self.calls += 1
        return self._engine.complete(request)


def _peer(
    program: Any, metric: Callable[..., Any], train: Any, val: Any, lm: Any, seed: int
) -> tuple[Any, int]:
    engine = _Counting(lm.engine)
    with dspy.context(lm=lm.copy(engine=engine)):
        optimizer = dspy.MIPROv2(
            metric=metric,
            auto="light",
            num_threads=8,
            seed=seed + 1,
            prompt_model=dspy.settings.lm,
            task_model=dspy.settings.lm,
        )
        return optimizer.compile(program, trainset=train, valset=val), engine.calls


def _ours(
    program: Any, metric: Callable[..., Any], train: Any, val: Any, budget: str, seed: int
) -> tuple[Any, int]:
    optimizer = MIPRO(metric=metric, budget=budget, num_threads=8, seed=seed)
    compiled = optimizer.compile(program, trainset=train, valset=val)
    return compiled, compiled.mipro.usage.total_calls


def _score(program: Any, metric: Callable[..., Any], test: Any, lm: Any) -> float:
    with Scorer(program, metric, lm=lm, adapter=PlainAdapter(), threads=8) as scorer:
        return means_over(scorer.score(prompts_of(program), test, kind="test"))
