"""Where the files of a prompt test are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mipro.files.location import Location

FOLDER = Path("/project/tests")


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("test_sorter", "sorter"),
        ("sorter_test", "sorter_test"),
        ("test_sorter[gpt-4o]", "sorter-gpt-4o"),
        ("test_sorter[as is-by/two]", "sorter-as-is-by-two"),
        ("test_sorter[ünï]", "sorter-ünï"),
        ("test_", "prompts"),
    ],
)
def test_the_name_of_a_test_names_its_prompts(test, name):
    location = Location.of_test(FOLDER, test)
    assert (location.name, location.prompt_file) == (name, FOLDER / "prompts" / f"{name}.yaml")


def test_a_name_stands_for_that_of_the_test():
    assert Location.of_test(FOLDER, "test_x", name="y").prompt_file.name == "y.yaml"


def test_the_folder_can_be_another():
    found = Location.of_test(FOLDER, "test_x", prompt_dir="../prompts")
    assert found.prompt_file == FOLDER / "../prompts/x.yaml"


def test_a_path_stands_for_all_of_it():
    found = Location.of_test(FOLDER, "test_x", prompt_file="own/place.yml", prompt_dir="none")
    assert found == Location("place", FOLDER / "own/place.yml")


def test_all_files_are_beside_the_prompt_file():
    found = Location.at("a/b.yaml")
    assert [found.scores_file, found.recording_file, found.compressed_recording_file] == [
        Path("a/b.scores.json"),
        Path("a/b.responses.jsonl"),
        Path("a/b.responses.jsonl.gz"),
    ]
