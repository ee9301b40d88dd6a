"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from bsv_store.errors import InputError, NoSpaceError
from bsv_store.formats.output_file import atomic_output

MARKER = "zarr.json"


def write(target: Path, content: str, *, overwrite: bool = False, marker: str | None = None) -> None:
    with atomic_output(target, overwrite=overwrite, marker=marker) as temporary:
        if marker is None:
            temporary.write_text(content)
        else:
            (temporary / "c").mkdir(parents=True)
            (temporary / marker).write_text(content)
            (temporary / "c" / "0").write_text("")


def test_files_appear_when_they_are_complete(tmp_path: Path) -> None:
    with atomic_output(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_folders_appear_when_they_are_complete(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", "one", marker=MARKER)
    with pytest.raises(InputError, match="exists"):
        write(tmp_path / "a.zarr", "two", marker=MARKER)
    (tmp_path / "a.zarr" / "old").write_text("")
    write(tmp_path / "a.zarr", "two", overwrite=True, marker=MARKER)
    assert (tmp_path / "a.zarr" / MARKER).read_text() == "two"
    assert not (tmp_path / "a.zarr" / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("marker", [None, MARKER])
def test_a_failure_leaves_what_was_there(tmp_path: Path, marker: str | None) -> None:
    write(tmp_path / "a", "old", marker=marker)

    def fail(temporary: Path) -> None:
        if marker is not None:
            temporary.mkdir()
        (temporary if marker is None else temporary / "part").write_text("new")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), atomic_output(tmp_path / "a", overwrite=True, marker=marker) as temporary:
        fail(temporary)
    assert (tmp_path / "a" if marker is None else tmp_path / "a" / marker).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_folders_of_another_kind_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="does not contain"):
        write(tmp_path / "a.zarr", "new", overwrite=True, marker=MARKER)
    assert (tmp_path / "a.zarr" / "thesis.tex").read_text() == "mine"
    with pytest.raises(InputError, match="is a folder"):
        write(tmp_path / "a.zarr", "new", overwrite=True)


def test_the_parent_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        write(tmp_path / "missing" / "a", "new")


@pytest.mark.parametrize("marker", [None, MARKER])
@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, NoSpaceError), (errno.EIO, InputError)])
def test_errors_of_the_disk_leave_what_was_there(
    number: int, error: type[Exception], marker: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a", "old", marker=marker)

    def fail(*_: Any) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error, match="/a"):
        write(tmp_path / "a", "new", overwrite=True, marker=marker)
    assert (tmp_path / "a" if marker is None else tmp_path / "a" / marker).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_old_folder_is_put_back_if_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.zarr", "old", marker=MARKER)
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if self.name.startswith(".") and not self.name.endswith(".old"):
            raise OSError(errno.EIO, "no")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "a.zarr", "new", overwrite=True, marker=MARKER)
    assert (tmp_path / "a.zarr" / MARKER).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
