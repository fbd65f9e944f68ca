"""What optimising and gating will take: LM calls by kind, tokens and cost, without asking an LM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mipro.lm.seam import token_prices
from pytest_mipro.optimizers.mipro.effort import effort_of
from pytest_mipro.prompts import Demo, labeled_demos
from pytest_mipro.settings import Settings
from pytest_mipro.task import PromptTask

CHARACTERS_A_TOKEN = 4.0  # of English text, roughly, for most tokenizers
MARKER_TOKENS = 12  # around an output field
FREE_TEXT_TOKENS = 60  # of an output field that the examples have no labels for
PROPOSAL_TOKENS = (1500, 200)  # of a request for an instruction, and of the answer
FORMATTED = 20  # examples whose prompts are measured


@dataclass(frozen=True)
class Estimate:
    """What a run will take, at most for calls and roughly for the rest.

    Attributes:
        calls: LM calls of optimising, by kind.
        gate_calls: LM calls of a gate.
        prompt_tokens, completion_tokens: of optimising.
        gate_tokens: prompt and completion tokens of a gate.
        usd, gate_usd: cost at list prices; None where DSPy knows none.
        lm: the model that the price is of.
    """

    calls: Mapping[str, int]
    gate_calls: int
    prompt_tokens: int
    completion_tokens: int
    gate_tokens: tuple[int, int]
    usd: float | None
    gate_usd: float | None
    lm: str

    @property
    def total_calls(self) -> int:
        """LM calls of optimising, of all kinds."""
        return sum(self.calls.values())


def estimate(
    task: PromptTask,
    settings: Settings,
    *,
    recorded: int,
    committed: bool,
    lm: Any,
    adapter: Any,
) -> Estimate:
    """Work out what a run will take.

    Args:
        task: program and data.
        settings: of the test.
        recorded: evaluations per example for the scores to compare with later.
        committed: whether there are prompts to compare with.
        lm: the task LM; its name alone is used.
        adapter: how prompts are written; None for DSPy's default.
    """
    predictors = task.program.named_predictors()
    effort, limits = effort_of(settings, len(predictors))
    once = len(task.split.gate[1]) * len(predictors)
    scored = once * settings.repeats
    bootstrap = effort.bootstrap_calls if limits.bootstrapped else 0
    propose = 2 + len(predictors) * (effort.instructions - 1) if effort.instructions > 1 else 0
    calls = {
        "bootstrap": bootstrap,
        "propose": propose,
        "search": max(0, effort.calls - bootstrap - propose),
        "baseline": scored,
        "confirm": once * ((settings.repeats if committed else 0) + recorded),
    }
    bare, full = (
        [_tokens(predictor, task, demos, adapter) for _, predictor in predictors]
        for demos in (0, (limits.most + 1) // 2)
    )
    program_runs = (calls["bootstrap"] + calls["search"] + calls["confirm"]) / len(predictors)
    prompt = program_runs * _sum(full, 0) + scored / len(predictors) * _sum(bare, 0)
    answers = (program_runs + scored / len(predictors)) * _sum(full, 1)
    prompt, answers = prompt + propose * PROPOSAL_TOKENS[0], answers + propose * PROPOSAL_TOKENS[1]
    gate = tuple(round(scored / len(predictors) * _sum(full, part)) for part in (0, 1))
    name = str(getattr(lm, "model", "")) or "an LM without a name"
    return Estimate(
        calls={kind: count for kind, count in calls.items() if count},
        gate_calls=scored,
        prompt_tokens=round(prompt),
        completion_tokens=round(answers),
        gate_tokens=(gate[0], gate[1]),
        usd=_price(name, prompt, answers),
        gate_usd=_price(name, *gate),
        lm=name,
    )


def _tokens(predictor: Any, task: PromptTask, demos: int, adapter: Any) -> tuple[float, float]:
    """Prompt and completion tokens of one call, on average over some examples."""
    import dspy

    adapter = adapter or dspy.settings.adapter or dspy.ChatAdapter()
    signature = predictor.signature
    shown = [_demo(demo) for demo in labeled_demos(signature, task.split.train[:FORMATTED])][:demos]
    prompts, answers = [], []
    for example in task.split.gate[1][:FORMATTED]:
        inputs = {name: example.get(name, "...") for name in signature.input_fields}
        messages = adapter.format(signature, shown, inputs)
        prompts.append(sum(_length(message["content"]) for message in messages))
        answers.append(sum(_answer_tokens(example, name) for name in signature.output_fields))
    return _mean(prompts) / CHARACTERS_A_TOKEN, _mean(answers)


def _demo(demo: Demo) -> dict[str, Any]:
    return {**demo.inputs, **demo.outputs}


def _length(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(len(str(part.get("text", ""))) for part in content)


def _answer_tokens(example: Any, name: str) -> float:
    if name not in example:
        return FREE_TEXT_TOKENS + MARKER_TOKENS
    return len(str(example[name])) / CHARACTERS_A_TOKEN + MARKER_TOKENS


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _sum(tokens: Sequence[tuple[float, float]], part: int) -> float:
    return sum(pair[part] for pair in tokens)


def _price(model: str, prompt: float, completion: float) -> float | None:
    """List price in US dollars, as DSPy knows it."""
    prices = token_prices(model)
    return None if prices is None else prompt * prices[0] + completion * prices[1]
