"""The states in which a power failure may leave files: what was not flushed may be lost, cut or reordered.

A killed process loses nothing that the system has in memory, so a missing fsync shows only when the power fails. All
file operations of a job are recorded (`tests.reliability.disk`), including those of SQLite. From the record, the states
are built that a crash at any moment may leave, as ALICE does (Pillai et al., OSDI 2014). The model of a disk:

- The bytes of a file are on the disk once the file is flushed after the write. Before that, each block of 4096 bytes
  has its content of any time since the last flush, independent of other blocks. One block may be cut at a sector of
  512 bytes and end with older content. The size of the file is that of any such time. A block that is missing from an
  extended file is zeros.
- A name (of a created, linked, renamed or removed file or folder) is on the disk once its folder is flushed. Before
  that, each change may be on the disk or not, in any combination, independent of the bytes of the file: a rename may
  reach the disk before the data. Changes of one name keep their order. Flushing a file does not flush its name, and
  flushing a folder does not flush its own name in the parent folder.
- A rename never loses the file: its new name is on the disk once either folder is flushed, as in all file systems with
  a journal. The old name may remain beside the new one if only the new folder was flushed.
- What is flushed stays: disks that report a flush without making it are not considered. Permissions go with the name.

States are drawn at random from a seed. About one in four follows the last operation of a step that had returned, so
that its result was acknowledged.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import xxhash

from tests.reliability.disk import Operation

_BLOCK = 4096
_SECTOR = 512


@dataclass(frozen=True)
class _File:
    """The bytes of a file.

    Attributes
    ----------
    flushed : bytes
        Certainly on the disk.
    pending : tuple of Operation
        Writes and truncations since.
    number : int
        Distinguishes the versions of all files.
    """

    flushed: bytes
    pending: tuple[Operation, ...] = ()
    number: int = 0


@dataclass(frozen=True)
class _Change:
    """A change of a name; those of one rename have the same number."""

    number: int
    name: str
    node: int | None


@dataclass(frozen=True)
class _Folder:
    """The names in a folder, with the numbers of their files and folders.

    Attributes
    ----------
    flushed : mapping
        Certainly on the disk.
    pending : tuple of _Change
        Since then.
    """

    flushed: Mapping[str, int]
    pending: tuple[_Change, ...] = ()

    def current(self) -> dict[str, int]:
        """The names as running processes see them."""
        return _applied(self.flushed, self.pending)


@dataclass(frozen=True)
class Moment:
    """Files and folders after some operations.

    Attributes
    ----------
    done : int
        Number of operations.
    nodes : mapping
        All that have ever existed; 0 is the root.
    acknowledged : tuple of str
        Steps of the job that had returned.
    """

    done: int
    nodes: Mapping[int, _File | _Folder]
    acknowledged: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """A state that a crash left.

    Attributes
    ----------
    done : int
        Number of operations before the crash.
    acknowledged : tuple of str
        Steps of the job that had returned before it.
    folders : tuple of str
        Relative to the root, parents first.
    files : mapping of str to bytes
    losses : str
        Description of what was lost.
    """

    done: int
    acknowledged: tuple[str, ...]
    folders: tuple[str, ...]
    files: Mapping[str, bytes]
    losses: str

    def key(self) -> bytes:
        """Differs between states with different content."""
        return key_of(self.folders, digests_of(self.files), self.acknowledged)

    def build(self, root: Path) -> None:
        """Write the state into an empty folder, with the permissions of a store."""
        for name in self.folders:
            (root / name).mkdir()
            (root / name).chmod(0o2775)
        for name, content in self.files.items():
            file = os.open(f"{root}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                os.fchmod(file, 0o664)
                os.write(file, content)
            finally:
                os.close(file)


def key_of(folders: Sequence[str], digests: Mapping[str, bytes], acknowledged: Sequence[str]) -> bytes:
    """A hash of the content of a folder, from those of its files."""
    return xxhash.xxh3_128_digest(repr((folders, sorted(digests.items()), acknowledged)).encode())


def digests_of(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """A hash of the content of each file."""
    return {name: _hash(content) for name, content in files.items()}


_hashes: dict[int, tuple[bytes, bytes]] = {}


def _hash(content: bytes) -> bytes:
    # Most files of a state are the same objects as in others.
    known = _hashes.get(id(content))
    if known is not None and known[0] is content:
        return known[1]
    found = xxhash.xxh3_128_digest(content)
    if len(content) > _BLOCK:
        if len(_hashes) > 300:
            _hashes.clear()
        _hashes[id(content)] = content, found
    return found


def read_folder(root: Path) -> tuple[tuple[str, ...], dict[str, bytes]]:
    """The folders and files below a folder."""
    folders, files = [], {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            folders.append(name)
        else:
            files[name] = path.read_bytes()
    return tuple(folders), files


@dataclass
class History:
    """All moments of a job.

    Attributes
    ----------
    root : pathlib.Path
    operations : list of Operation
    moments : list of Moment
        One more than there are operations.
    """

    root: Path
    operations: list[Operation]
    moments: list[Moment] = field(default_factory=list)

    @classmethod
    def replayed(
        cls, root: Path, before: Mapping[int, tuple[str, bytes | None]], operations: list[Operation]
    ) -> History:
        """Replay operations on what was there before (see `inventory`)."""
        history = cls(root, operations)
        replay = _Replay(str(root), before)
        history.moments.append(replay.moment(0))
        for done, operation in enumerate(operations, start=1):
            replay.add(done, operation)
            history.moments.append(replay.moment(done))
        return history

    def final(self) -> State:
        """The state in which nothing was lost at the end."""
        return _drawn(self.moments[-1], random.Random(0), names="all", data="all", memory={})

    def states(self, seed: int, *, fruitless: int = 20_000) -> Iterator[State]:
        """Distinct states at random; ends after a number of draws that gave only known ones."""
        draw = random.Random(seed)
        seen: set[bytes] = set()
        memory: dict[object, bytes] = {}
        acknowledged = [n for n, each in enumerate(self.operations, start=1) if each.kind == "mark"]
        known = 0
        while known < fruitless:
            at = draw.choice(acknowledged) if draw.random() < 0.25 else draw.randrange(len(self.moments))
            state = _drawn(self.moments[at], draw, memory=memory)
            key = state.key()
            if key in seen:
                known += 1
                continue
            known = 0
            seen.add(key)
            yield state

    def words(self, state: State) -> str:
        """Where the crash was, and what was lost."""
        last = self.operations[max(0, state.done - 4) : state.done]
        steps = ", ".join(f"{each.kind} {_short(each, self.root)}" for each in last)
        return f"crash after {state.done} of {len(self.operations)} operations ({steps}); {state.losses}"


def _short(operation: Operation, root: Path) -> str:
    path = operation.target or operation.path
    return path.removeprefix(f"{root}/") or f"inode {operation.inode}"


def inventory(root: Path) -> dict[int, tuple[str, bytes | None]]:
    """Path and content of each file below a folder, by inode; the content of a folder is None."""
    found: dict[int, tuple[str, bytes | None]] = {root.stat().st_ino: ("", None)}
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        if facts.st_ino in found:
            raise NotImplementedError(f"two names of a file before the job: {path}")
        content = None if stat.S_ISDIR(facts.st_mode) else path.read_bytes()
        found[facts.st_ino] = path.relative_to(root).as_posix(), content
    return found


class _Replay:
    def __init__(self, root: str, before: Mapping[int, tuple[str, bytes | None]]) -> None:
        self.root = root
        self.nodes: dict[int, _File | _Folder] = {}
        # By inode; an inode may be used again after its file was removed.
        self.by_inode: dict[int, int] = {}
        self.current: dict[int, dict[str, int]] = {}
        self.acknowledged: tuple[str, ...] = ()
        self.versions = 0
        names: dict[str, int] = {}
        for number, (inode, (path, content)) in enumerate(before.items()):
            self.nodes[number] = _Folder({}) if content is None else _File(content, (), self._version())
            self.by_inode[inode] = number
            names[path] = number
            if content is None:
                self.current[number] = {}
            if path:
                parent, _, name = path.rpartition("/")
                self.current[names[parent]][name] = number
        for number, entries in self.current.items():
            self.nodes[number] = _Folder(dict(entries))

    def moment(self, done: int) -> Moment:
        return Moment(done, dict(self.nodes), self.acknowledged)

    def add(self, done: int, operation: Operation) -> None:
        kind = operation.kind
        if kind in ("write", "truncate"):
            self._change_file(operation)
        elif kind == "sync":
            self._flush(operation)
        elif kind in ("create", "mkdir"):
            number = len(self.nodes)
            self.nodes[number] = _Folder({}) if kind == "mkdir" else _File(b"", (), self._version())
            if kind == "mkdir":
                self.current[number] = {}
            self.by_inode[operation.inode] = number
            self._set(done, operation.path, number)
        elif kind == "link":
            self._set(done, operation.target, self.by_inode[operation.inode])
        elif kind == "rename":
            number = self._get(operation.path)
            self._set(done, operation.target, number)
            self._set(done, operation.path, None)
        elif kind in ("unlink", "rmdir"):
            self._set(done, operation.path, None)
        elif kind == "mark":
            self.acknowledged = (*self.acknowledged, operation.path)
        else:
            raise NotImplementedError(f"{operation.path} on {operation.target}")

    def _version(self) -> int:
        self.versions += 1
        return self.versions

    def _change_file(self, operation: Operation) -> None:
        number = self.by_inode.get(operation.inode)
        file = None if number is None else self.nodes[number]
        if number is None or not isinstance(file, _File):
            raise AssertionError(f"unknown file: {operation}")
        self.nodes[number] = replace(file, pending=(*file.pending, operation), number=self._version())

    def _flush(self, operation: Operation) -> None:
        number = self.by_inode[operation.inode]
        node = self.nodes[number]
        if isinstance(node, _File):
            if node.pending:
                self.nodes[number] = _File(_content(node), (), self._version())
            return
        self.nodes[number] = _Folder(node.current())
        renamed = {change.number: change.node for change in node.pending}
        for other, folder in self.nodes.items():
            if isinstance(folder, _Folder) and any(change.number in renamed for change in folder.pending):
                self.nodes[other] = self._flushed_along(folder, renamed)

    def _flushed_along(self, folder: _Folder, renamed: Mapping[int, int | None]) -> _Folder:
        """The other folder of renames one of whose folders was flushed, by their numbers, with what was renamed.

        The new name is then on the disk, so that the file is not lost. The old one may be left, unless it is a folder.
        """
        along: dict[str, int] = {}
        for change in folder.pending:
            if change.number in renamed:
                moved = renamed[change.number]
                is_folder = moved is not None and isinstance(self.nodes[moved], _Folder)
                if change.node is not None or is_folder:
                    along[change.name] = change.number
        done = [each for each in folder.pending if each.number <= along.get(each.name, -1)]
        left = tuple(each for each in folder.pending if each.number > along.get(each.name, -1))
        return _Folder(_applied(folder.flushed, done), left)

    def _parent(self, path: str) -> tuple[int, str]:
        if not path.startswith(f"{self.root}/"):
            raise AssertionError(f"outside the root: {path}")
        *parents, name = [part for part in path[len(self.root) + 1 :].split("/") if part not in ("", ".")]
        number = 0
        for each in parents:
            number = self.current[number][each]
        return number, name

    def _get(self, path: str) -> int:
        folder, name = self._parent(path)
        return self.current[folder][name]

    def _set(self, done: int, path: str, node: int | None) -> None:
        folder, name = self._parent(path)
        entry = self.nodes[folder]
        assert isinstance(entry, _Folder)
        self.nodes[folder] = _Folder(entry.flushed, (*entry.pending, _Change(done, name, node)))
        if node is None:
            del self.current[folder][name]
        else:
            self.current[folder][name] = node


def _applied(names: Mapping[str, int], changes: Sequence[_Change]) -> dict[str, int]:
    result = dict(names)
    for change in changes:
        if change.node is None:
            result.pop(change.name, None)
        else:
            result[change.name] = change.node
    return result


def _content(file: _File, count: int | None = None) -> bytes:
    """The bytes after the first pending operations; by default after all."""
    content = bytearray(file.flushed)
    for operation in file.pending[:count]:
        _apply(content, operation)
    return bytes(content)


def _apply(content: bytearray, operation: Operation) -> None:
    if operation.kind == "truncate":
        if operation.offset < len(content):
            del content[operation.offset :]
        else:
            content.extend(bytes(operation.offset - len(content)))
        return
    end = operation.offset + len(operation.data)
    if operation.offset > len(content):
        content.extend(bytes(operation.offset - len(content)))
    content[operation.offset : end] = operation.data


# -- drawing -----------------------------------------------------------------------------------------------------------

_Names = Literal["all", "none", "first", "some", "all but one"]
_Data = Literal["all", "none", "first", "some"]


def _drawn(
    moment: Moment,
    draw: random.Random,
    *,
    names: _Names | None = None,
    data: _Data | None = None,
    memory: dict[object, bytes],
) -> State:
    names = names or draw.choices(("all", "none", "first", "some", "all but one"), (3, 2, 3, 3, 2))[0]
    data = data or draw.choices(("all", "none", "first", "some"), (2, 2, 3, 4))[0]
    kept = _kept(moment, names, draw)
    entries = {
        number: _applied(node.flushed, [change for change in node.pending if change.number in kept])
        for number, node in moment.nodes.items()
        if isinstance(node, _Folder)
    }
    folders: list[str] = []
    files: dict[str, bytes] = {}
    contents: dict[int, bytes] = {}
    open_folders = [("", 0)]
    while open_folders:
        path, number = open_folders.pop()
        for name, child in sorted(entries[number].items()):
            below = f"{path}{name}"
            node = moment.nodes[child]
            if isinstance(node, _Folder):
                folders.append(below)
                open_folders.append((f"{below}/", child))
                continue
            if child not in contents:
                contents[child] = _drawn_content(node, data, draw, memory)
            files[below] = contents[child]
    return State(moment.done, moment.acknowledged, tuple(sorted(folders)), files, f"kept: names {names}, bytes {data}")


def _kept(moment: Moment, names: _Names, draw: random.Random) -> set[int]:
    """The numbers of the changes of names that are on the disk."""
    folders = [node for node in moment.nodes.values() if isinstance(node, _Folder)]
    numbers = sorted({change.number for folder in folders for change in folder.pending})
    if not numbers or names == "all":
        return set(numbers)
    if names == "none":
        return set()
    if names == "first":
        return set(numbers[: draw.randint(0, len(numbers))])
    if names == "all but one":
        return set(numbers) - {draw.choice(numbers)}
    share = draw.random()
    return {number for number in numbers if draw.random() < share}


def _drawn_content(file: _File, data: _Data, draw: random.Random, memory: dict[object, bytes]) -> bytes:
    count = len(file.pending)
    if count == 0 or data == "none":
        return file.flushed
    if data == "all":
        return _remembered(memory, (file.number, count), lambda: _content(file))
    if data == "first":
        reached = draw.randint(0, count)
        content = _remembered(memory, (file.number, reached), lambda: _content(file, reached))
        if reached < count and draw.random() < 0.5:
            return _cut(content, file.pending[reached], draw)
        return content
    return _mixed(file, draw)


def _remembered(memory: dict[object, bytes], key: object, make: Callable[[], bytes]) -> bytes:
    if key not in memory:
        if len(memory) > 300:
            memory.clear()
        memory[key] = make()
    return memory[key]


def _cut(content: bytes, operation: Operation, draw: random.Random) -> bytes:
    """A part of one more write, up to a sector."""
    if operation.kind == "truncate":
        return content
    first = operation.offset - operation.offset % _SECTOR
    end = operation.offset + len(operation.data)
    sectors = max(1, -(-(end - first) // _SECTOR))
    cut = first + _SECTOR * draw.randint(0, sectors)
    if cut <= operation.offset:
        return content
    changed = bytearray(content)
    _apply(changed, replace(operation, data=operation.data[: cut - operation.offset]))
    return bytes(changed)


def _mixed(file: _File, draw: random.Random) -> bytes:
    """Each block as it was at some time, and the size of some time."""
    current = bytearray(file.flushed)
    sizes = [len(current)]
    # The contents of each block, oldest first.
    blocks: dict[int, list[bytes]] = {}
    for operation in file.pending:
        before = len(current)
        if operation.kind == "truncate":
            touched = range(min(before, operation.offset) // _BLOCK, -(-max(before, operation.offset) // _BLOCK))
        else:
            end = operation.offset + len(operation.data)
            touched = range(min(before, operation.offset) // _BLOCK, -(-end // _BLOCK))
        for block in touched:
            if block not in blocks:
                blocks[block] = [_block(current, block)]
        _apply(current, operation)
        for block in touched:
            blocks[block].append(_block(current, block))
        sizes.append(len(current))
    size = draw.choice(sizes)
    share = draw.choice((0.1, 0.5, 0.9))
    result = bytearray(file.flushed[:size])
    result.extend(bytes(size - len(result)))
    torn = draw.choice(sorted(blocks)) if blocks and draw.random() < 0.5 else None
    for block, versions in blocks.items():
        chosen = versions[-1] if draw.random() < share else draw.choice(versions)
        if block == torn:
            cut = _SECTOR * draw.randint(1, _BLOCK // _SECTOR - 1)
            chosen = chosen[:cut] + draw.choice(versions)[cut:]
        start = block * _BLOCK
        if start < size:
            part = chosen[: size - start]
            result[start : start + len(part)] = part
    return bytes(result)


def _block(content: bytearray, number: int) -> bytes:
    found = bytes(content[number * _BLOCK : (number + 1) * _BLOCK])
    return found + bytes(_BLOCK - len(found))
