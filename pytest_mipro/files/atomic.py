"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pytest_mipro.errors import PromptFileError


def write(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one beside it, which takes its place when it is whole.

    Folders are made; the mode of a file that is there stays.

    Raises:
        PromptFileError: the folder cannot be made or written to.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise


def check_writable(path: Path) -> None:
    """Raise a PromptFileError unless ``path`` could be written; called before money is spent."""
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.NamedTemporaryFile(prefix=".mipro-", dir=folder):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> PromptFileError:
    return PromptFileError(
        f"{path}: cannot be written: {error.strerror or error}; make the folder writable, or "
        "name another with ini mipro_prompt_dir or @pytest.mark.mipro(prompt_file=...)"
    )
