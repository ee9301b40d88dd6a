"""Copies of stores for tests: a store is filled once for each worker, since that takes longer than a copy."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.postgres import OWNER

if TYPE_CHECKING:
    from bsv_store import Store
    from tests.postgres import PostgresServer


class Templates:
    """Filled stores of one worker, each made when it is first needed, and never changed afterwards.

    Parameters
    ----------
    folder : pathlib.Path
        Where the folders of the stores are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Found by equality, since some arguments cannot be hashed.
        self._made: list[tuple[tuple[object, ...], tuple[Path, str | None]]] = []

    def template(
        self, fill: Callable[..., object], database: str, request: pytest.FixtureRequest, *arguments: object
    ) -> tuple[Path, str | None]:
        """The folder of a store that was filled by a function with these arguments, and its Postgres database."""
        key = fill, database, *arguments
        for made, template in self._made:
            if made == key:
                return template
        from bsv_store import create_store

        number = len(self._made)
        name = None if database == "sqlite" else f"test_filled_{number}"
        folder = self._folder / str(number)
        url = None if name is None else request.getfixturevalue("postgres").create_database(name)
        with create_store(folder, database=url) as store:
            fill(store, *arguments)
        self._made.append((key, (folder, name)))
        return folder, name


def store_with(fill: Callable[..., object], *fixtures: str) -> Any:
    """A fixture: a store of its own for each test, on either database, as ``fill`` leaves it.

    ``fill`` is called once for each worker and database, with the store and the values of these session fixtures.
    """

    @pytest.fixture
    def filled_store(
        database: str, templates: Templates, request: pytest.FixtureRequest, tmp_path: Path
    ) -> Iterator[Store]:
        from bsv_store import open_store

        values = [request.getfixturevalue(each) for each in fixtures]
        folder, name = templates.template(fill, database, request, *values)
        with (
            copied_store(folder, tmp_path / "store", request, database=name) as location,
            open_store(location) as store,
        ):
            yield store

    return filled_store


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
    if database is None:
        shutil.copytree(template, location)
        yield location
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{uuid.uuid4().hex}"
    copy_store(template, location, server, database=database, copy=name)
    yield location
    server.drop_database(name)


def copy_store(template: Path, location: Path, server: PostgresServer, *, database: str, copy: str) -> None:
    """Copy a store on Postgres: its folder, and its database to one with another name."""
    shutil.copytree(template, location)
    server.create_database(copy, template=database)
    _set_database(location, database, copy)
    _link(location, server, copy)


def _link(folder: Path, server: PostgresServer, database: str) -> None:
    """Link a copied folder to the copy of its database, with one connection: `rename_database` takes twice as long."""
    from bsv_store.maintenance.folder_link import read_identity, write_token
    from bsv_store.volumes.files import StoreFiles

    write_token(StoreFiles(folder))
    identity = read_identity(folder)
    assert identity is not None
    with server.connect(database, account=OWNER) as connection:
        if connection.execute("SELECT to_regclass('store_link')").fetchone() == (None,):
            # Of a revision that has no links.
            return
        linked = connection.execute("UPDATE store_link SET folder = %s", [json.dumps(asdict(identity))])
        assert linked.rowcount == 1


def create_and_close(folder: Path, url: str | None) -> None:
    """Create an empty store; the target of a `tests.processes.Child`, which runs the migrations."""
    from bsv_store import create_store

    create_store(folder, database=url).close()


def rename_database(folder: Path, before: str, after: str) -> None:
    """Make the ``store.toml`` of a copied folder name the copy of its Postgres database, and link the two."""
    from sqlalchemy import make_url

    from bsv_store.catalog.database.engine import Database
    from bsv_store.errors import StoreUnreachableError
    from bsv_store.maintenance.folder_link import link_folder
    from bsv_store.volumes.files import StoreFiles

    url = _set_database(folder, before, after)
    with (
        contextlib.suppress(StoreUnreachableError),
        closing(Database(make_url(url))) as database,
        database.writing() as connection,
    ):
        link_folder(connection, StoreFiles(folder), replace=True)


def _set_database(folder: Path, before: str, after: str) -> str:
    from bsv_store.config import read_store_config

    config = read_store_config(folder)
    assert config.database.count(before) == 1, config
    renamed = replace(config, database=config.database.replace(before, after))
    (folder / "store.toml").write_text(renamed.to_toml(), encoding="utf-8")
    return renamed.database
