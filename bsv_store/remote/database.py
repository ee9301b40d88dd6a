"""The catalog of a remote store: a SQLite file that never changes, and beside it one with the unionize rows.

The tables and views of unionize rows are not in the first file at all. A statement that names one of them gets the
second file attached, which exists only when it is complete. So no statement can see a part of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from bsv_store.catalog.database.engine import Database, ReadableFile
from bsv_store.catalog.database.sqlite import CatalogConnection, connect_sqlite
from bsv_store.errors import DamagedCatalogError, ReadOnlyStoreError, StoreUnreachableError
from bsv_store.remote.core import attach, is_attached
from bsv_store.remote.local_records import listed_results
from bsv_store.remote.locks import ThreadLock
from bsv_store.remote.sql import query_server

if TYPE_CHECKING:
    from bsv_store.catalog.local_versions import LocalVersionRow
    from bsv_store.catalog.tables.table import Table
    from bsv_store.remote.mirror import Mirror


class MirrorDatabase(Database):
    """The database of a remote store, always read-only. It follows the mirror to new states of the catalog.

    Parameters
    ----------
    mirror : Mirror
    """

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._switching = ThreadLock()
        super().__init__(mirror.core, read_only=True)

    def _connect(self, target: Path) -> CatalogConnection:
        driver = connect_sqlite(target, read_only=True, immutable=True)
        driver.before_statement = self._require_rows
        return driver

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See `Database.reading`. Asks the server for a newer catalog if the last time was a while ago."""
        self.mirror.revalidate_if_due()
        self._follow()
        with super().reading() as connection:
            yield connection

    @contextmanager
    def translating(self) -> Iterator[None]:
        """See `Database.translating`. After an error due to damage, the next transaction checks the copies.

        They are then opened again, because open connections would read the damaged file even after its replacement.
        """
        try:
            with super().translating():
                yield
        except DamagedCatalogError:
            self.mirror.distrust_copies()
            self.engine.dispose()
            raise

    def _follow(self) -> None:
        if self.target == self.mirror.core:
            return
        with self._switching:
            if self.target != self.mirror.core:
                old, self.target = self.engine, self.mirror.core
                self.engine = self._new_engine(self.target)
                # Connections in use stay open until their transactions end.
                old.dispose()

    def _require_rows(self, driver: CatalogConnection, statement: str) -> None:
        if self.mirror.needs_unionizes(statement) and not is_attached(driver):
            attach(driver, self.mirror.unionizes(driver.path))

    def require_original(self) -> None:
        """See `Database.require_original`."""
        self._refuse_reader()

    def answer_elsewhere(
        self,
        statement: str,
        parameters: Mapping[str, Any],
        *,
        row_limit: int | None,
        time_limit_s: float,
        max_bytes: int,
    ) -> Table | None:
        """See `Database.answer_elsewhere`. None if the server cannot be reached and its database is SQLite too."""
        self.mirror.revalidate_if_due()
        if not self.mirror.is_offline:
            try:
                return query_server(
                    self.mirror.client,
                    statement,
                    parameters,
                    store_id=self.mirror.state.store_id,
                    row_limit=row_limit,
                    time_limit_s=time_limit_s,
                    max_bytes=max_bytes,
                )
            except StoreUnreachableError:
                self.mirror.revalidate()
        if self.mirror.state.database != "sqlite":
            raise StoreUnreachableError(
                f"{self.mirror.url} cannot be reached; its database is {self.mirror.state.database}, whose dialect of "
                "SQL cannot be answered from the copy of its catalog",
                hint="Use the other methods of the store, which do not depend on the database.",
            )
        self._follow()
        assert isinstance(self.target, Path)
        if self.mirror.needs_unionizes(statement):
            self.mirror.unionizes(self.target)
        return None

    def local_versions(self) -> tuple[LocalVersionRow, ...]:
        """See `Database.local_versions`. The oldest first."""
        return tuple(each.to_row() for each in listed_results(self.mirror.folder))

    def change_marker(self) -> str:
        """See `Database.change_marker`."""
        self.mirror.revalidate_if_due()
        return self.mirror.core.name

    def readable_file(self, *, wait_s: float) -> ReadableFile:
        """See `Database.readable_file`."""
        self._follow()
        assert isinstance(self.target, Path)
        rows = self.mirror.existing_unionizes(self.target)
        return ReadableFile(
            self.target,
            blocks_writers=False,
            is_immutable=True,
            prepare=(lambda driver: None) if rows is None else (lambda driver: attach(driver, rows)),
        )

    def _refuse_reader(self) -> None:
        raise ReadOnlyStoreError(
            f"{self.mirror.url} is a store on a server and can only be read",
            hint="Change it on a computer that has its folder.",
        )

    def __reduce__(self) -> tuple[Callable[..., MirrorDatabase], tuple[Mirror]]:  # type: ignore[override]
        return MirrorDatabase, (self.mirror,)

    def __str__(self) -> str:
        return f"{self.target} (copy of {self.mirror.url})"
