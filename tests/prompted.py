"""A prompt test without pytest: a sorter with its files in a folder, on a scripted LM."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripted import Sorter, answer_right, exact, examples, scripted_lm

import pytest_mipro
from pytest_mipro import GateResult
from pytest_mipro.files import promptfile, scoresfile
from pytest_mipro.files.location import Location
from pytest_mipro.files.promptfile import PromptFile
from pytest_mipro.files.scoresfile import ScoresFile
from pytest_mipro.prompttest import PromptTest, Surroundings
from pytest_mipro.settings import resolve

TRAIN, VAL, TEST = examples(10), examples(10, 100), examples(20, 200)


def python_path() -> str:
    """What PYTHONPATH is for subprocesses: first the tests and the package that is tested here,
    then what was on it before."""
    ours = (Path(__file__).parent, Path(pytest_mipro.__file__).parents[1])
    kept = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.pathsep.join([*map(str, ours), *kept])


def wrong_on(count: int) -> Callable[[Any], dict[str, str]]:
    """A script that answers wrong on so many of TEST."""

    def script(asked: Any) -> dict[str, str]:
        fields = answer_right(asked)
        number = int(asked.field("text").split()[-1])
        if 200 <= number < 200 + count:
            fields["label"] = "bad" if fields["label"] == "good" else "good"
        return fields

    return script


class Prompted:
    """A prompt test, gated as often as you like; what is not said is as in the first gate.

    Attributes:
        location: of its files.
        requests: what LMs were asked in gates that record.
    """

    def __init__(self, folder: Path) -> None:
        self.location = Location.at(folder / "prompts" / "sorter.yaml")
        self.requests: dict[str, Any] = {}

    def prepared(
        self,
        *,
        program: Any = None,
        metric: Any = exact,
        trainset: Any = TRAIN,
        valset: Any = VAL,
        testset: Any = TEST,
        **settings: Any,
    ) -> PromptTest:
        """The test with these settings, not run yet."""
        return PromptTest.prepared(
            self.location,
            resolve(command_line=settings),
            program or Sorter(),
            metric,
            trainset,
            valset,
            testset,
        )

    def gate(
        self, lm: Any = None, *, store: Any = None, listener: Any = None, **options: Any
    ) -> GateResult:
        """Gate, on an LM that is always right unless another is given."""
        requests = self.requests if options.get("record") else None
        around = Surroundings(
            lm or scripted_lm(answer_right), store=store, requests=requests, listener=listener
        )
        return self.prepared(**options).gate(around)

    def optimized(self, lm: Any = None, **options: Any) -> Prompted:
        """The same after optimising for as little as possible."""
        self.gate(lm, optimize=True, budget="20calls", **options)
        return self

    @property
    def file(self) -> PromptFile:
        """The prompt file as it is now."""
        return promptfile.read(self.location.prompt_file)

    @property
    def scores(self) -> ScoresFile:
        """The scores file as it is now."""
        found = scoresfile.read(self.location.scores_file)
        assert found is not None
        return found

    def bytes(self) -> dict[str, bytes]:
        """All files, by name."""
        folder = self.location.prompt_file.parent
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def change(self, old: str, new: str) -> None:
        """Edit the prompt file by hand."""
        text = self.location.prompt_file.read_text(encoding="utf-8")
        assert old in text
        self.location.prompt_file.write_text(text.replace(old, new), encoding="utf-8")
