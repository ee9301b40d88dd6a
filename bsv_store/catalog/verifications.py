"""Deletion of verification records, for code that replaces files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.catalog.database.bulk import delete_rows, table_of
from bsv_store.catalog.database.models import Verification

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection


def forget_verifications(connection: Connection, keys: Collection[str]) -> None:
    """Delete the verification records of objects whose files are replaced.

    Otherwise a finding would outlive the damaged file.

    Parameters
    ----------
    keys : collection of str
        See `StoredObject`.
    """
    delete_rows(connection, table_of(Verification), ("object_key",), [(key,) for key in sorted(keys)])
