"""What a person reads in the terminal: verdicts, the summary table, progress."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_mipro.gate.decision import Comparison
from pytest_mipro.gate.result import GateResult
from pytest_mipro.progress import Progress

MAX_LISTED = 5
COLUMNS = (
    *("name", "lm", "verdict", "score", "interval", "was", "baseline", "threshold"),
    *("calls", "cost", "s"),
)
_OPTIONAL = ("was", "baseline", "cost")
_WORDS = ("name", "lm", "verdict")


def verdict(result: GateResult, *, command: str) -> str:
    """Say what the verdict is, why, and what to do next.

    Args:
        result: of the gate.
        command: the command that runs this test.
    """
    return "\n".join(_WRITERS[result.verdict](result, command)) + _notes(result)


def _missing(result: GateResult, command: str) -> list[str]:
    return [
        f"mipro: {result.name}: MISSING: there is no prompt file {_shown(result.prompt_file)}",
        f"  make it with: {command} --mipro-optimize",
        "  then commit it",
    ]


def _stale(result: GateResult, command: str) -> list[str]:
    return [
        f"mipro: {result.name}: STALE: {_shown(result.prompt_file)} no longer fits:",
        *(f"  - {line}" for line in result.stale),
        f"  fit it anew with: {command} --mipro-optimize",
        "  or undo the change; to score it as it is: --mipro-stale=warn",
    ]


def _below(result: GateResult, command: str) -> list[str]:
    short = (result.threshold or 0.0) - (result.score or 0.0)
    return [
        f"mipro: {result.name}: BELOW THRESHOLD: {_score(result)} on the {result.split}set, "
        f"{_points(short)} below the threshold of {result.threshold:g}",
        *_baseline(result),
        *_errors(result),
        *_examples(result),
        f"  prompt file: {_shown(result.prompt_file)}; if it was edited, undo that;",
        f"  if the program, the LM or the data changed, optimise again: {command} --mipro-optimize",
    ]


def _regressed(result: GateResult, command: str) -> list[str]:
    comparison = result.comparison
    assert comparison is not None
    test = comparison.test
    return [
        f"mipro: {result.name}: REGRESSED: {_score(result)} on the {result.split}set, "
        f"{_points(test.drop)} below the recorded {_number(comparison.recorded_score)} "
        f"({_interval(result.recorded_interval or (0.0, 1.0))})",
        f"  {_counted(comparison)}; if nothing had got worse, so much would be seen with "
        f"probability {test.p_value:.2g} ({test.test}, one-sided; the limit is "
        f"{comparison.significance:g})",
        *_errors(result),
        *_flips(result),
        f"  prompt file: {_shown(result.prompt_file)}; undo what made it worse (prompts, program, "
        "LM), or",
        f"  optimise again: {command} --mipro-optimize",
        f"  or accept the lower score: {command} --mipro-update-baseline",
    ]


def _counted(comparison: Comparison) -> str:
    test, (then, now) = comparison.test, comparison.runs
    if then == now:
        return (
            f"{test.worse} of {comparison.n} examples score less than recorded, {test.better} more"
        )
    # A single run of today is nearly always above or below the mean of several.
    today = "one run" if now == 1 else f"{now} runs"
    return f"{comparison.n} examples were compared, {today} of each today with {then} recorded ones"


def _flips(result: GateResult) -> list[str]:
    comparison = result.comparison
    if comparison is None or not result.flips:
        return []
    lines = ["  the examples that got worse, the worst first:"]
    for flip in result.flips[:MAX_LISTED]:
        lines.append(f"    [{flip.example}] {flip.inputs}")
        lines.append(f"      expected {flip.expected}")
        lines.append(f"      then     {flip.then} (score {flip.then_score:g})")
        lines.append(f"      now      {flip.now} (score {flip.now_score:g})")
    more = comparison.test.worse - min(MAX_LISTED, len(result.flips))
    return [*lines, f"    and {more} more"] if more > 0 else lines


def _cannot_judge(result: GateResult, command: str) -> list[str]:
    lost = sum(result.causes.values())
    return [
        f"mipro: {result.name}: CANNOT JUDGE: the LM could not be asked for {lost} of {result.n} "
        f"{'examples' if lost <= result.n else 'examples (repeats counted)'}, so there is no "
        "verdict on the prompts:",
        *(f"  {count} x {cause}" for cause, count in result.causes.items()),
        "  nothing was scored 0 for it; run again when the LM can be reached",
    ]


def _pass(result: GateResult, command: str) -> list[str]:
    return [f"mipro: {result.name}: pass: {_score(result)} on the {result.split}set"]


_WRITERS = {
    "missing": _missing,
    "stale": _stale,
    "below threshold": _below,
    "regressed": _regressed,
    "cannot judge": _cannot_judge,
    "pass": _pass,
}


def table(results: Sequence[Mapping[str, Any]], *, width: int) -> str:
    """The summary table, one row per result of :func:`row`."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, collapse_padding=True, header_style="")
    columns = columns_of(results)
    for column in columns:
        if column in _WORDS:
            longest = max(len(str(result[column])) for result in results)
            shown.add_column(column, overflow="fold", min_width=min(longest, 15))
        else:
            shown.add_column(column, justify="right", no_wrap=True)
    for result in results:
        shown.add_row(*(str(result[column]) for column in columns))
    stream = io.StringIO()
    Console(file=stream, width=max(width, 60), color_system=None).print(shown)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def columns_of(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that say something: the LM where there are several, and no column of dashes."""
    several = len({result["lm"] for result in results if result["lm"] != "-"}) > 1
    return [
        column
        for column in COLUMNS
        if (column != "lm" or several)
        and (column not in _OPTIONAL or any(result[column] != "-" for result in results))
    ]


def row(result: GateResult) -> dict[str, Any]:
    """The facts of a result as plain values, which can be sent between processes."""
    low_high = result.interval
    return {
        "name": result.name,
        "lm": result.lm or "-",
        "verdict": result.verdict,
        "score": _number(result.score),
        "interval": f"{low_high[0]:.3f}-{low_high[1]:.3f}" if low_high else "-",
        "baseline": _number(result.baseline_score),
        "was": _number(result.recorded_score),
        "threshold": "-" if result.threshold is None else f"{result.threshold:g}",
        "calls": result.usage.total_calls - result.usage.reused,
        "cost": "-" if result.usage.cost is None else f"${result.usage.cost:.4f}",
        "s": f"{result.seconds:.1f}",
        "notes": [*(["optimized in this run"] if result.optimized else []), *result.notes],
    }


def progress(name: str, now: Progress) -> str:
    """One line that says where a run stands."""
    phase = {"confirm": "held-out score", "baseline": "baseline score"}.get(now.phase, now.phase)
    unit = " LM calls" if now.phase in ("search", "finalists") else ""
    parts = [f"mipro {name}: {phase} {now.done}/{now.total}{unit}"]
    if now.score is not None:
        parts.append(f"score {now.score:.3f}")
    if now.best is not None:
        parts.append(f"best {now.best:.3f}")
    parts.append(f"{now.calls} LM calls in all" if unit else f"{now.calls} LM calls")
    parts.append(_clock(now.seconds))
    if now.seconds_left is not None:
        parts.append(f"about {_clock(now.seconds_left)} left in this phase")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _score(result: GateResult) -> str:
    low, high = result.interval or (0.0, 0.0)
    return f"score {_number(result.score)} (95 % interval {low:.3f} to {high:.3f}, n={result.n})"


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} points"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _baseline(result: GateResult) -> list[str]:
    if result.baseline_score is None:
        return []
    ends = f" ({_interval(result.baseline_interval)})" if result.baseline_interval else ""
    return [f"  without optimised prompts it scored {_number(result.baseline_score)}{ends}"]


def _errors(result: GateResult) -> list[str]:
    if not result.errors:
        return []
    lines = ["  scored 0 for an error of the program or an unreadable answer:"]
    lines += [f"    {count} x {cause}" for cause, count in list(result.errors.items())[:MAX_LISTED]]
    return lines


def _examples(result: GateResult) -> list[str]:
    if not result.failures:
        return []
    wrong = sum(score is not None and score < 1.0 for score in result.scores)
    lines = [f"  {wrong} of {result.n} examples are below full marks, the worst first:"]
    for failure in result.failures[:MAX_LISTED]:
        lines.append(f"    [{failure.example}] {failure.inputs}")
        lines.append(f"      expected {failure.expected}")
        lines.append(f"      got      {failure.got} (score {failure.score:g})")
    return lines


def _notes(result: GateResult) -> str:
    return "".join(f"\n  note: {note}" for note in result.notes)


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
