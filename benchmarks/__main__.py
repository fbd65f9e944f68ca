"""Run the benchmarks: ``python -m benchmarks [part ...]``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator

from benchmarks import gains, gates, latency, scoring, verdicts
from benchmarks.landscapes import LANDSCAPES


def main() -> None:
    """Run the parts that the command line names, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all without any")
    parser.add_argument("--seeds", type=int, default=24, help="tasks of each kind (default 24)")
    parser.add_argument("--first-seed", type=int, default=0, help="other tasks (default 0)")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    for part in options.parts or PARTS:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        for lines in PARTS[part](seeds):
            print(lines, flush=True)  # noqa: T201


def _gains(seeds: range) -> Iterator[str]:
    budgets = ("400calls", "1000calls", "2478calls")
    runs = gains.run_all(
        list(LANDSCAPES), (2,), seeds, budgets, ("outcomes", "tpe"), processes=_processes()
    )
    yield gains.report(runs)


def _predictors(seeds: range) -> Iterator[str]:
    runs = gains.run_all(
        ("additive", "interacting"),
        (1, 4),
        seeds,
        ("400calls", "1600calls"),
        ("outcomes",),
        processes=_processes(),
    )
    yield gains.report(runs)


def _latency(seeds: range) -> Iterator[str]:
    yield latency.measure((1, 4, 16, 64), ("400calls", "2478calls"), seeds[:1])


def _scoring(seeds: range) -> Iterator[str]:
    yield scoring.overhead((500, 2_000, 20_000))
    yield scoring.memory()


def _verdicts(seeds: range) -> Iterator[str]:
    yield verdicts.alarms()
    yield verdicts.fast()


def _gates(seeds: range) -> Iterator[str]:
    yield gates.replay()
    yield gates.start_up()


def _embedded(seeds: range) -> Iterator[str]:
    from benchmarks import embedded

    yield from embedded.measure(seeds[0])


def _processes() -> int:
    return os.cpu_count() or 1


PARTS: dict[str, Callable[[range], Iterator[str]]] = {
    "gains": _gains,
    "predictors": _predictors,
    "latency": _latency,
    "scoring": _scoring,
    "verdicts": _verdicts,
    "gates": _gates,
    "embedded": _embedded,
}

if __name__ == "__main__":
    main()
