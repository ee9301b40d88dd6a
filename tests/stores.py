"""Copies of stores, for tests."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.postgres import PostgresServer


@contextmanager
def copied_store(
    template: Path, location: Path, request: pytest.FixtureRequest, *, database: str | None
) -> Iterator[Path]:
    """A copy of a store for one test.

    Parameters
    ----------
    database : str or None
        Name of the template's Postgres database, which is copied too; None on SQLite.
    """
    shutil.copytree(template, location)
    if database is None:
        yield location
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{uuid.uuid4().hex}"
    server.create_database(name, template=database)
    rename_database(location, database, name)
    yield location
    server.drop_database(name)


def rename_database(folder: Path, before: str, after: str) -> None:
    """Make the ``store.toml`` of a copied folder name the copy of its Postgres database, and link the two."""
    from sqlalchemy import make_url

    from bsv_store.catalog.database.engine import Database
    from bsv_store.config import read_store_config
    from bsv_store.errors import StoreUnreachableError
    from bsv_store.maintenance.folder_link import link_folder
    from bsv_store.volumes.files import StoreFiles

    config = read_store_config(folder)
    assert config.database.count(before) == 1, config
    renamed = replace(config, database=config.database.replace(before, after))
    (folder / "store.toml").write_text(renamed.to_toml(), encoding="utf-8")
    with (
        contextlib.suppress(StoreUnreachableError),
        closing(Database(make_url(renamed.database))) as database,
        database.writing() as connection,
    ):
        link_folder(connection, StoreFiles(folder), replace=True)
