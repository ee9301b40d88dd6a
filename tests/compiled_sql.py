"""One cache of compiled SQL statements for all stores of a process.

SQLAlchemy keeps one for each engine, and each opened store has an engine of its own. Tests open thousands of small
stores, and would spend a third of their time compiling the same statements again.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from sqlalchemy import Connection, Engine, event

_LARGEST = 3000


class _Shared(MutableMapping[Any, Any]):
    """The statements of all engines with the same kind of database.

    The keys of SQLAlchemy begin with the dialect of an engine.
    """

    def __init__(self) -> None:
        self._compiled: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        return self._compiled[type(key[0]), *key[1:]]

    def __setitem__(self, key: Any, compiled: Any) -> None:
        if len(self._compiled) >= _LARGEST:
            self._compiled.clear()
        self._compiled[type(key[0]), *key[1:]] = compiled

    def __delitem__(self, key: Any) -> None:
        del self._compiled[type(key[0]), *key[1:]]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._compiled)

    def __len__(self) -> int:
        return len(self._compiled)


_SHARED = _Shared()


def share_compiled_sql() -> None:
    """Let all engines of this process use the same cache."""
    if not event.contains(Engine, "engine_connect", _use):
        event.listen(Engine, "engine_connect", _use)


def _use(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_SHARED)
