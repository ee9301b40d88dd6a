"""Read JSON and TOML documents from files, servers and users within limits. An invalid document is a `ValueError`.

The parsers of the standard library raise other errors for deep nesting, accept NaN, and turn numbers beyond the range
of floating point into infinity. All documents are read here, so that these are refused in one place. Only replies of
the Allen API, which can be large, have a separate reader (`bsv_store.formats.envelope`).
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from bsv_store.text import shown, size_text

MAX_DEPTH: Final = 64
"""Maximum depth of the objects and arrays of a document."""

MAX_RECORD_BYTES: Final = 1_000_000
"""Maximum size of a file in which this package keeps a few values; it has less than 10 kB."""

MAX_TOML_BYTES: Final = 16_000
"""Maximum size of a TOML file; ``store.toml`` has less than 1 kB."""

MAX_DOCUMENT_BYTES: Final = 200_000_000
"""Maximum size of other documents, such as the recorded inputs of a version with all experiments, which has 2 MB."""

_INTEGERS: Final = range(-(2**63), 2**64)
# Both with a sign. Integers of fewer characters than the second are in the range.
_MAX_DIGITS: Final = 20
_FEW_DIGITS: Final = 19

_RecordT = TypeVar("_RecordT")


def json_value(
    text: str | bytes,
    *,
    max_bytes: int = MAX_DOCUMENT_BYTES,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """The value of a JSON text.

    Parameters
    ----------
    text : str or bytes
        Bytes are UTF-8.
    max_bytes : int
    object_pairs_hook : callable, optional
        As for `json.loads`.

    Raises
    ------
    ValueError
        If it is not JSON, too large, nested deeper than `MAX_DEPTH`, or has a number that neither 64-bit integers nor
        floating point can represent.
    """
    if len(text) > max_bytes:
        raise ValueError(f"it must be at most {size_text(max_bytes)}")
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = json.loads(
            text,
            parse_constant=_refused_constant,
            parse_int=_integer,
            parse_float=_number,
            object_pairs_hook=object_pairs_hook,
        )
    except RecursionError as error:
        raise _too_deep() from error
    _check_depth(value)
    return value


def toml_values(text: bytes, *, max_bytes: int = MAX_TOML_BYTES) -> dict[str, Any]:
    """The keys and values of a TOML text, which is UTF-8.

    Raises
    ------
    ValueError
        If it is not TOML, too large, or nested deeper than `MAX_DEPTH`.
    """
    if len(text) > max_bytes:
        raise ValueError(f"it must be at most {size_text(max_bytes)}")
    # The time and memory for a key with many dots are quadratic.
    if any(line.count(b".") > MAX_DEPTH and not line.lstrip().startswith(b"#") for line in text.splitlines()):
        raise ValueError(f"a line has more than {MAX_DEPTH} dots")
    try:
        values = tomllib.loads(text.decode("utf-8"))
    except RecursionError as error:
        raise _too_deep() from error
    _check_depth(values)
    return values


def read_document(file: Path, *, max_bytes: int = MAX_RECORD_BYTES) -> bytes:
    """The content of a file. At most one byte more than the limit is read.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is too large.
    """
    with file.open("rb") as stream:
        text = stream.read(max_bytes + 1)
    if len(text) > max_bytes:
        raise ValueError(f"it must be at most {size_text(max_bytes)}")
    return text


def sealed_value(text: bytes, key: str, *, max_bytes: int = MAX_RECORD_BYTES) -> Any:
    """The value of a JSON text ``{key: value, "sha256": hash of the value}``.

    Raises
    ------
    ValueError
        If it is too large, has another form, or the hash does not match.
    """
    content = json_value(text, max_bytes=max_bytes)
    if not isinstance(content, dict) or not {key, "sha256"} <= content.keys():
        raise ValueError(f"it must be an object with {key} and sha256")
    if content["sha256"] != seal_of(content[key]):
        raise ValueError("its checksum does not match")
    return content[key]


def seal_of(value: Any) -> str:
    """The hash of a value for `sealed_value`: of its JSON with sorted keys, hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def record_of(kind: type[_RecordT], value: Any) -> _RecordT:
    """A dataclass whose fields are strings, numbers or None, from an object with exactly these fields.

    Raises
    ------
    ValueError
        If a field is missing, unknown, or has a value of another type.
    """
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(value, Mapping) or set(value) != names:
        raise ValueError(f"it must be an object with {', '.join(sorted(names))}")
    for name, hint in get_type_hints(kind).items():
        if name in names and not _fits(value[name], hint):
            raise ValueError(f"{name} is {shown(value[name])}")
    return kind(**value)


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    return type(value) is hint


def _refused_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits) < _FEW_DIGITS:
        return int(digits)
    if len(digits) > _MAX_DIGITS or int(digits) not in _INTEGERS:
        raise ValueError(f"the integer {shown(digits)} has more than 64 bits")
    return int(digits)


def _number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"the number {shown(digits)} is too large")
    return number


def _check_depth(value: Any) -> None:
    # Level by level, since recursion would be limited itself.
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            parts = each.values() if isinstance(each, dict) else each
            below += [part for part in parts if part.__class__ is dict or part.__class__ is list]
        if not below:
            return
        level = below
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
