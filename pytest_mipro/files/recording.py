"""Recordings: a gate's requests and responses beside the prompt file, to be replayed.

``<name>.responses.jsonl`` (``.jsonl.gz`` where large): a request and its response per line, sorted,
so that the same answers give the same bytes. A replay answers from it alone.
"""

from __future__ import annotations

import difflib
import gzip
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_mipro.errors import PromptFileError
from pytest_mipro.files import atomic
from pytest_mipro.files.location import Location
from pytest_mipro.lm.requests import Answer, plain_request
from pytest_mipro.lm.seam import loaded_outputs, plain_outputs

FORMAT = 1
LARGE = 1_000_000  # bytes from which a recording is compressed
DIFF_LINES = 14
SHORTEST_SECRET = 8
_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")


@dataclass(frozen=True)
class Recording:
    """What is replayed.

    Attributes:
        path: of the file.
        answers: by the key of the request.
        requests: in canonical form.
    """

    path: Path
    answers: Mapping[str, Answer]
    requests: Sequence[Mapping[str, Any]]

    def asked_anew(self, unknown: Sequence[Mapping[str, Any]], runs: int) -> str:
        """Say how what is asked now differs from what was recorded, with the nearest prompt's diff.

        Args:
            unknown: requests that are not in it.
            runs: how many program runs there were.

        Returns:
            A text of several lines; empty when everything asked is in the self.
        """
        if not unknown:
            return ""
        text = (
            f"the code now asks something else: {len(unknown)} of {runs} runs ask what is not "
            f"in {self.path.name}"
        )
        if not self.requests:
            return f"{text}, which is empty"
        from rapidfuzz import fuzz, process

        asked = shown(unknown[0])
        texts = [shown(request) for request in self.requests]
        nearest = process.extractOne(asked, texts, scorer=fuzz.ratio)[0]
        lines = list(difflib.unified_diff(nearest.split("\n"), asked.split("\n"), n=1, lineterm=""))
        parts = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
        more = [f"... {len(parts) - DIFF_LINES} lines more"] if len(parts) > DIFF_LINES else []
        return "\n      ".join(
            [f"{text}; the first of them, beside the nearest recorded:", *parts[:DIFF_LINES], *more]
        )


def write(
    location: Location,
    keys: Iterable[str],
    requests: Mapping[str, Mapping[str, Any]],
    answer: Callable[[str], Answer | None],
) -> Path:
    """Write what a gate rests on, whole or not at all, and return where.

    Args:
        location: where it goes.
        keys: of the requests that the gate's runs made.
        requests: in canonical form, by key; there may be others.
        answer: gives the answer to a request, by its key.

    Raises:
        PromptFileError: it cannot be written, or would hold a secret of the environment.
    """
    lines = sorted(_line(key, requests[key], answer(key)) for key in {*keys})
    header = json.dumps({"format": FORMAT, "recording": location.prompt_file.stem})
    content = "\n".join([header, *lines, ""])
    _refuse_secrets(location, content)
    data = content.encode("utf-8", "surrogatepass")
    compressed = len(data) > LARGE
    path = location.compressed_recording_file if compressed else location.recording_file
    if compressed:
        data = gzip.compress(data, mtime=0)
    if not path.exists() or path.read_bytes() != data:
        atomic.write(path, data)
    other = location.recording_file if compressed else location.compressed_recording_file
    other.unlink(missing_ok=True)
    return path


def read(location: Location) -> Recording:
    """Read the recording of a prompt test.

    Raises:
        PromptFileError: there is none, or it is not a valid one.
    """
    paths = (location.recording_file, location.compressed_recording_file)
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise PromptFileError(
            f"{paths[0]}: there is no recording to replay; make it with pytest --mipro-record, "
            "where the LM can be reached, and commit it"
        )
    answers, requests = {}, []
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode(
            "utf-8", "surrogatepass"
        )
        lines = text.split("\n")
        _check_header(path, json.loads(lines[0]))
        for line in filter(None, lines[1:]):
            record = json.loads(line)
            answers[record["key"]] = Answer(
                loaded_outputs(record["outputs"]), record.get("usage") or {}, earlier=True
            )
            requests.append(record["request"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise PromptFileError(
            f"{path}: is not a recording that can be read ({error}); record anew with pytest "
            "--mipro-record"
        ) from error
    return Recording(path, answers, requests)


def shown(request: Mapping[str, Any]) -> str:
    """A request as a person reads it: model, settings, then the messages' text."""
    inner = request.get("request")
    settings: Any = request.get("settings", {})
    messages: Any = request.get("messages", ())
    if isinstance(inner, Mapping):
        settings, messages = inner.get("config") or {}, inner.get("messages", ())
        system = inner.get("system")
        messages = [*([{"role": "system", "content": system}] if system else []), *messages]
    lines = [f"model: {request.get('model')}"]
    lines += [f"{name}: {_text(value)}" for name, value in sorted(dict(settings).items())]
    for message in messages:
        lines.append(f"[{message.get('role')}]")
        lines += _text(message.get("content", message.get("parts", ""))).split("\n")
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(p, Mapping) and "text" in p for p in value):
        return "\n".join(str(part["text"]) for part in value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _line(key: str, request: Mapping[str, Any], answer: Answer | None) -> str:
    if answer is None:
        raise PromptFileError(f"no response is known to the request {key}; record again")
    record = {
        "request": request,
        "outputs": plain_outputs(answer.outputs),
        "usage": dict(answer.usage),
        "key": key,
    }
    try:
        return json.dumps(record, ensure_ascii=False, sort_keys=False, default=plain_request)
    except (TypeError, ValueError) as error:
        raise PromptFileError(f"a response cannot be recorded: {error}") from error


def _check_header(path: Path, header: Any) -> None:
    version = header.get("format") if isinstance(header, dict) else None
    if not isinstance(version, int):
        raise ValueError("its first line is not that of a recording")
    if version > FORMAT:
        raise PromptFileError(
            f"{path}: format {version} is newer than this pytest-mipro knows ({FORMAT}); upgrade "
            "pytest-mipro"
        )


def _refuse_secrets(location: Location, content: str) -> None:
    for name, value in os.environ.items():
        secret = name.upper().endswith(_SECRET_NAMES) and len(value) >= SHORTEST_SECRET
        if secret and value in content:
            raise PromptFileError(
                f"{location.recording_file}: the recording would hold the value of the "
                f"environment variable {name}, so nothing was written; a prompt or an answer "
                "has it: take it out of the data"
            )
