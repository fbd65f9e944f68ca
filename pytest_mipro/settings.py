"""One frozen ``Settings`` and the one precedence rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pytest_mipro.errors import SettingsError
from pytest_mipro.options import RULES, Rule

Auto = Literal["light", "medium", "heavy"]
Stale = Literal["fail", "warn", "ignore"]
Sampler = Literal["outcomes", "tpe"]
Adapter = Literal["chat", "json", "xml", "plain"]

LEAST_CALLS = 20  # of a budget


def _default(name: str) -> Any:
    return RULES[name].default


@dataclass(frozen=True)
class Settings:
    """All settings of one test, after the precedence rule has been applied.

    What each means, and which values it takes, stands in ``options.py``. Scores, thresholds and
    intervals are on the metric's own scale, 0 to 1.
    """

    threshold: float | None = _default("threshold")
    max_drop: float = _default("max_drop")
    significance: float = _default("significance")
    repeats: int = _default("repeats")
    recorded_repeats: int | None = _default("recorded_repeats")
    auto: Auto = _default("auto")
    budget: str | None = _default("budget")
    sampler: Sampler = _default("sampler")
    threads: int = _default("threads")
    seed: int = _default("seed")
    stale: Stale = _default("stale")
    lm: str = _default("lm")
    prompt_lm: str = _default("prompt_lm")
    lm_api_base: str = _default("lm_api_base")
    adapter: Adapter | None = _default("adapter")
    prompt_dir: str = _default("prompt_dir")
    prompt_file: str | None = _default("prompt_file")
    name: str | None = _default("name")
    num_candidates: int | None = _default("num_candidates")
    num_trials: int | None = _default("num_trials")
    minibatch_size: int | None = _default("minibatch_size")
    max_bootstrapped_demos: int = _default("max_bootstrapped_demos")
    max_labeled_demos: int = _default("max_labeled_demos")
    metric_threshold: float | None = _default("metric_threshold")
    optimize: bool = _default("optimize")
    plan: bool = _default("plan")
    fresh: bool = _default("fresh")
    update_baseline: bool = _default("update_baseline")
    record: bool = _default("record")
    replay: bool = _default("replay")
    fast: bool = _default("fast")


EXCLUSIVE = (
    ("plan", "optimize", "a plan comes before optimising, and asks no LM"),
    ("plan", "update_baseline", "a plan asks no LM, so there are no scores to record"),
    ("plan", "record", "a plan asks no LM, so there is nothing to record"),
    ("plan", "replay", "a plan asks no LM, so there is nothing to replay"),
    ("optimize", "update_baseline", "optimising records what the new prompts score"),
    ("optimize", "replay", "optimising needs the LM"),
    ("record", "replay", "a recording is made by asking the LM"),
    ("fast", "optimize", "new prompts are scored on all examples"),
    ("fast", "update_baseline", "all examples must be scored to be recorded"),
    ("fast", "record", "all examples must be scored to be recorded"),
)


def calls_of(budget: str | int) -> int:
    """Read a budget such as ``400calls``.

    Raises:
        SettingsError: it is no number of LM calls.
    """
    found = re.fullmatch(r"([\d_,]+)\s*calls?", str(budget).strip())
    calls = int(re.sub(r"[_,]", "", found[1]) or 0) if found else 0
    if calls < LEAST_CALLS:
        raise SettingsError(
            f"budget={budget!r}: must be a number of LM calls, such as 400calls, and at least "
            f"{LEAST_CALLS}"
        )
    return calls


def resolve(
    *,
    command_line: Mapping[str, Any] | None = None,
    marker: Mapping[str, Any] | None = None,
    call: Mapping[str, Any] | None = None,
    ini: Mapping[str, Any] | None = None,
    where: str = "",
) -> Settings:
    """Apply the precedence rule: command line > marker > call arguments > ini > default.

    Args:
        command_line, marker, call, ini: the settings that each place gives, by name.
            A value of None means that the place says nothing.
        where: named in errors, such as ``"test_triage"``.

    Raises:
        SettingsError: an unknown name or a bad value; the message says which, where,
            and what is allowed.
    """
    chosen: dict[str, Any] = {}
    sources = (
        ("the ini file", ini, False),
        (f"the call in {where}" if where else "the call", call, True),
        (f"@pytest.mark.mipro on {where}" if where else "@pytest.mark.mipro", marker, True),
        ("the command line", command_line, False),
    )
    for source, values, per_test in sources:
        for name, value in (values or {}).items():
            checked = check(name, value, source=source, per_test=per_test)
            if checked is not None:
                chosen[name] = checked
    return Settings(**chosen)


def check(name: str, value: Any, *, source: str, per_test: bool = False) -> Any:
    """Return ``value`` in its proper type, or raise a SettingsError that names the setting."""
    rule = RULES.get(name)
    if rule is None:
        names = sorted(n for n, r in RULES.items() if r.per_test or not per_test)
        raise SettingsError(
            f"unknown setting {name!r} in {source}; the settings are: {', '.join(names)}"
        )
    if per_test and not rule.per_test:
        raise SettingsError(
            f"{name} in {source}: is set by ini mipro_{name}, or by the fixtures mipro_lm and "
            "mipro_prompt_lm, and not for a single test"
        )
    if value is None:
        return None
    converted = _convert(value, rule)
    if converted is None or not _in_bounds(converted, rule):
        hint = f" ({rule.hint})" if rule.hint else ""
        raise SettingsError(f"{name}={value!r} in {source}: must be {_allowed(rule)}{hint}")
    if name == "budget":
        try:
            calls_of(converted)
        except SettingsError as error:
            raise SettingsError(f"{source}: {error}") from None
    return converted


def _convert(value: Any, rule: Rule) -> Any:
    if isinstance(value, bool) or rule.kind is bool:
        return value if isinstance(value, bool) and rule.kind is bool else None
    if rule.kind is str:
        return str(value) if isinstance(value, str) or hasattr(value, "__fspath__") else None
    if isinstance(value, (int, float)):
        return rule.kind(value) if rule.kind(value) == value else None
    try:
        return rule.kind(value)
    except (TypeError, ValueError):
        return None


def _in_bounds(value: Any, rule: Rule) -> bool:
    if rule.choices:
        return value in rule.choices
    if rule.kind in (str, bool):
        return True
    return (rule.low is None or value >= rule.low) and (rule.high is None or value <= rule.high)


def _allowed(rule: Rule) -> str:
    if rule.choices:
        return "one of " + ", ".join(rule.choices)
    if rule.kind in (str, bool):
        return "a text" if rule.kind is str else "true or false"
    noun = "a whole number" if rule.kind is int else "a number"
    if rule.low is not None and rule.high is not None:
        return f"{noun} from {rule.low:g} to {rule.high:g}"
    return f"{noun} of at least {rule.low:g}" if rule.low is not None else noun


def refuse_conflicts(settings: Settings) -> None:
    """Raise a SettingsError for flags that contradict each other."""
    for first, second, reason in EXCLUSIVE:
        if getattr(settings, first) and getattr(settings, second):
            raise SettingsError(
                f"{_option(first)} and {_option(second)} cannot go together: {reason}"
            )
    if settings.fresh and not settings.optimize:
        raise SettingsError("--mipro-fresh needs --mipro-optimize: a gate always asks the LM anew")


def _option(name: str) -> str:
    return f"--mipro-{name.replace('_', '-')}"
