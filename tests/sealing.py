"""Changes of the catalog that no method makes, sealed as if one had made them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bsv_store.catalog.database.schema import HEAD
from bsv_store.catalog.sealing import seal_everything

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database


@contextmanager
def sealed_changes(database: Database) -> Iterator[Connection]:
    """A transaction whose changes are sealed at its end."""
    with database.writing() as connection:
        yield connection
        seal_everything(connection, HEAD)
