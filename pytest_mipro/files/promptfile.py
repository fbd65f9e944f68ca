"""The prompt file: read, validate, apply, write."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pytest_mipro.errors import PromptFileError
from pytest_mipro.files import atomic, fingerprint, yamlfile
from pytest_mipro.files.fingerprint import Fingerprints
from pytest_mipro.prompts import (
    Demo,
    PredictorPrompt,
    Prompts,
    plain_value,
    prompts_of,
    with_prompts,
)

FORMAT = 1

Program = TypeVar("Program")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DemoEntry(_Part):
    """One demo as it stands in the file."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    origin: Literal["bootstrapped", "labeled"] = "labeled"


class PredictorEntry(_Part):
    """One predictor as it stands in the file."""

    instructions: str
    demos: list[DemoEntry] = Field(default_factory=list)

    @field_validator("instructions")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is blank; write an instruction, or restore the one in git")
        return value


class ScoreEntry(_Part):
    """A mean score over one split, on the metric's own scale, with its 95 % interval."""

    metric: str
    split: str
    n: int
    mean: float
    interval: list[float]


class ScoresEntry(_Part):
    """Scores of the program before (baseline) and after (compiled) optimising."""

    baseline: ScoreEntry | None = None
    compiled: ScoreEntry | None = None


class PromptFile(_Part):
    """A prompt file's contents.

    ``fitted_with`` and ``search`` are for people: how the prompts came about.
    """

    format: Literal[1] = 1
    name: str
    program: str
    predictors: dict[str, PredictorEntry]
    scores: ScoresEntry | None = None
    fitted_with: dict[str, Any] = Field(default_factory=dict)
    fingerprints: Fingerprints | None = None
    search: dict[str, Any] = Field(default_factory=dict)

    def prompts(self) -> Prompts:
        """The prompts, by predictor name."""
        return {
            name: PredictorPrompt(
                entry.instructions,
                tuple(Demo(demo.inputs, demo.outputs, demo.origin) for demo in entry.demos),
            )
            for name, entry in self.predictors.items()
        }


def entries_of(prompts: Prompts) -> dict[str, PredictorEntry]:
    """Turn prompts into what a file holds.

    Raises:
        PromptFileError: a demo has a value that has no plain form.
    """
    return {
        name: PredictorEntry(
            instructions=prompt.instructions,
            demos=[
                DemoEntry(
                    inputs=_plain(demo.inputs, name),
                    outputs=_plain(demo.outputs, name),
                    origin=demo.origin,
                )
                for demo in prompt.demos
            ],
        )
        for name, prompt in prompts.items()
    }


def read(path: str | Path) -> PromptFile:
    """Read and validate a prompt file.

    Raises:
        FileNotFoundError: there is no such file.
        PromptFileError: it is not a valid prompt file; the message gives file, line and key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise PromptFileError(f"{path}: is not UTF-8 text ({error}); save it as UTF-8") from error
    except OSError as error:
        raise PromptFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    _refuse_conflict(path, text)
    data = yamlfile.parse(path, text, error=PromptFileError)
    if not isinstance(data, dict):
        raise PromptFileError(
            f"{path}:1: must be a mapping with the key 'format', not {data!r:.40}"
        )
    version = data.get("format")
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT:
        raise PromptFileError(
            f"{path}:{yamlfile.line_of(text, ('format',))}: format {version} is newer than this "
            f"pytest-mipro knows ({FORMAT}); upgrade pytest-mipro"
        )
    try:
        return PromptFile.model_validate(data)
    except ValidationError as error:
        raise PromptFileError(_explain(path, text, error)) from None


def write(path: str | Path, file: PromptFile) -> bool:
    """Write a prompt file, whole or not at all.

    Nothing is touched when the file already says the same, apart from measured seconds.

    Returns:
        Whether the file was written.

    Raises:
        PromptFileError: the folder cannot be made or written to.
    """
    path = Path(path)
    text = dump(file)
    if path.exists() and _without_seconds(path.read_bytes().decode("utf-8", "replace")) == (
        _without_seconds(text)
    ):
        return False
    atomic.write(path, text.encode("utf-8"))
    return True


def check_writable(path: Path) -> None:
    """Raise a PromptFileError unless ``path`` could be written; call this before money is spent."""
    atomic.check_writable(path)


def dump(file: PromptFile) -> str:
    """Return the text of a prompt file; equal contents give equal text."""
    data = file.model_dump()
    for part in ("scores", "fingerprints"):
        data[part] = {key: value for key, value in (data[part] or {}).items() if value is not None}
    data = {key: value for key, value in data.items() if value != {}}
    for entry in data["predictors"].values():
        entry["instructions"] = yamlfile.Prose(entry["instructions"])
    return yamlfile.dump(data)


def load_prompts(program: Program, path: str | Path, *, strict: bool = True) -> Program:
    """Return a copy of ``program`` with the prompts of a prompt file.

    Args:
        program: a ``dspy.Module`` or a single predictor.
        path: the prompt file, as ``pytest --mipro-optimize`` writes it.
        strict: refuse a file that does not fit the program. Otherwise apply what fits, and
            warn of the rest.

    Raises:
        PromptFileError: the file is missing or not valid or, when strict, does not fit.
    """
    try:
        file = read(path)
    except FileNotFoundError:
        raise PromptFileError(
            f"{path}: there is no such prompt file; make it with pytest --mipro-optimize"
        ) from None
    misfits = unfit(program, file)
    if misfits and strict:
        raise PromptFileError(
            f"{path} does not fit {type(program).__name__}:\n  "
            + "\n  ".join(misfits)
            + "\nrun pytest --mipro-optimize to fit it anew, or pass strict=False"
        )
    if misfits:
        warnings.warn(f"{path}: " + "; ".join(misfits), UserWarning, stacklevel=2)
    compiled: Program = with_prompts(program, file.prompts())
    return compiled


def save_prompts(program: Any, path: str | Path, *, name: str | None = None) -> Path:
    """Write the prompts that ``program`` carries to a prompt file that ``load_prompts`` reads.

    Args:
        program: a ``dspy.Module``.
        path: where to write; folders are made.
        name: the name in the file; the path's stem without it.

    Returns:
        The path.

    Raises:
        PromptFileError: the path cannot be written, or a demo has no plain form.
    """
    path = Path(path)
    file = PromptFile(
        name=name or path.stem,
        program=fingerprint.qualified_name(type(program)),
        predictors=entries_of(prompts_of(program)),
        fingerprints=Fingerprints(predictors=fingerprint.signatures(program)),
    )
    write(path, file)
    return path


def unfit(program: Any, file: PromptFile) -> list[str]:
    """Say, one line each, why a file's prompts do not fit a program; empty when they do."""
    predictors = dict(program.named_predictors())
    lines = [
        f"predictor {name!r} is in the file, not in the program (it has {_list(predictors)})"
        for name in file.predictors
        if name not in predictors
    ]
    for name, predictor in predictors.items():
        entry = file.predictors.get(name)
        if entry is None:
            lines.append(
                f"predictor {name!r} is in the program, not in the file "
                f"(it has {_list(file.predictors)})"
            )
        else:
            lines += _unfit_demos(name, predictor.signature, entry)
    return lines


def _unfit_demos(name: str, signature: Any, entry: PredictorEntry) -> list[str]:
    lines = []
    for kind, own in (("inputs", signature.input_fields), ("outputs", signature.output_fields)):
        used = {field: None for demo in entry.demos for field in getattr(demo, kind)}
        unknown = [field for field in used if field not in own]
        if unknown:
            lines.append(
                f"predictor {name!r}: its demos have the {kind[:-1]} field {_list(unknown)}, "
                f"its signature has {_list(own)}; was a field renamed?"
            )
    return lines


def _plain(values: Mapping[str, Any], predictor: str) -> dict[str, Any]:
    plain = {}
    for name, value in values.items():
        try:
            plain[name] = plain_value(value)
        except TypeError as error:
            raise PromptFileError(
                f"a demo of predictor {predictor!r} cannot be written: field {name!r} has {error}"
            ) from error
    return plain


def _refuse_conflict(path: Path, text: str) -> None:
    for number, line in enumerate(text.split("\n"), start=1):
        if re.match(r"(<{7}|>{7}|\|{7}) |={7}$", line):
            raise PromptFileError(
                f"{path}:{number}: has a merge conflict marker ({line[:20]!r}); resolve the "
                "conflict, or take one side and run pytest --mipro-optimize"
            )


def _explain(path: Path, text: str, error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        where = tuple(item["loc"])
        key = ".".join(map(str, where)) or "the file"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = "unknown key; correct its spelling or remove it"
        elif item["type"] == "missing":
            message = "is missing"
            where = where[:-1]
        lines.append(f"{path}:{yamlfile.line_of(text, where)}: {key}: {message}")
    return "\n".join(lines)


def _without_seconds(text: str) -> str:
    return re.sub(r"^( *seconds: ).*$", r"\1", text, flags=re.MULTILINE)


def _list(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"
