"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from pytest_mipro.errors import PromptFileError
from pytest_mipro.files import atomic


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o664])
def test_a_file_keeps_its_mode_when_it_is_rewritten(tmp_path, kept):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"old")
    path.chmod(kept)
    atomic.write(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", kept)


def test_a_new_file_can_be_read_by_all(tmp_path):
    atomic.write(tmp_path / "x.yaml", b"new")
    assert mode(tmp_path / "x.yaml") == 0o644


def test_folders_are_made(tmp_path):
    atomic.write(tmp_path / "a" / "b" / "x.yaml", b"new")
    assert (tmp_path / "a" / "b" / "x.yaml").read_bytes() == b"new"


def test_a_reader_sees_the_old_content_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"old")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(path.read_bytes()))
    atomic.write(path, b"new")
    assert seen == [b"old"]


def test_whether_a_path_can_be_written_is_found_out_without_leaving_anything(tmp_path):
    atomic.check_writable(tmp_path / "a" / "x.yaml")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").touch()
    with pytest.raises(PromptFileError, match="cannot be written.*mipro_prompt_dir"):
        atomic.check_writable(tmp_path / "a" / "x.yaml")
