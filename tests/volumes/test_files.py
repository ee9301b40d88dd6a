"""Files are there whole or not at all, and damage is noticed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
import xxhash

from bsv_store.checkpoints import set_hook
from bsv_store.errors import BsvStoreError, DamagedFileError, NoSpaceError, ReadOnlyStoreError, StoreError
from bsv_store.owner import current_user, process_owner
from bsv_store.vocabulary import TrashReason
from bsv_store.volumes import files as files_module
from bsv_store.volumes.files import FileHashes, Published, StoreFiles, temporary_owner
from bsv_store.volumes.trash import read_record
from tests.processes import ended_process

NAME = "volumes/kind/100um/1.h5"
DATA = b"some bytes" * 100


@pytest.fixture
def files(tmp_path: Path) -> StoreFiles:
    return StoreFiles(tmp_path)


def read(files: StoreFiles, data: bytes = DATA) -> bytes:
    return files.read(NAME, size_bytes=len(data), xxh3=xxhash.xxh3_64_hexdigest(data))


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_published_file_reads_back(files: StoreFiles) -> None:
    files.publish(NAME, DATA)
    assert read(files) == DATA
    assert everything(files.root) == [files.root / NAME]


def test_a_folder_whose_maker_was_killed_gets_its_permissions(files: StoreFiles) -> None:
    # Killed after mkdir, before chmod.
    (files.root / "volumes").mkdir(mode=0o700)
    (files.root / "volumes" / "kind").mkdir(mode=0o700)
    files.make_folder(files.root / "volumes" / "kind")
    assert stat.S_IMODE((files.root / "volumes" / "kind").stat().st_mode) == files.directory_mode
    # Not empty, so its permissions may be intended.
    assert stat.S_IMODE((files.root / "volumes").stat().st_mode) == 0o700


def test_an_empty_folder_with_more_permissions_keeps_them(files: StoreFiles) -> None:
    folder = files.root / "volumes"
    folder.mkdir()
    folder.chmod(files.directory_mode | 0o002)
    files.make_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == files.directory_mode | 0o002


def test_a_folder_of_another_account_does_not_prevent_writing(
    files: StoreFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files.root / "tmp").mkdir(mode=0o700)
    chmod = Path.chmod

    def refused(self: Path, mode: int) -> None:
        if self == files.root / "tmp":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(self))
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", refused)
    files.publish(NAME, DATA)
    assert read(files) == DATA


def test_publishing_again_replaces_as_a_whole(files: StoreFiles) -> None:
    files.publish(NAME, b"older")
    files.publish(NAME, DATA)
    assert read(files) == DATA


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_modes_are_the_stores_whatever_the_umask(files: StoreFiles, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = files.publish(NAME, DATA)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
    for folder in (path.parent, path.parent.parent, files.root / "tmp"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o2775


@pytest.mark.parametrize("damage", ["missing", "cut", "longer", "flipped"])
def test_damage_is_noticed(files: StoreFiles, damage: str) -> None:
    path = files.publish(NAME, DATA)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(DATA[:-1])
    elif damage == "longer":
        path.write_bytes(DATA + b"x")
    else:
        path.write_bytes(b"S" + DATA[1:])
    with pytest.raises(DamagedFileError, match=r"1\.h5"):
        read(files)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "volumes/../../outside"])
def test_names_do_not_lead_out_of_the_store(files: StoreFiles, name: str) -> None:
    with pytest.raises(DamagedFileError, match="outside the store"):
        files.publish(name, DATA)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EROFS, ReadOnlyStoreError),
        (errno.EIO, StoreError),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "fchmod", "replace"])
def test_failing_step_leaves_nothing_and_says_why(
    files: StoreFiles, monkeypatch: pytest.MonkeyPatch, step: str, number: int, expected: type[BsvStoreError]
) -> None:
    files.publish(NAME, b"older")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    if step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(expected):
        files.publish(NAME, DATA)
    monkeypatch.undo()
    assert read(files, b"older") == b"older"
    assert everything(files.root) == [files.root / NAME]


@pytest.mark.parametrize("streamed", [False, True])
def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_row(
    files: StoreFiles, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    """A power cut may fall anywhere."""
    target = files.publish(NAME, b"older")
    steps: list[str] = []
    real = Path.replace

    def synced(descriptor: int) -> None:
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            assert facts.st_ino == target.parent.stat().st_ino
            steps.append("folder")
        else:
            assert facts.st_size == len(DATA)
            steps.append("content")

    def named(path: Path, new: Path) -> Path:
        steps.append("name")
        return real(path, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named)
    if streamed:
        files.publish_stream(lambda sink: sink.write(DATA), lambda _hashes: NAME)
    else:
        files.publish(NAME, DATA)
    assert steps == ["content", "name", "folder"]


def test_a_file_that_was_written_as_a_stream_is_named_by_its_hashes(files: StoreFiles) -> None:
    def written(sink: BinaryIO) -> str:
        sink.write(b"XXXX" + DATA[4:])
        # Not buffered.
        assert os.fstat(sink.fileno()).st_size == len(DATA)
        sink.seek(0)
        sink.write(DATA[:4])
        sink.seek(0)
        assert sink.read(4) == DATA[:4]
        return "what the writer knows"

    hashes = FileHashes(len(DATA), hashlib.sha256(DATA).hexdigest(), xxhash.xxh3_64_hexdigest(DATA))
    name = f"datasets/1/{hashes.sha256}.nc"
    found = files.publish_stream(written, lambda given: f"datasets/1/{given.sha256}.nc")
    assert found == Published(name, hashes, "what the writer knows")
    assert everything(files.root) == [files.root / name]
    assert (files.root / name).read_bytes() == DATA


def test_a_complete_temporary_file_is_renamed(files: StoreFiles) -> None:
    with files.temporary() as temporary:
        temporary.write_bytes(DATA)
        assert files.publish_file(temporary, NAME) == NAME
    assert read(files) == DATA
    assert stat.S_IMODE((files.root / NAME).stat().st_mode) == 0o664


@pytest.mark.parametrize(
    ("step", "place", "work"),
    [
        ("replace", NAME, lambda files: files.publish(NAME, DATA)),
        ("mkdir", "tmp", lambda files: files.temporary().__enter__()),
        ("mkdir", "tmp", lambda files: files.server_time()),
        ("touch", "tmp", lambda files: files.server_time()),
        ("open", "tmp", lambda files: files.publish_stream(lambda _sink: None, lambda _hashes: NAME)),
        ("replace", NAME, lambda files: files.publish_stream(lambda _sink: None, lambda _hashes: NAME)),
        ("replace", NAME, lambda files: files.publish_file(files.publish("tmp/1", DATA), NAME)),
        ("rename", NAME, lambda files: files.move_to_trash(NAME, "0123456789ab")),
        ("unlink", "trash/0123456789ab.json", lambda files: files.forget_trash("0123456789ab")),
    ],
)
def test_an_error_names_the_file_that_could_not_be_written(
    files: StoreFiles, monkeypatch: pytest.MonkeyPatch, step: str, place: str, work: Callable[[StoreFiles], object]
) -> None:
    real = getattr(Path, step)

    def fail(self: Path, *arguments: object, **options: object) -> object:
        # What the case needs is published first.
        if step == "replace" and arguments != (files.root / NAME,):
            return real(self, *arguments, **options)
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(NoSpaceError, match=rf"no space left to write {files.root / place}\n"):
        work(files)


def test_each_step_is_a_checkpoint_in_this_order(files: StoreFiles) -> None:
    reached: list[str] = []
    set_hook(reached.append)
    try:
        files.publish(NAME, DATA)
        published = list(reached)
        files.trash(NAME, "orphan")
    finally:
        set_hook(None)
    assert published == ["publish:written", "publish:synced", "publish:renamed"]
    assert reached == [*published, *published, "trash:recorded", "trash:moved"]


@pytest.mark.parametrize("reason", ["deleted", "replaced", "duplicate", "orphan", "damaged"])
def test_trash_moves_out_of_the_way_and_forgives_what_is_gone(files: StoreFiles, reason: TrashReason) -> None:
    path = files.publish(NAME, DATA)
    item = files.trash(NAME, reason)
    assert files.trash(NAME, reason) is None
    assert not path.exists()
    record = files.root / f"trash/{item}.json"
    (found,) = set(everything(files.root)) - {record}
    assert found.read_bytes() == DATA
    read = read_record(record.read_bytes(), what=record.name)
    assert (read.path, read.file_path, read.reason) == (NAME, f"trash/{found.name}", reason)
    assert (read.size_bytes, read.trashed_by) == (len(DATA), current_user())


def test_the_new_name_of_a_trashed_file_is_on_the_disk_before_the_old_one_is_gone(
    files: StoreFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = files.publish(NAME, DATA).parent
    item = files.record_trash(NAME, "orphan", size_bytes=len(DATA))
    steps: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append(os.fstat(descriptor).st_ino))
    assert files.move_to_trash(NAME, item) is True
    assert steps == [(files.root / "trash").stat().st_ino, source.stat().st_ino]


@pytest.mark.parametrize("is_moved", [False, True])
def test_only_a_record_of_a_file_that_is_not_in_the_trash_is_forgotten(files: StoreFiles, is_moved: bool) -> None:
    path = files.publish(NAME, DATA)
    item = files.record_trash(NAME, "orphan", size_bytes=len(DATA))
    record = files.root / f"trash/{item}.json"
    assert record.exists()
    if is_moved:
        # By another process, as this item.
        files.move_to_trash(NAME, item)
    else:
        path.unlink()
    assert files.move_to_trash(NAME, item) is False
    assert record.exists() is is_moved
    files.forget_trash(item)
    files.forget_trash(item)
    assert not record.exists()


def test_a_record_has_the_rows_that_a_restore_needs(files: StoreFiles) -> None:
    rows = {"key": "version/mean@1", "version": [{"number": 1}]}
    item = files.record_trash("datasets/1.nc", "deleted", size_bytes=7, rows=rows)
    found = read_record((files.root / f"trash/{item}.json").read_bytes(), what="it")
    assert (found.rows, found.key, found.size_bytes) == (rows, "version/mean@1", 7)


def test_the_record_of_a_version_with_all_experiments_is_read(files: StoreFiles) -> None:
    files.publish(NAME, DATA)
    record = read_record((files.root / f"trash/{files.trash(NAME, 'deleted')}.json").read_bytes(), what="it")
    members = [
        {"experiment_id": number, "array_sha256": "0" * 64, "data_mask_sha256": "1" * 64} for number in range(5000)
    ]
    large = replace(record, rows={"dataset_member": members})
    assert len(large.to_json()) > 1_000_000
    assert read_record(large.to_json().encode(), what="it") == large


@pytest.mark.parametrize("change", ["cut", "flip", "edit"])
def test_a_damaged_record_of_a_trashed_file_is_refused(files: StoreFiles, change: str) -> None:
    files.publish(NAME, DATA)
    text = (files.root / f"trash/{files.trash(NAME, 'orphan')}.json").read_bytes()
    assert read_record(text, what="it").reason == "orphan"
    bad = {"cut": text[:-3], "flip": text.replace(b"orphan", b"orphao"), "edit": text.replace(NAME.encode(), b"a/b")}
    with pytest.raises(DamagedFileError, match="the record it is damaged"):
        read_record(bad[change], what="it")


# -- temporary files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ended() -> str:
    return ended_process()


@pytest.fixture
def as_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leftovers are removed again, as by a process that has not written yet."""
    monkeypatch.setattr(files_module, "_cleaned", set())


def test_temporary_files_name_their_process(files: StoreFiles) -> None:
    with files.temporary() as path:
        assert path.parent == files.root / "tmp"
        assert temporary_owner(path.name) == process_owner()
        assert temporary_owner(f"{path.name}-journal") == process_owner()
    assert temporary_owner("123-0123456789abcdef.tmp") is None
    assert temporary_owner("notes.txt") is None


def test_the_first_write_removes_what_ended_processes_left(files: StoreFiles, ended: str, as_new_process: None) -> None:
    place, _, rest = ended.partition("-")
    other_host = f"{place[::-1]}-{rest}"
    kept = {f"{process_owner()}-{'a' * 16}.tmp", f"{other_host}-{'a' * 16}.tmp", "12-0123.tmp", "notes.txt"}
    gone = {f"{ended}-{'a' * 16}.tmp", f"{ended}-{'b' * 16}.tmp", f"{ended}-{'b' * 16}.tmp-journal"}
    folder = files.root / "tmp"
    folder.mkdir()
    for name in kept | gone:
        (folder / name).write_bytes(b"x")
    files.publish(NAME, DATA)
    assert {path.name for path in folder.iterdir()} == kept
    # Once per process: later writes do not list the folder.
    (folder / min(gone)).write_bytes(b"x")
    files.publish(NAME, DATA)
    assert {path.name for path in folder.iterdir()} == {*kept, min(gone)}


def test_leftovers_of_each_store_are_removed(files: StoreFiles, ended: str, as_new_process: None) -> None:
    other = StoreFiles(files.root / "other")
    leftovers = [each.root / "tmp" / f"{ended}-{'a' * 16}.tmp" for each in (files, other)]
    for each, leftover in zip((files, other), leftovers, strict=True):
        leftover.parent.mkdir(parents=True)
        leftover.write_bytes(b"x")
        each.publish(NAME, DATA)
        assert not leftover.exists()


def test_a_full_folder_of_temporary_files_does_not_delay_the_first_write(
    files: StoreFiles, as_new_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []

    class Entry:
        path = "x"

        @property
        def name(self) -> str:
            looked_at.append(self)
            return "notes.txt"

    @contextmanager
    def listed(_folder: Path) -> Iterator[Iterator[Entry]]:
        yield (Entry() for _ in range(20_000))

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", listed)
        files.publish(NAME, DATA)
    assert len(looked_at) == 10_000


def test_a_leftover_that_cannot_be_removed_does_not_prevent_writing(
    files: StoreFiles, ended: str, as_new_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = files.root / "tmp" / f"{ended}-{'a' * 16}.tmp"
    leftover.parent.mkdir()
    leftover.write_bytes(b"x")
    unlink = Path.unlink

    def refused(self: Path, missing_ok: bool = False) -> None:
        if self == leftover:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    files.publish(NAME, DATA)
    assert read(files) == DATA


def test_a_temporary_file_that_cannot_be_removed_is_left(files: StoreFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(self))

    with files.temporary() as path:
        path.write_bytes(b"x")
        monkeypatch.setattr(Path, "unlink", refused)
    assert path.exists()


def test_a_temporary_file_is_removed_whatever_ends_its_block(files: StoreFiles) -> None:
    def end(path: Path) -> None:
        path.write_bytes(b"x")
        path.with_name(f"{path.name}-journal").write_bytes(b"x")
        raise SystemExit

    with pytest.raises(SystemExit), files.temporary() as path:
        end(path)
    assert everything(files.root) == []
