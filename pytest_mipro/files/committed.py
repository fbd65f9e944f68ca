"""What is committed beside a test, read together."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_mipro.files import promptfile, scoresfile
from pytest_mipro.files.location import Location
from pytest_mipro.files.promptfile import PromptFile
from pytest_mipro.files.recording import Recording
from pytest_mipro.files.scoresfile import ScoresFile


@dataclass(frozen=True)
class Committed:
    """The prompt file of a test and what stands beside it.

    Attributes:
        location: where all of it is.
        file: the prompt file.
        scores: the scores file; None where there is none.
        recording: what is replayed; None where nothing is.
    """

    location: Location
    file: PromptFile
    scores: ScoresFile | None = None
    recording: Recording | None = None

    @classmethod
    def read(cls, location: Location, recording: Recording | None = None) -> Committed | None:
        """Read the files at a location; None where there is no prompt file.

        Raises:
            PromptFileError: a file is not valid.
        """
        try:
            file = promptfile.read(location.prompt_file)
        except FileNotFoundError:
            return None
        return cls(location, file, scoresfile.read(location.scores_file), recording)
