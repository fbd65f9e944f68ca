"""A scripted LM: deterministic answers for DSPy's chat format, with a count of what was asked."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import dspy
from dspy import lm15

Label = Literal["good", "bad"]


class Sort(dspy.Signature):
    """Say whether the text is good or bad."""

    text: str = dspy.InputField()
    label: Label = dspy.OutputField()


class Check(dspy.Signature):
    """Say how sure the label is."""

    text: str = dspy.InputField()
    label: Label = dspy.InputField()
    sure: Literal["yes", "no"] = dspy.OutputField()


class Sorter(dspy.Module):
    """One predictor."""

    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict(Sort)

    def forward(self, text: str) -> dspy.Prediction:
        return self.sort(text=text)


class Pipeline(dspy.Module):
    """Two predictors, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict(Sort)
        self.check = dspy.Predict(Check)

    def forward(self, text: str) -> dspy.Prediction:
        label = self.sort(text=text).label
        return dspy.Prediction(label=label, sure=self.check(text=text, label=label).sure)


def exact(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    return bool(example.label == prediction.label)


def examples(count: int, start: int = 0) -> list[dspy.Example]:
    """Texts whose number is even are good, the others are bad."""
    return [
        dspy.Example(text=f"text number {n}", label="good" if n % 2 == 0 else "bad").with_inputs(
            "text"
        )
        for n in range(start, start + count)
    ]


Script = Callable[["Asked"], dict[str, str]]


class Asked:
    """One request, as a script sees it."""

    def __init__(self, request: Any) -> None:
        system = request.system or ""
        self.system = system if isinstance(system, str) else "".join(p.text for p in system)
        self.messages = [(m.role, m.text or "") for m in request.messages]
        self.last = self.messages[-1][1]
        self.demos = (len(self.messages) - 1) // 2
        self.wants = re.findall(r"\[\[ ## (\w+) ## \]\]", self.last.split("Respond with")[-1])
        self.request = request

    @property
    def instructions(self) -> str:
        return self.system.split("your objective is:")[-1].strip()

    def field(self, name: str) -> str:
        found = re.search(rf"\[\[ ## {name} ## \]\]\n(.*?)(\n\n|\Z)", self.last, re.DOTALL)
        return found.group(1).strip() if found else ""


def answer_right(asked: Asked) -> dict[str, str]:
    """The right label for every text."""
    number = int(re.findall(r"\d+", asked.field("text"))[-1])
    return {"label": "good" if number % 2 == 0 else "bad", "sure": "yes"}


def learns_from_demos(asked: Asked) -> dict[str, str]:
    """Without demos one text in three is labeled right; each demo helps."""
    number = int(re.findall(r"\d+", asked.field("text"))[-1])
    knows = (number * 7) % 12 < 4 + 2 * asked.demos
    right = "good" if number % 2 == 0 else "bad"
    wrong = "bad" if right == "good" else "good"
    return {"label": right if knows else wrong, "sure": "yes"}


class ScriptedEngine:
    """Answers by a script; proposals of instructions are answered by number."""

    def __init__(self, script: Script = learns_from_demos, *, delay: Any = None) -> None:
        self.script = script
        self.delay = delay
        self.asked: list[Asked] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._lock = threading.Lock()

    def complete(self, request: Any) -> Any:
        asked = Asked(request)
        with self._lock:
            self.asked.append(asked)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.delay:
                time.sleep(self.delay(asked))
            fields = self._proposal(asked) or self.script(asked)
        finally:
            with self._lock:
                self.in_flight -= 1
        text = "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items())
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant(text + "\n\n[[ ## completed ## ]]"),
            finish_reason="stop",
            usage=lm15.Usage(input_tokens=10, output_tokens=2),
        )

    def _proposal(self, asked: Asked) -> dict[str, str]:
        for name in ("instruction", "data_summary", "program_summary"):
            if f"`[[ ## {name} ## ]]`" in asked.last:
                return {name: f"Decide with care, way {abs(hash_of(asked.last)) % 997}."}
        return {}


class Awaited:
    """An engine for programs that are awaited."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    async def complete(self, request: Any) -> Any:
        return await asyncio.to_thread(self._engine.complete, request)


def hash_of(text: str) -> int:
    return sum(ord(character) * (position % 31 + 1) for position, character in enumerate(text))


def scripted_lm(script: Script = learns_from_demos, **options: Any) -> Any:
    """A ``dspy.LM`` on a scripted engine; the engine is its attribute ``engine``."""
    engine = ScriptedEngine(script, **options)
    return dspy.LM(
        "scripted/model",
        engine=engine,
        async_engine=Awaited(engine),
        cache=False,
        temperature=0.0,
        num_retries=0,
    )


def fails_with(error: Callable[[], Exception], share: int = 1) -> Script:
    """A script that raises for one text in ``share``."""

    def script(asked: Asked) -> dict[str, str]:
        number = int(re.findall(r"\d+", asked.field("text"))[-1])
        if number % share == 0:
            raise error()
        return answer_right(asked)

    return script
