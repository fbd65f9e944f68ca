"""Phase 2: instruction candidates, written by an LM that has been told what there is to know.

Grounded as in MIPRO (Opsahl-Ong et al. 2024, section 3.2) in a summary of the data, a
description of the program and of the predictor's role in it, demos that worked, and a tip that
varies the style.
"""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pytest_mipro.errors import CannotJudge
from pytest_mipro.lm.adapters import adapter_for
from pytest_mipro.optimizers.mipro.guard import Guard
from pytest_mipro.outcome import is_infrastructure
from pytest_mipro.prompts import Demo, Prompts, plain_value
from pytest_mipro.scoring import Scorer

TIPS: Mapping[str, str] = {
    "none": "",
    "plain": "Say it simply, in few words.",
    "detailed": "Describe the task in detail: what comes in, what goes out, how to decide.",
    "careful": "Name the mistakes that are easily made and how to avoid them.",
    "persona": "Begin with the role of an expert who does this for a living.",
    "stakes": "Make clear why a correct answer matters.",
    "criteria": "List what speaks for each possible answer.",
}

MAX_CODE_CHARACTERS = 3000
MAX_FIELD_CHARACTERS = 200
WAVES = 3


@dataclass(frozen=True)
class Grounding:
    """Which signals a proposal is grounded in; the first four are on by default."""

    data: bool = True
    program: bool = True
    demos: bool = True
    tips: bool = True
    view_data: int = 10


@dataclass(frozen=True)
class Proposals:
    """What was proposed.

    Attributes:
        instructions: per predictor, distinct ones; the first is the original.
        calls: LM calls that it took.
    """

    instructions: Mapping[str, Sequence[str]]
    calls: int


class Proposer:
    """Asks for instruction candidates for every predictor, all at once on the pool.

    The data summary and the program description are asked for once each, as soon as the proposer
    is made. An answer that is empty, too long, a repetition, or that gives away a training
    example is dropped and asked for again, with another tip, in at most two further waves.

    Args:
        scorer: gives the pool; its program is described.
        seed_prompts: the prompts to start from.
        trainset: what the summary is made of and leaks are looked for in.
        lm: the LM that writes.
        count: candidates per predictor, the original instruction included.
        seed: randomness.
        grounding: which signals to use.
        temperature: of the LM that writes.
    """

    def __init__(
        self,
        scorer: Scorer,
        seed_prompts: Prompts,
        trainset: Sequence[Any],
        *,
        lm: Any,
        count: int,
        seed: int,
        grounding: Grounding,
        temperature: float,
    ) -> None:
        self._scorer, self._lm, self._count, self._seed = scorer, lm, count, seed
        self._grounding, self._temperature = grounding, temperature
        self._found = {name: [prompt.instructions] for name, prompt in seed_prompts.items()}
        self._rng = random.Random(f"propose-{seed}")
        self._guard = Guard(trainset)
        self._calls = 0
        self._facts = self._ask_facts(trainset) if count > 1 else {}

    def finish(self, demos: Mapping[str, Sequence[Demo]]) -> Proposals:
        """Ask for the instructions and wait for them.

        Args:
            demos: demos that worked, per predictor.

        Raises:
            CannotJudge: the LM could not be asked for any proposal.
        """
        self._scorer.reporter.phase("propose", (self._count - 1) * len(self._found))
        facts = {}
        for name, future in self._facts.items():
            answer, _ = self._scorer.result(future)
            if answer:
                facts[name] = answer.strip()[:1000]
        refusals: list[str] = []
        answered = 0
        for wave in range(WAVES):
            for name, future in self._ask(wave, facts, demos):
                answer, refusal = self._scorer.result(future)
                refusals += [refusal] if refusal else []
                answered += not refusal
                text = self._guard.accept(answer, self._found[name])
                if text:
                    self._found[name].append(text)
                    self._scorer.reporter.step()
        if refusals and not answered:
            raise CannotJudge(
                f"the prompt LM could not be asked for any instruction: {refusals[0]}",
                {refusals[0]: len(refusals)},
            )
        return Proposals(self._found, self._calls)

    def _ask(
        self, wave: int, facts: Mapping[str, str], demos: Mapping[str, Sequence[Demo]]
    ) -> list[tuple[str, Any]]:
        asked = [
            (
                name,
                _Request.make(
                    *(self._scorer.program, name, facts, demos, self._grounding),
                    *(wave, number, self._rng),
                ),
            )
            for name, texts in self._found.items()
            for number in range(len(texts), self._count)
        ]
        return [(name, self._call(request, self._seed)) for name, request in asked]

    def _ask_facts(self, trainset: Sequence[Any]) -> dict[str, Any]:
        asked = {}
        if self._grounding.data:
            size = min(self._grounding.view_data, len(trainset))
            shown = self._rng.sample(list(trainset), size)
            fields = {"examples": "\n".join(_show(dict(example.items())) for example in shown)}
            asked["data_summary"] = _Request(fields, 0)
        if self._grounding.program:
            asked["program_summary"] = _Request({"code": _source(self._scorer.program)}, 0)
        return {name: self._call(request, 0, name) for name, request in asked.items()}

    def _call(self, request: _Request, seed: int, output: str = "instruction") -> Any:
        self._calls += 1
        asking = _asking(request, self._temperature, seed, output)
        adapter = None if self._lm is None else adapter_for(self._lm)
        return self._scorer.call(asking, kind="propose", lm=self._lm, adapter=adapter)


@dataclass(frozen=True)
class _Request:
    """Everything one proposal is asked with."""

    fields: Mapping[str, str]
    rollout: int

    @classmethod
    def make(
        cls,
        program: Any,
        name: str,
        facts: Mapping[str, str],
        demos: Mapping[str, Sequence[Demo]],
        grounding: Grounding,
        wave: int,
        number: int,
        rng: random.Random,
    ) -> _Request:
        signature = dict(program.named_predictors())[name].signature
        fields = {**facts}
        if grounding.program:
            fields["role"] = _role(name, signature)
        shown = list(demos.get(name, ()))
        if grounding.demos and shown:
            sample = rng.sample(shown, min(3, len(shown)))
            fields["worked_examples"] = "\n".join(
                _show({**demo.inputs, **demo.outputs}) for demo in sample
            )
        tips = list(TIPS)
        tip = TIPS[tips[(number + wave * 3) % len(tips)]] if grounding.tips else ""
        if tip:
            fields["tip"] = tip
        fields["current_instruction"] = signature.instructions
        return cls(fields, wave * 1000 + number)


_TASKS = {
    "data_summary": "Describe this data in two or three sentences: its topics, its style and "
    "what its labels mean.",
    "program_summary": "Describe in two or three sentences what this program does and in which "
    "steps.",
    "instruction": "Write an instruction for a language model that does the task described "
    "here, better than the current instruction does. Answer with the instruction only; do not "
    "quote examples.",
}


def _asking(request: _Request, temperature: float, seed: int, output: str = "instruction") -> Any:
    def ask() -> tuple[str, str]:
        """The answer and no refusal, or no answer and why not."""
        import dspy
        from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError

        predictor = dspy.Predict(_signature(tuple(request.fields), output))
        config = {"temperature": temperature}
        if temperature > 0:
            config["rollout_id"] = seed * 100_000 + request.rollout + 1
        try:
            return str(predictor(**request.fields, config=config)[output] or ""), ""
        except (AdapterParseError, ContextWindowExceededError):
            return "", ""
        except Exception as error:
            if not is_infrastructure(error):
                raise
            return "", f"{type(error).__name__}: {str(error).splitlines()[0]}"

    return ask


@lru_cache(maxsize=64)
def _signature(inputs: tuple[str, ...], output: str) -> Any:
    import dspy

    fields: dict[str, Any] = {name: (str, dspy.InputField()) for name in inputs}
    fields[output] = (str, dspy.OutputField())
    return dspy.Signature(fields, _TASKS[output])


def _role(name: str, signature: Any) -> str:
    inputs = ", ".join(signature.input_fields)
    outputs = ", ".join(
        f"{field} ({_type_name(info.annotation)})"
        for field, info in signature.output_fields.items()
    )
    return f"step {name!r} of the program: given {inputs}, produce {outputs}"


def _type_name(annotation: Any) -> str:
    named = isinstance(annotation, type) and not hasattr(annotation, "__args__")
    return annotation.__name__ if named else str(annotation).replace("typing.", "")


def _source(program: Any) -> str:
    try:
        return inspect.getsource(type(program))[:MAX_CODE_CHARACTERS]
    except (OSError, TypeError):
        return repr(program)[:MAX_CODE_CHARACTERS]


def _show(values: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    try:
        plain = plain_value(value)
    except TypeError:
        plain = repr(value)
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return text if len(text) <= MAX_FIELD_CHARACTERS else text[:MAX_FIELD_CHARACTERS] + "..."
