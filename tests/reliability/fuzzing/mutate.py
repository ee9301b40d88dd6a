"""Mutators: random changes of an input inside its containers, so that checksums do not hide the readers behind them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from tests.reliability.fuzzing.target import Mutator

_NUMBERS = (
    *("0", "-0", "1", "-1", "2", "3", "255", "256", "65535", "65536", "2147483647", "2147483648", "-2147483649"),
    *("4294967295", "4294967296", "9007199254740993", "9223372036854775807", "9223372036854775808"),
    *("18446744073709551616", "1e308", "1e309", "-1e309", "1e-320", "0.1", "1.0", "2.5", "NaN", "Infinity", "nan"),
    *("inf", "-inf", "0x10", "1_000", "１２", "9" * 25, "9" * 5000, "1e99999", "00", "+1", "1.", ".5", "1,5"),
)
_TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\n",
        "\t",
        "\x1b[31m",
        "\u202e",
        "\ufeff",
        "\ud7ff",
        "é",
        "日本",
        "\U0001f600",
        "../",
        "..",
        "/etc/passwd",
    ),
    *("a/../../b", "C:\\", "con", "%2e%2e", "%", "'", '"', "`", ";", "--", "=1+1", "@x", "[", "]", "{", "}", "<html>"),
    *(
        "x" * 300,
        "x" * 70_000,
        "VISp",
        "997",
        "null",
        "true",
        "None",
        "2020-01-01",
        "2020-01-01T00:00:00",
        "0001-01-01T00:00:00+23:59",
    ),
)
_WORDS = tuple(text.encode() for text in (*_NUMBERS, *_TEXTS))
_MARKS = b"\x00\xff\x7f\x80 \n\r\t,;:=\"'()[]{}<>/\\|#*.+-_0123456789eE"


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bits, bytes, words and pieces changed anywhere, more often in the head and tail."""
    changed = bytearray(data or b"x")
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        size = len(changed) or 1
        at = chance.choice(
            (chance.randrange(size), chance.randrange(min(512, size)), size - 1 - chance.randrange(min(512, size)))
        )
        end = min(size, at + chance.choice((1, 1, 2, 4, 8, 64, 1000)))
        match chance.randrange(9):
            case 0:
                if changed:
                    changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at:end] = bytes(chance.choices(_MARKS, k=end - at))
            case 2:
                del changed[at:end]
            case 3:
                changed[at:at] = bytes(chance.choices(_MARKS, k=chance.randint(1, 8)))
            case 4:
                changed[at:end] = chance.choice(_WORDS)
            case 5:
                other = chance.randrange(size)
                changed[at:at] = changed[other : other + chance.choice((4, 16, 100, 1000))]
            case 6:
                width = chance.choice((1, 2, 4, 8))
                value = chance.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1, chance.getrandbits(64)))
                changed[at : at + width] = (value & (256**width - 1)).to_bytes(width, chance.choice(("little", "big")))
            case 7:
                del changed[at:]
            case _:
                changed[at:end] = changed[at:end] * chance.choice((2, 3, 50))
    return bytes(changed)


def mutate_text(data: bytes, chance: random.Random) -> bytes:
    """Lines and cells removed, repeated, exchanged and replaced; else as `mutate_bytes`."""
    if chance.random() < 0.3:
        return mutate_bytes(data, chance)
    lines = data.split(b"\n")
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(lines)) if lines else 0
        match chance.randrange(6):
            case 0:
                del lines[at : at + 1]
            case 1:
                lines[at:at] = lines[at : at + 1] * chance.choice((1, 2, 200))
            case 2 if lines:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3 if lines:
                mark = chance.choice((b",", b" ", b";", b"=", b":", b"\t", b'"'))
                cells = lines[at].split(mark)
                cells[chance.randrange(len(cells))] = chance.choice(_WORDS)
                lines[at] = mark.join(cells)
            case 4 if lines:
                lines[at] = mutate_bytes(lines[at], chance)
            case _:
                lines[at:at] = [chance.choice(_WORDS)]
    return b"\n".join(lines)


_RAW = "@raw:"


def _replacement(value: Any, chance: random.Random) -> Any:
    match chance.randrange(10):
        case 0:
            return f"{_RAW}{chance.choice(_NUMBERS)}"
        case 1:
            return chance.choice(_TEXTS)
        case 2:
            return chance.choice((None, True, False, [], {}, [None], [[]], {"": None}, 0, -1, 0.5, 2**53, -1e-300))
        case 3:
            return [value, value]
        case 4:
            return {"a": value}
        case 5:
            nested = value
            for _ in range(chance.choice((3, 70, 2000))):
                nested = (
                    [nested]
                    if chance.random() < 0.7
                    else {"operator": nested, "children": [nested]}
                    if chance.random() < 0.02
                    else [nested]
                )
            return nested
        case 6 if isinstance(value, int | float) and not isinstance(value, bool):
            return chance.choice((value + 1, -value, value * 1000, float(value), str(value), [value]))
        case 7 if isinstance(value, str):
            return mutate_bytes(value.encode(errors="replace"), chance).decode(errors="replace")
        case 8 if isinstance(value, list):
            return value[: chance.randrange(len(value) + 1)] + value * chance.choice((0, 1, 50))
        case _:
            return str(value)


def mutate_tree(value: Any, chance: random.Random) -> Any:
    """A JSON value with a part changed, removed, repeated or renamed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        changed = dict(value)
        match chance.randrange(12):
            case 0:
                del changed[key]
            case 1:
                changed[chance.choice((*_TEXTS, *value))] = changed.pop(key)
            case 2:
                changed[chance.choice(_TEXTS)] = chance.choice(list(value.values()))
            case _:
                changed[key] = mutate_tree(value[key], chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        changed_list = list(value)
        match chance.randrange(12):
            case 0:
                del changed_list[at]
            case 1:
                changed_list.insert(at, chance.choice(value))
            case 2:
                chance.shuffle(changed_list)
            case _:
                changed_list[at] = mutate_tree(value[at], chance)
        return changed_list
    return _replacement(value, chance)


def _dumped(value: Any) -> bytes:
    try:
        text = json.dumps(value)
    except RecursionError:
        return b'{"version": 1, "not": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    while (at := text.find(f'"{_RAW}')) >= 0:
        end = text.index('"', at + 1)
        text = f"{text[:at]}{json.loads(text[at : end + 1])[len(_RAW) :]}{text[end + 1 :]}"
    return text.encode()


def mutate_json(data: bytes, chance: random.Random) -> bytes:
    """The tree of a JSON text changed; text that is not JSON as by `mutate_text`."""
    if chance.random() < 0.15:
        return mutate_text(data, chance)
    try:
        value = json.loads(data)
        for _ in range(chance.choice((1, 1, 2, 3))):
            value = mutate_tree(value, chance)
        return _dumped(value)
    except (ValueError, RecursionError, OverflowError):
        return mutate_text(data, chance)


def sealed(key: str) -> Mutator:
    """A mutator of ``{key: value, "sha256": ...}`` that makes the hash fit."""

    def mutate(data: bytes, chance: random.Random) -> bytes:
        try:
            content = json.loads(data)
            value = mutate_tree(content[key], chance)
            text = _dumped(value)
            found = json.loads(text)
            digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return mutate_json(data, chance)
        return b'{"%s": %s, "sha256": "%s"}' % (key.encode(), text, digest.encode())

    return mutate


def any_of(*mutators: Mutator) -> Mutator:
    """One of several mutators each time."""

    def mutate(data: bytes, chance: random.Random) -> bytes:
        return chance.choice(mutators)(data, chance)

    return mutate


def in_gzip(inner: Mutator) -> Mutator:
    """Change what a gzip stream contains, or the stream, or its members."""

    def mutate(data: bytes, chance: random.Random) -> bytes:
        if not data.startswith(b"\x1f\x8b"):
            changed = inner(data, chance)
            return gzip.compress(changed, 1, mtime=0) if chance.random() < 0.1 else changed
        if chance.random() < 0.2:
            return mutate_bytes(data, chance)
        try:
            content = zlib.decompressobj(31).decompress(data, 1 << 24)
        except zlib.error:
            return mutate_bytes(data, chance)
        packed = gzip.compress(inner(content, chance), 1, mtime=0)
        match chance.randrange(8):
            case 0:
                return packed + packed
            case 1:
                return gzip.compress(packed, 1, mtime=0)
            case 2:
                return packed + b"\0" * chance.randrange(600)
            case _:
                return packed

    return mutate


def in_zip(inner: dict[str, Mutator]) -> Mutator:
    """Change a member of a zip file, its entry in the directory, or the archive as bytes."""

    def mutate(data: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.25:
            return mutate_bytes(data, chance)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [(info, archive.read(info)) for info in archive.infolist()]
        # Whatever the library says of an input that was mutated before.
        except Exception:  # noqa: BLE001
            return mutate_bytes(data, chance)
        at = chance.randrange(len(members)) if members else 0
        if members and chance.random() < 0.7:
            info, content = members[at]
            members[at] = info, inner.get(info.filename, mutate_bytes)(content, chance)
        buffer = io.BytesIO()
        with (
            contextlib.suppress(ValueError, struct.error, OverflowError, UnicodeError),
            zipfile.ZipFile(buffer, "w") as archive,
        ):
            for number, (info, content) in enumerate(members):
                name = info.filename
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                method = info.compress_type
                if number == at and chance.random() < 0.3:
                    match chance.randrange(6):
                        case 0:
                            entry = zipfile.ZipInfo(chance.choice(("../x", "/x", "a/b", "C:x", "", name.upper(), "é")))
                        case 1:
                            entry.external_attr = chance.choice((0o120777, 0o040755, 0o060600)) << 16
                        case 2:
                            method = chance.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED))
                        case 3:
                            archive.writestr(entry, content, method)
                            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                        case 4:
                            continue
                        case _:
                            entry.extra = struct.pack(
                                "<HH", chance.choice((1, 0x7075, 9)), chance.choice((0, 4, 8, 24))
                            ) + bytes(chance.randrange(30))
                archive.writestr(entry, content, method, compresslevel=1)
        changed = buffer.getvalue()
        if chance.random() < 0.2:
            start = changed.rfind(b"PK\x01\x02")
            tail = mutate_bytes(changed[start:], chance)
            changed = changed[:start] + tail
        return changed

    return mutate


_DTYPES = ("<f4", ">f4", "<f8", "<u4", "<i8", "S10", "u1", "<c8", "V16")


def _change_hdf5(file: Any, chance: random.Random, inner: Callable[[Any, random.Random], Any]) -> None:
    import h5py
    import numpy as np

    names = list(file)
    name = chance.choice(names) if names else "volume"
    match chance.randrange(14):
        case 0:
            del file[name]
        case 1:
            file.move(name, chance.choice(("x", "volume", "indices_0", "values", "inputs", "é")))
        case 2:
            target = chance.choice(
                (h5py.SoftLink("/"), h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/etc/passwd", "/"), None)
            )
            del file[name]
            if target is None:
                file.create_group(name)
            else:
                file[name] = target
        case 3 | 4:
            attributes = file.attrs if chance.random() < 0.8 else file[name].attrs
            key = chance.choice([*attributes, "spacing_um"])
            attributes[key] = chance.choice(
                (
                    np.int64(chance.choice((0, -1, 10, 25, 100, 10**12, 2**62))),
                    np.bytes_(chance.choice(_WORDS)[:60_000] or b"x"),
                    "text",
                    np.zeros(chance.choice((0, 3, 1000))),
                    h5py.Empty("f4"),
                    np.float64("nan"),
                )
            )
        case 5:
            key = chance.choice([*file.attrs, "spacing_um"])
            with contextlib.suppress(KeyError):
                del file.attrs[key]
        case 6 | 7:
            old = file[name]
            shape = chance.choice(
                (old.shape, (0,), (10**12,), (1,), (132, 80, 114), (264, 160, 228), (2**31, 2**20), ())
            )
            dtype = chance.choice((old.dtype, *_DTYPES))
            options: dict[str, Any] = {}
            if shape and 0 not in shape:
                options = chance.choice(
                    (
                        {},
                        {"chunks": tuple(min(each, 50) for each in shape)},
                        {"chunks": True, "compression": "gzip"},
                        {"chunks": True, "compression": "lzf"},
                        {"chunks": True, "scaleoffset": 0},
                        {"chunks": True, "fletcher32": True, "shuffle": True},
                        {"chunks": True, "fillvalue": 7},
                        {"maxshape": (None,) * len(shape), "chunks": True},
                    )
                )
            elif not shape:
                options = {}
            del file[name]
            file.create_dataset(name, shape=shape, dtype=dtype, **options)
        case 8:
            old = file[name]
            values = old[()]
            del file[name]
            file.create_dataset(
                name, data=values, chunks=True if old.shape else None, compression="gzip" if old.shape else None
            )
        case 9:
            old = file[name]
            if old.shape and old.dtype.kind in "iuf":
                at = tuple(chance.randrange(length) for length in old.shape)
                old[at] = (
                    chance.choice((0, 1, 2**31, -1, 1e30, float("nan")))
                    if old.dtype.kind == "f"
                    else chance.choice((0, 1, 2**31 - 1))
                )
        case 10:
            old = file[name]
            if old.chunks is not None:
                raw = zlib.compress(bytes(chance.choice((100, 1 << 20, 1 << 27))), 9)
                old.id.write_direct_chunk(
                    (0,) * len(old.shape), chance.choice((raw, raw + b"abcd", b"", b"x")), chance.choice((0, 1, 3))
                )
        case 11:
            layout = h5py.VirtualLayout(shape=(132, 80, 114), dtype="<f4")
            layout[:] = h5py.VirtualSource(".", "/values", shape=(132, 80, 114))
            del file[name]
            file.create_virtual_dataset(name, layout)
        case 12:
            del file[name]
            file.create_dataset(
                name, shape=(132, 80, 114), dtype="<f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
            )
        case _:
            inner(file, chance)


def in_hdf5(
    inner: Callable[[Any, random.Random], Any] = lambda _file, _chance: None, *, bytes_too: bool = False
) -> Mutator:
    """Change datasets, attributes and links of an HDF5 file through h5py, or also its bytes."""

    def mutate(data: bytes, chance: random.Random) -> bytes:
        import h5py

        if bytes_too and chance.random() < 0.3:
            return mutate_bytes(data, chance)
        buffer = io.BytesIO(data)
        try:
            with h5py.File(buffer, "r+") as file:
                for _ in range(chance.choice((1, 1, 2))):
                    with contextlib.suppress(KeyError, ValueError, TypeError, OSError, RuntimeError, AttributeError):
                        _change_hdf5(file, chance, inner)
        # Whatever the library says of an input that was mutated before.
        except Exception:  # noqa: BLE001
            return mutate_bytes(data, chance) if bytes_too else data
        return buffer.getvalue()

    return mutate


def in_nrrd(data: bytes, chance: random.Random) -> bytes:
    """Change the header of an NRRD file, its body, or both."""
    header, empty, body = data.partition(b"\n\n")
    if not empty or chance.random() < 0.15:
        return mutate_bytes(data, chance)
    if chance.random() < 0.75:
        header = mutate_text(header, chance)
    if chance.random() < 0.3:
        body = in_gzip(mutate_bytes)(body, chance)
    return header + empty + body
