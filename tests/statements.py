"""Compiled SQL that all engines of this process share, since each store that a test opens has an engine of its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from bsv_store.catalog.database.engine import Database

_MAX_STATEMENTS = 2_000


class CompiledStatements(dict[Any, Any]):
    """Compiled statements by the name of their dialect instead of the dialect of an engine."""

    def get(self, key: Any, default: Any = None) -> Any:
        """The compiled statement, if there is one."""
        return super().get((key[0].name, *key[1:]), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        if len(self) >= _MAX_STATEMENTS:
            self.clear()
        super().__setitem__((key[0].name, *key[1:]), value)


def share_compiled_statements() -> None:
    """Compile each statement once in this process, although each engine has a dialect of its own."""
    original = Database._new_engine
    compiled = CompiledStatements()

    def new_engine(database: Database, target: Any) -> Engine:
        engine = original(database, target)
        engine._compiled_cache = compiled
        return engine

    Database._new_engine = new_engine  # type: ignore[assignment, method-assign]
