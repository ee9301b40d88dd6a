"""Changes of the folder of a store, for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path


def rename_database(folder: Path, before: str, after: str) -> None:
    """Make the ``store.toml`` of a copied folder name the copy of its Postgres database."""
    from bsv_store.config import read_store_config

    config = read_store_config(folder)
    assert config.database.count(before) == 1, config
    text = replace(config, database=config.database.replace(before, after)).to_toml()
    (folder / "store.toml").write_text(text, encoding="utf-8")
