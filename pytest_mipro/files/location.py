"""Where the files of a prompt test are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Location:
    """The files of one prompt test: all beside its prompt file, and named after it.

    Attributes:
        name: of the prompts, for people.
        prompt_file: the YAML file that is reviewed.
    """

    name: str
    prompt_file: Path

    @classmethod
    def of_test(
        cls,
        folder: Path,
        test: str,
        *,
        name: str | None = None,
        prompt_file: str | None = None,
        prompt_dir: str = "prompts",
    ) -> Location:
        """The files of a test.

        Args:
            folder: of the test's own file; all else is relative to it.
            test: the test's name, with its parameters; without ``test_``, and with what a file
                name cannot have replaced, it names the prompts.
            name, prompt_file, prompt_dir: the settings of these names.
        """
        if prompt_file is not None:
            path = folder / prompt_file
            return cls(name or path.stem, path)
        name = name or re.sub(r"[^\w.-]+", "-", test.removeprefix("test_")).strip("-.") or "prompts"
        return cls(name, folder / prompt_dir / f"{name}.yaml")

    @classmethod
    def at(cls, prompt_file: str | Path) -> Location:
        """The files beside a prompt file that is named outright."""
        path = Path(prompt_file)
        return cls(path.stem, path)

    @property
    def scores_file(self) -> Path:
        """What each example scored when the prompts were accepted."""
        return self._beside(".scores.json")

    @property
    def recording_file(self) -> Path:
        """The recorded LM responses of a gate."""
        return self._beside(".responses.jsonl")

    @property
    def compressed_recording_file(self) -> Path:
        """The same where they are many."""
        return self._beside(".responses.jsonl.gz")

    def _beside(self, suffix: str) -> Path:
        return self.prompt_file.with_name(f"{self.prompt_file.stem}{suffix}")
