"""One frozen ``Settings`` and the one precedence rule.

Every setting is a field of :class:`Settings`, and its metadata says all there is to say of it:
its type, its bounds, its help text and whether it has a command line option. The plugin makes
options and ini entries from the same table, so the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

from pytest_mipro.errors import SettingsError

Auto = Literal["light", "medium", "heavy"]
Stale = Literal["fail", "warn", "ignore"]
Sampler = Literal["outcomes", "tpe"]
Adapter = Literal["chat", "json", "xml", "plain"]


# Every pytest start pays for these classes, so they have no more methods than they need.
@dataclass(frozen=True, eq=False, repr=False)
class Rule:
    """What a setting accepts.

    Attributes:
        kind: the type of its value.
        help: one line for ``--help`` and the docs.
        choices: the allowed values, where there is a list of them.
        low, high: the allowed range of a number, both ends included.
        cli: whether there is a command line option of that name.
        ini: whether there is an ini entry of that name.
        per_test: whether a marker or a call may give it.
        check: raises a SettingsError that says what is wrong with a value of the right type.
        hint: added to the error, for a mistake that is often made.
        metavar: what ``--help`` calls the value.
    """

    kind: type
    help: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    cli: bool = False
    ini: bool = True
    per_test: bool = True
    hint: str = ""
    check: Callable[[Any], object] | None = None
    metavar: str = "N"


def _budget(value: str) -> object:
    from pytest_mipro.budget import calls_of

    return calls_of(value)


def _setting(default: Any, rule: Rule) -> Any:
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, eq=False, repr=False)
class Settings:
    """All settings of one test, after the precedence rule has been applied.

    Scores, thresholds and intervals are on the metric's own scale, 0 to 1.
    """

    threshold: float | None = _setting(
        None,
        Rule(
            float,
            "the mean score that the committed prompts must reach, 0 to 1",
            low=0.0,
            high=1.0,
            hint="scores are on the metric's own scale; for 80 per cent write 0.80",
        ),
    )
    max_drop: float = _setting(
        0.0,
        Rule(
            float,
            "how far the score may fall below the recorded one without being a regression, 0 to 1",
            low=0.0,
            high=1.0,
            hint="scores are on the metric's own scale; for 2 points write 0.02",
        ),
    )
    significance: float = _setting(
        0.05,
        Rule(
            float,
            "p-value below which a drop is a regression: the share of false alarms",
            low=0.0,
            high=0.5,
        ),
    )
    repeats: int = _setting(
        1,
        Rule(
            int,
            "evaluations per example; an example's score is their mean",
            low=1,
            high=100,
            cli=True,
        ),
    )
    recorded_repeats: int | None = _setting(
        None,
        Rule(
            int,
            "evaluations per example when scores are recorded, so that every later gate sees "
            "more (default: 3 where the LM's temperature is not 0, else as repeats)",
            low=1,
            high=100,
        ),
    )
    auto: Auto = _setting(
        "light",
        Rule(str, "search effort", choices=("light", "medium", "heavy"), cli=True),
    )
    budget: str | None = _setting(
        None,
        Rule(
            str,
            "LM calls to optimise within, such as 400calls (default: as auto says)",
            cli=True,
            check=_budget,
            metavar="LIMIT",
        ),
    )
    sampler: Sampler = _setting(
        "outcomes",
        Rule(
            str,
            "what proposes configurations: ours, which learns from each example's outcome, or "
            "Optuna's TPE",
            choices=("outcomes", "tpe"),
            cli=True,
        ),
    )
    threads: int = _setting(8, Rule(int, "LM calls under way at once", low=1, high=1024, cli=True))
    seed: int = _setting(0, Rule(int, "randomness of splits and search", low=0, cli=True))
    stale: Stale = _setting(
        "fail",
        Rule(
            str,
            "what a prompt file that no longer fits its program, metric or data gets",
            choices=("fail", "warn", "ignore"),
            cli=True,
        ),
    )
    lm: str = _setting(
        "",
        Rule(
            str,
            "the task LM: 'embedded', or a model name that dspy.LM understands; "
            "used when dspy.settings.lm is not set",
            per_test=False,
        ),
    )
    prompt_lm: str = _setting(
        "", Rule(str, "the LM that proposes instructions (default: the task LM)", per_test=False)
    )
    lm_api_base: str = _setting(
        "", Rule(str, "the URL of an OpenAI-compatible server for both LMs", per_test=False)
    )
    adapter: Adapter | None = _setting(
        None,
        Rule(
            str,
            "how DSPy writes prompts; 'plain' is the completion format for small models "
            "(default: plain for the embedded LM, else DSPy's own choice)",
            choices=("chat", "json", "xml", "plain"),
        ),
    )
    prompt_dir: str = _setting(
        "prompts", Rule(str, "folder of the prompt files, relative to the test file")
    )
    prompt_file: str | None = _setting(
        None, Rule(str, "path of the prompt file, relative to the test file", ini=False)
    )
    name: str | None = _setting(None, Rule(str, "name of the prompt file without .yaml", ini=False))
    num_candidates: int | None = _setting(
        None,
        Rule(int, "instructions and demo sets per predictor (default: as auto says)", low=1),
    )
    num_trials: int | None = _setting(
        None, Rule(int, "search trials (default: as auto says)", low=1)
    )
    minibatch_size: int | None = _setting(
        None, Rule(int, "examples in a trial (default: as auto says)", low=1)
    )
    max_bootstrapped_demos: int = _setting(
        4, Rule(int, "most demos made by running the program, per predictor", low=0)
    )
    max_labeled_demos: int = _setting(
        4, Rule(int, "most demos taken from labeled examples, per predictor", low=0)
    )
    metric_threshold: float | None = _setting(
        None, Rule(float, "score from which a trace becomes a demo (default: the metric says True)")
    )

    optimize: bool = _setting(
        False,
        Rule(
            bool,
            "optimise the prompts of the selected mipro tests, write prompt files, then gate",
            cli=True,
            per_test=False,
        ),
    )
    plan: bool = _setting(
        False,
        Rule(
            bool,
            "say whether optimising is worth it and what it takes; asks no LM",
            cli=True,
            per_test=False,
        ),
    )
    fresh: bool = _setting(
        False,
        Rule(
            bool,
            "with --mipro-optimize: ask the LM anew, and forget what earlier runs paid for",
            cli=True,
            per_test=False,
        ),
    )
    update_baseline: bool = _setting(
        False,
        Rule(
            bool,
            "accept today's scores, code and data as those that the prompts are valid for",
            cli=True,
            per_test=False,
        ),
    )
    record: bool = _setting(
        False,
        Rule(
            bool,
            "write the gate's LM requests and responses beside the prompt file",
            cli=True,
            per_test=False,
        ),
    )
    replay: bool = _setting(
        False,
        Rule(
            bool,
            "answer from the recording only: no key, no network",
            cli=True,
            per_test=False,
        ),
    )
    fast: bool = _setting(
        False,
        Rule(bool, "stop scoring as soon as the verdict is settled", cli=True),
    )


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

RULES: Mapping[str, Rule] = {f.name: f.metadata["rule"] for f in fields(Settings)}


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
        known = sorted(n for n, r in RULES.items() if r.per_test or not per_test)
        raise SettingsError(
            f"unknown setting {name!r} in {source}; the settings are: {', '.join(known)}"
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
    if rule.check is not None:
        try:
            rule.check(converted)
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


def with_rules() -> Iterable[tuple[Field[Any], Rule]]:
    """Every setting with its rule, in the order of the class."""
    return [(f, f.metadata["rule"]) for f in fields(Settings)]
