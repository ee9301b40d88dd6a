"""Damage to the bytes of a published file, and its repair."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, assert_never, get_args

import h5py
import numpy as np

Damage = Literal["hole", "chunk of zeros", "chunks swapped", "chunk copied", "truncated", "bit flipped"]
DAMAGES: tuple[Damage, ...] = get_args(Damage)

# (dataset, byte offset, stored size) of a chunk.
Chunk = tuple[str, int, int]


def chunks_of(path: Path, *names: str) -> list[Chunk]:
    """The chunks of datasets of an HDF5 file, as stored."""
    with h5py.File(path, "r") as file:
        found = [
            (name, file[name].id.get_chunk_info(at)) for name in names for at in range(file[name].id.get_num_chunks())
        ]
    return [(name, int(chunk.byte_offset), int(chunk.size)) for name, chunk in found]


def swappable(chunks: Sequence[Chunk]) -> list[tuple[Chunk, Chunk]]:
    """Pairs of chunks that have the same stored size."""
    return [(one, two) for at, one in enumerate(chunks) for two in chunks[at + 1 :] if one[2] == two[2]]


@contextmanager
def damaged(
    path: Path, damage: Damage, random: np.random.Generator, chunks: Sequence[Chunk], *, hole_bytes: int = 4 << 20
) -> Iterator[list[Chunk]]:
    """A ``with`` statement in which the file is damaged at a random place, with the chunks that are hit, if known."""
    size = path.stat().st_size
    if damage == "hole":
        start = int(random.integers(size))
        hit = [chunk for chunk in chunks if chunk[1] < start + hole_bytes and start < chunk[1] + chunk[2]]
        changes = [(start, bytes(min(hole_bytes, size - start)))]
    elif damage == "chunk of zeros":
        hit = [chunks[int(random.integers(len(chunks)))]]
        changes = [(hit[0][1], bytes(hit[0][2]))]
    elif damage == "chunks swapped" or damage == "chunk copied":
        pairs = swappable(chunks)
        hit = list(pairs[random.integers(len(pairs))])
        one, two = (_bytes(path, offset, length) for _, offset, length in hit)
        changes = [(hit[0][1], two), (hit[1][1], one)] if damage == "chunks swapped" else [(hit[0][1], two)]
    elif damage == "truncated":
        start, hit = int(random.integers(size)), []
        tail = _bytes(path, start, size - start)
        os.truncate(path, start)
        try:
            yield hit
        finally:
            _write(path, start, tail)
        return
    elif damage == "bit flipped":
        # Half of them in the description at the start of the file.
        place = int(random.integers(size if random.integers(2) else 4096))
        hit = [chunk for chunk in chunks if chunk[1] <= place < chunk[1] + chunk[2]]
        changes = [(place, bytes([_bytes(path, place, 1)[0] ^ 1 << int(random.integers(8))]))]
    else:
        assert_never(damage)
    before = [(offset, _bytes(path, offset, len(content))) for offset, content in changes]
    for offset, content in changes:
        _write(path, offset, content)
    try:
        yield hit
    finally:
        for offset, content in before:
            _write(path, offset, content)


def _bytes(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _write(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
