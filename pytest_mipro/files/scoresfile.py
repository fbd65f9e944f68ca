"""The sidecar ``<name>.scores.json``: what each example scored when the prompts were accepted.

It is what the paired regression test compares with. One line per example, sorted, so that a diff
shows which examples changed; it is apart from the prompt file, which shows only what a reviewer
reads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pytest_mipro.errors import PromptFileError
from pytest_mipro.files import atomic

FORMAT = 1
_REMEDY = "take the version of one side, or record anew with pytest --mipro-update-baseline"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecordedScore(_Part):
    """What one example scored, and what was answered, shortened."""

    score: float = Field(ge=0.0, le=1.0)
    answer: str = ""


class ScoresFile(_Part):
    """A scores file's contents.

    Attributes:
        metric: fingerprint of the metric's code; scores of another metric are not compared.
        split: the split that was scored.
        repeats: runs per example that a score is the mean of.
        prompts: digest of the prompts that were scored.
        sources: the program's and the metric's code, so that a later run can show what changed.
        scores: by example; examples that stand twice in the data have two.
    """

    format: Literal[1] = 1
    name: str
    metric: str
    split: str
    repeats: int = 1
    prompts: str = ""
    sources: dict[str, list[str]] = Field(default_factory=dict)
    scores: dict[str, RecordedScore]

    def score_of(self, example: str) -> float | None:
        """The recorded score of an example by its name; None where it has none."""
        entry = self.scores.get(example)
        return None if entry is None else entry.score


def read(path: Path) -> ScoresFile | None:
    """Read and validate a scores file; None when there is none.

    Raises:
        PromptFileError: it is not a valid scores file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise PromptFileError(f"{path}: cannot be read: {error}; {_REMEDY}") from error
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        conflict = "<<<<<<< " in text
        problem = "has a merge conflict marker" if conflict else f"is not JSON: {error.msg}"
        raise PromptFileError(f"{path}:{error.lineno}: {problem}; {_REMEDY}") from None
    version = data.get("format") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise PromptFileError(
            f"{path}: format {version} is newer than this pytest-mipro knows ({FORMAT}); upgrade "
            "pytest-mipro"
        )
    try:
        return ScoresFile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise PromptFileError(f"{path}: {where}: {first['msg']}; {_REMEDY}") from None


def write(path: Path, file: ScoresFile) -> None:
    """Write a scores file, whole or not at all, unless it already says the same."""
    content = dump(file).encode("utf-8")
    if not path.exists() or path.read_bytes() != content:
        atomic.write(path, content)


def dump(file: ScoresFile) -> str:
    """Return the text of a scores file: JSON with a line per example."""
    data = file.model_dump()
    scores = data.pop("scores")
    head = json.dumps(data, ensure_ascii=False, indent=1).removesuffix("\n}")
    lines = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(scores[name], ensure_ascii=False)}"
        for name in sorted(scores)
    )
    return f'{head},\n "scores": {{\n{lines}\n }}\n}}\n'
