"""Checks before writing: values that both databases can store, and known structures."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, select

from bsv_store.catalog.database.models import Structure
from bsv_store.errors import InputError
from bsv_store.text import MAX_ID, listed, number_of, shown

MAX_INT = 2**31 - 1
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def canonical_json(value: Any) -> str:
    """The value as canonical JSON: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of(text: str) -> str:
    """SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_fields(what: str, ids: Iterable[object], ints: Iterable[object], floats: Iterable[object]) -> None:
    """Refuse ids of more than 64 bits, other integers of more than 32, and floats that are not finite.

    Raises
    ------
    InputError
    """
    for value in ids:
        if value is not None and not (isinstance(value, int) and 0 <= value <= MAX_ID):
            raise InputError(f"{what}: {shown(value)} is not a valid id", hint="Ids are integers from 0 to 2^63 - 1.")
    for value in ints:
        if value is not None and not (isinstance(value, int) and abs(value) <= MAX_INT):
            raise InputError(f"{what}: {shown(value)} is not an integer of 32 bits")
    for value in floats:
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
            raise InputError(f"{what}: {shown(value)} is not a finite number")


def check_text(what: str, texts: Iterable[object]) -> None:
    """Refuse text that Postgres cannot store: NUL characters and lone surrogates.

    Raises
    ------
    InputError
    """
    for value in texts:
        if value is not None and (not isinstance(value, str) or _UNSTORABLE.search(value)):
            raise InputError(f"{what}: {shown(value)} is not text that a database can store")


def check_structures(connection: Connection, structure_ids: Collection[int], source: str) -> None:
    """Refuse structures that the ontology in the store does not have.

    Raises
    ------
    InputError
    """
    known = set(connection.execute(select(Structure.id)).scalars())
    unknown = sorted(set(structure_ids) - known)
    if unknown and not known:
        raise InputError(
            f"{source} cannot be checked: the catalog has no structures yet",
            hint="Ingest the ontology first: `bsv-store sync structures`, or `bsv-store ingest structures FILE`.",
        )
    if unknown:
        raise InputError(
            f"{source} names {number_of(len(unknown), 'structure')} that the store's ontology does not have: "
            f"{listed(unknown)}",
            hint=f"The ontology has {number_of(len(known), 'structure')}; it is incomplete or older than this file. "
            "Update it: `bsv-store sync structures`, or `bsv-store ingest structures FILE` with the complete one.",
        )
