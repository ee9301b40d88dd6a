"""Calls on a store that `test_state_machine` makes in its own process, or in a child that may be killed."""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.processes import Child

if TYPE_CHECKING:
    from bsv_store import Store

_DONE = "done"


@dataclass(frozen=True)
class Call:
    """A method of a store, such as ``datasets.tag``, with arguments that can be pickled."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, store: Store) -> Any:
        target = functools.reduce(getattr, self.method.split("."), store)
        return target(*self.arguments, **self.options)  # type: ignore[operator]

    def __str__(self) -> str:
        given = [*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.options.items())]
        return f"{self.method}({', '.join(given)})"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call.

    Attributes
    ----------
    result : object
        None if it was made in a child.
    error : type or None
        Class of the library's error that it raised.
    message : str
    was_killed : bool
    """

    result: Any = None
    error: type[BaseException] | None = None
    message: str = ""
    was_killed: bool = False


def made_here(store: Store, call: Call) -> Outcome:
    """The outcome of a call in this process."""
    from bsv_store.errors import BsvStoreError

    try:
        return Outcome(call(store))
    except BsvStoreError as error:
        return Outcome(error=type(error), message=str(error))


def made_in_child(location: Path, call: Call, *, kill_at: str | None = None) -> Outcome:
    """The outcome of a call in another process, which is killed if it reaches a checkpoint."""
    child = Child(_perform, location, call, kill_at=kill_at)
    output, errors = child.communicate(timeout=120)
    if kill_at is not None and child.returncode == -signal.SIGKILL:
        return Outcome(was_killed=True)
    assert child.returncode == 0, f"{call} in a child ended with {child.returncode}:\n{output}\n{errors}"
    name, _, message = output.partition("\n")
    return Outcome() if name == _DONE else Outcome(error=_error_class(name), message=message)


def _error_class(name: str) -> type[BaseException]:
    from bsv_store import errors
    from bsv_store.datasets.tags import AnotherUsersTagError

    found: type[BaseException] = getattr(errors, name, AnotherUsersTagError)
    assert found.__name__ == name, name
    return found


def _perform(location: Path, call: Call) -> None:
    from sqlalchemy import Engine, event

    from bsv_store import open_store
    from bsv_store.errors import BsvStoreError
    from tests.client_defaults import client_defaults

    # A killed process loses nothing without fsync; see `tests.conftest`.
    os.fsync = lambda _descriptor: None  # type: ignore[assignment]

    def hurry(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hurry)
    client_defaults()["backoff_s"] = 0
    warnings.simplefilter("ignore")
    try:
        with open_store(location) as store:
            call(store)
    except BsvStoreError as error:
        sys.stdout.write(f"{type(error).__name__}\n{error}")
    else:
        sys.stdout.write(_DONE)
