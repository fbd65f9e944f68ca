"""The settings' table: what each is, which values it takes, and where it can be set.

The plugin makes options and ini entries from it, :class:`~pytest_mipro.settings.Settings` its
fields, and the README its table. Every pytest start pays for this room, so it imports nothing.

PYTEST_DONT_REWRITE: there is no assert here to rewrite.
"""

from __future__ import annotations


class Rule:
    """What a setting accepts.

    Attributes:
        kind: the type of its value.
        help: one line for ``--help`` and the docs.
        default: its value where no place says anything.
        default_help: what the default means, where the value does not say it.
        choices: the allowed values, where there is a list of them.
        low, high: the allowed range of a number, both ends included.
        cli: whether there is a command line option of that name.
        ini: whether there is an ini entry of that name.
        per_test: whether a marker or a call may give it.
        hint: added to the error, for a mistake that is often made.
        metavar: what ``--help`` calls the value.
    """

    __slots__ = (
        *("choices", "cli", "default", "default_help", "help", "high", "hint"),
        *("ini", "kind", "low", "metavar", "per_test"),
    )

    def __init__(
        self,
        kind: type,
        help: str,
        *,
        default: object = None,
        default_help: str = "",
        choices: tuple[str, ...] = (),
        low: float | None = None,
        high: float | None = None,
        cli: bool = False,
        ini: bool = True,
        per_test: bool = True,
        hint: str = "",
        metavar: str = "N",
    ) -> None:
        self.kind = kind
        self.help = help
        self.default = default
        self.default_help = default_help
        self.choices = choices
        self.low = low
        self.high = high
        self.cli = cli
        self.ini = ini
        self.per_test = per_test
        self.hint = hint
        self.metavar = metavar


RULES: dict[str, Rule] = {
    "threshold": Rule(
        float,
        "the mean score that the committed prompts must reach, 0 to 1",
        low=0.0,
        high=1.0,
        hint="scores are on the metric's own scale; for 80 per cent write 0.80",
    ),
    "max_drop": Rule(
        float,
        "how far the score may fall below the recorded one without being a regression, 0 to 1",
        default=0.0,
        low=0.0,
        high=1.0,
        hint="scores are on the metric's own scale; for 2 points write 0.02",
    ),
    "significance": Rule(
        float,
        "p-value below which a drop is a regression: the share of false alarms",
        default=0.05,
        low=0.0,
        high=0.5,
    ),
    "repeats": Rule(
        int,
        "evaluations per example; an example's score is their mean",
        default=1,
        low=1,
        high=100,
        cli=True,
    ),
    "recorded_repeats": Rule(
        int,
        "evaluations per example when scores are recorded, so that every later gate sees more",
        default_help="3 where the LM's temperature is not 0, else as repeats",
        low=1,
        high=100,
    ),
    "auto": Rule(
        str, "search effort", default="light", choices=("light", "medium", "heavy"), cli=True
    ),
    "budget": Rule(
        str,
        "LM calls to optimise within, such as 400calls",
        default_help="as auto says",
        cli=True,
        metavar="LIMIT",
    ),
    "sampler": Rule(
        str,
        "what proposes configurations: ours, which learns from each example's outcome, or "
        "Optuna's TPE",
        default="outcomes",
        choices=("outcomes", "tpe"),
        cli=True,
    ),
    "threads": Rule(int, "LM calls under way at once", default=8, low=1, high=1024, cli=True),
    "seed": Rule(int, "randomness of splits and search", default=0, low=0, cli=True),
    "stale": Rule(
        str,
        "what a prompt file that no longer fits its program, metric or data gets",
        default="fail",
        choices=("fail", "warn", "ignore"),
        cli=True,
    ),
    "lm": Rule(
        str,
        "the task LM: 'embedded', or a model name that dspy.LM understands; used when "
        "dspy.settings.lm is not set",
        default="",
        per_test=False,
    ),
    "prompt_lm": Rule(
        str,
        "the LM that proposes instructions",
        default_help="the task LM",
        default="",
        per_test=False,
    ),
    "lm_api_base": Rule(
        str, "the URL of an OpenAI-compatible server for both LMs", default="", per_test=False
    ),
    "adapter": Rule(
        str,
        "how DSPy writes prompts; 'plain' is the completion format for small models",
        default_help="plain for the embedded LM, else DSPy's own choice",
        choices=("chat", "json", "xml", "plain"),
    ),
    "prompt_dir": Rule(
        str, "folder of the prompt files, relative to the test file", default="prompts"
    ),
    "prompt_file": Rule(str, "path of the prompt file, relative to the test file", ini=False),
    "name": Rule(
        str, "name of the prompt file without .yaml", default_help="the test's name", ini=False
    ),
    "num_candidates": Rule(
        int, "instructions and demo sets per predictor", default_help="as auto says", low=1
    ),
    "num_trials": Rule(int, "search trials", default_help="as auto says", low=1),
    "minibatch_size": Rule(int, "examples in a trial", default_help="as auto says", low=1),
    "max_bootstrapped_demos": Rule(
        int, "most demos made by running the program, per predictor", default=4, low=0
    ),
    "max_labeled_demos": Rule(
        int, "most demos taken from labeled examples, per predictor", default=4, low=0
    ),
    "metric_threshold": Rule(
        float, "score from which a trace becomes a demo", default_help="the metric says True"
    ),
    "optimize": Rule(
        bool,
        "optimise the prompts of the selected mipro tests, write prompt files, then gate",
        default=False,
        cli=True,
        per_test=False,
        ini=False,
    ),
    "plan": Rule(
        bool,
        "say whether optimising is worth it and what it takes; asks no LM",
        default=False,
        cli=True,
        per_test=False,
        ini=False,
    ),
    "fresh": Rule(
        bool,
        "with --mipro-optimize: ask the LM anew, and forget what earlier runs paid for",
        default=False,
        cli=True,
        per_test=False,
        ini=False,
    ),
    "update_baseline": Rule(
        bool,
        "accept today's scores, code and data as those that the prompts are valid for",
        default=False,
        cli=True,
        per_test=False,
    ),
    "record": Rule(
        bool,
        "write the gate's LM requests and responses beside the prompt file",
        default=False,
        cli=True,
        per_test=False,
    ),
    "replay": Rule(
        bool,
        "answer from the recording only: no key, no network",
        default=False,
        cli=True,
        per_test=False,
    ),
    "fast": Rule(bool, "stop scoring as soon as the verdict is settled", default=False, cli=True),
}
