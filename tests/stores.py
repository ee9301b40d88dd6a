"""Changes of the folder of a store, for tests."""

from __future__ import annotations

import contextlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path


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
