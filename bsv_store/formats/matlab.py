"""The unionize rows in a cache of Brain Street View for MATLAB: the struct array ``injectionInfo`` in a MAT file.

SciPy's reader crashes the interpreter on some damaged files, and allocates arrays of any size that a file states. The
few types of these files are therefore read here. Format: MAT-File Level 5,
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bsv_store.catalog.records import UNIONIZE_FIELDS, UnionizeTable
from bsv_store.errors import FormatError
from bsv_store.formats.fields import DAMAGED_HINT, quoted
from bsv_store.formats.unionizes import BSV_ID, unionize_table_from_rows
from bsv_store.text import size_text

MAX_BYTES: Final = 64_000_000
"""Maximum size of a file after decompression; a summary has 100 kB."""

_VARIABLE = "injectionInfo"
_HDF5_MAGIC = b"\x89HDF"
# MATLAB 7.3 files are HDF5 files with a user block.
_HDF5_OFFSET = 512

_HEADER_BYTES, _TAG_BYTES = 128, 8
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS: Mapping[int, str] = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
_TEXTS: Mapping[int, str] = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
# Classes of arrays; numbers are 6 (double) to 15 (uint64).
_CELL, _STRUCT, _CHAR, _FIRST_NUMBER, _LAST_NUMBER = 1, 2, 4, 6, 15
# Arrays of strings, tables and other objects, which have no shape.
_OPAQUE = 17
# Some programs write unsigned ones.
_DIMENSIONS = (5, 6)
_IS_LOGICAL, _IS_COMPLEX = 0x200, 0x800
_MAX_DEPTH = 4


def read_injection_info(body: bytes, *, what: str) -> UnionizeTable:
    """The unionize rows in an ``injectionSummary_all.mat`` of Brain Street View.

    Parameters
    ----------
    body : bytes
        A MAT file of version 5 to 7.
    what : str
        Name of the file, for errors.

    Raises
    ------
    FormatError
        If it is not a valid MAT file, or its rows are not unionize rows.
    """
    if body[_HDF5_OFFSET : _HDF5_OFFSET + len(_HDF5_MAGIC)] == _HDF5_MAGIC:
        raise FormatError(
            f"{what} is a MAT file of version 7.3, which is not supported",
            hint="Save it in MATLAB with the option -v7.",
        )
    if len(body) < _HEADER_BYTES or body[126:128] not in (b"IM", b"MI"):
        raise FormatError(f"{what} is not a readable MAT file of version 5 to 7", hint=DAMAGED_HINT)
    file = _MatFile(body[126:128] == b"IM")
    try:
        found = file.variable(memoryview(body)[_HEADER_BYTES:], _VARIABLE)
    except (ValueError, zlib.error) as error:
        raise FormatError(f"{what} is not a readable MAT file: {quoted(str(error))}", hint=DAMAGED_HINT) from error
    if found is None:
        raise FormatError(f"{what} has no variable {_VARIABLE}", hint=DAMAGED_HINT)
    if not isinstance(found, list) or not all(isinstance(row, Mapping) for row in found):
        raise FormatError(f"{what}: {_VARIABLE} is not a struct array", hint=DAMAGED_HINT)
    return unionize_table_from_rows(_plain(found), what=what)


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the types of unionize rows: in MATLAB all numbers are doubles."""
    kinds = {name: kind for name, _, kind in UNIONIZE_FIELDS} | {BSV_ID: "i8"}
    return [{name: _value(value, kinds.get(name, "")) for name, value in row.items()} for row in rows]


def _value(value: Any, kind: str) -> Any:
    if kind == "i8" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "?" and isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    return value


@dataclass(frozen=True, slots=True)
class _Element:
    kind: int
    content: memoryview


class _MatFile:
    """Reader of the arrays of a MAT file. Invalid files raise ValueError or zlib.error."""

    def __init__(self, is_little: bool) -> None:
        self._is_little = is_little
        self._left = MAX_BYTES

    def variable(self, data: memoryview, name: str) -> Any:
        """The value of a variable; None if the file does not have it."""
        for element in self._elements(data):
            content = element.content
            if element.kind == _COMPRESSED:
                inner = next(self._elements(memoryview(self._inflated(content))), None)
                if inner is None or inner.kind != _MATRIX:
                    raise ValueError("a compressed element is not an array")
                content = inner.content
            elif element.kind != _MATRIX:
                continue
            found, value = self._array(content, wanted=name, depth=0)
            if found == name:
                return value
        return None

    def _elements(self, data: memoryview) -> Iterator[_Element]:
        while len(data) >= _TAG_BYTES:
            word = self._int(data[:4])
            if word >> 16:
                # A small element: size and type in one word, and up to four bytes.
                if word >> 16 > 4:
                    raise ValueError("an element is truncated")
                yield _Element(word & 0xFFFF, data[4 : 4 + (word >> 16)])
                data = data[_TAG_BYTES:]
                continue
            size = self._int(data[4:8])
            if size > len(data) - _TAG_BYTES:
                raise ValueError("it is truncated")
            yield _Element(word, data[_TAG_BYTES : _TAG_BYTES + size])
            # Compressed elements are not padded.
            data = data[_TAG_BYTES + (size if word == _COMPRESSED else -(-size // 8) * 8) :]

    def _array(self, data: memoryview, *, depth: int, wanted: str | None = None) -> tuple[str, Any]:
        """Name and value of an array: rows of a struct array, a number, a text, or a list.

        The value of an array with another name than the wanted one is not read.
        """
        if depth > _MAX_DEPTH:
            raise ValueError("its arrays are nested too deeply")
        elements = self._elements(data)
        flags = next(elements, None)
        if flags is not None and len(flags.content) == 8 and self._int(flags.content[:4]) & 0xFF == _OPAQUE:
            return self._opaque(next(elements, None), wanted), None
        dimensions, label = next(elements, None), next(elements, None)
        if (
            flags is None
            or dimensions is None
            or label is None
            or len(flags.content) != 8
            or dimensions.kind not in _DIMENSIONS
        ):
            # MATLAB writes empty fields without content.
            if not len(data):
                return "", []
            raise ValueError("an array has no shape or name")
        word = self._int(flags.content[:4])
        name = bytes(label.content).decode("latin-1")
        if wanted not in (None, name):
            return name, None
        count = math.prod(self._numbers(dimensions).tolist())
        if not 0 <= count <= len(data):
            raise ValueError(f"an array has {count:,} elements in {len(data):,} bytes")
        kind = word & 0xFF
        if kind == _STRUCT:
            return name, self._rows(elements, count, depth=depth)
        if kind == _CELL:
            return name, self._cells(elements, depth=depth)
        values = next(elements, None)
        if values is None or word & _IS_COMPLEX:
            raise ValueError("an array has no values, or complex ones")
        if kind == _CHAR:
            return name, self._text(values)
        if not _FIRST_NUMBER <= kind <= _LAST_NUMBER:
            raise ValueError(f"it has an array of the class {kind}")
        numbers = self._numbers(values)
        if numbers.size != count:
            raise ValueError("an array has another number of values than its shape")
        found = (numbers.astype(bool) if word & _IS_LOGICAL else numbers).tolist()
        return name, found[0] if count == 1 else found

    def _opaque(self, label: _Element | None, wanted: str | None) -> str:
        name = "" if label is None else bytes(label.content).decode("latin-1")
        if wanted in (None, name):
            raise ValueError("it has an array of objects")
        return name

    def _cells(self, elements: Iterator[_Element], *, depth: int) -> list[Any]:
        # jsondecode makes cells of structs, if their fields are not all the same.
        found: list[Any] = []
        for element in elements:
            _, value = self._array(element.content, depth=depth + 1)
            is_struct = isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)
            found.append(value[0] if is_struct else value)
        return found

    def _rows(self, elements: Iterator[_Element], count: int, *, depth: int) -> list[dict[str, Any]]:
        width, names = next(elements, None), next(elements, None)
        length = 0 if width is None or len(width.content) != 4 else self._int(width.content)
        if names is None or not length or len(names.content) % length:
            raise ValueError("a struct array has no names of fields")
        text = bytes(names.content)
        fields = [text[at : at + length].split(b"\0")[0].decode("latin-1") for at in range(0, len(text), length)]
        rows: list[dict[str, Any]] = []
        for _ in range(count):
            row = {}
            for field in fields:
                element = next(elements, None)
                if element is None or element.kind != _MATRIX:
                    raise ValueError("a struct array is truncated")
                row[field] = self._array(element.content, depth=depth + 1)[1]
            rows.append(row)
        return rows

    def _numbers(self, element: _Element) -> np.ndarray[Any, Any]:
        if element.kind not in _NUMBERS:
            raise ValueError(f"numbers have the type {element.kind}")
        dtype = np.dtype(_NUMBERS[element.kind]).newbyteorder("<" if self._is_little else ">")
        if len(element.content) % dtype.itemsize:
            raise ValueError("numbers are truncated")
        return np.frombuffer(element.content, dtype)

    def _text(self, element: _Element) -> str:
        encoding = _TEXTS.get(element.kind)
        if encoding is None:
            raise ValueError(f"a text has the type {element.kind}")
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self._is_little else "-be"
        return bytes(element.content).decode(encoding)

    def _inflated(self, data: memoryview) -> bytes:
        inflater = zlib.decompressobj()
        found = inflater.decompress(data, self._left + 1)
        self._left -= len(found)
        if self._left < 0:
            raise ValueError(f"it must be at most {size_text(MAX_BYTES)} when decompressed")
        if not inflater.eof:
            raise ValueError("its compressed data are truncated")
        return found

    def _int(self, data: memoryview) -> int:
        return int.from_bytes(data, "little" if self._is_little else "big")
