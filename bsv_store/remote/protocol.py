"""What server and client agree on: addresses, and errors as problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bsv_store import errors
from bsv_store.errors import BsvStoreError

PROTOCOL: Final = 1
"""Version of the routes under ``/v1``; a client refuses a server with another one."""

PROBLEM_TYPE: Final = "application/problem+json"

CATALOG: Final = "/v1/catalog"
"""The manifest of the catalog; ``/v1/catalog/SHA256`` is the copy of the catalog that it names."""

OBJECTS: Final = "/v1/objects"
"""``/v1/objects/SHA256`` is a file of the store, by the hash of its bytes."""

UNIONIZES: Final = "/v1/unionizes"
"""``?ids=1,2,3``: the unionize rows of these experiments, as a ``.npy`` file."""

SQL: Final = "/v1/sql"
"""POST: one query and its parameters as JSON."""


def problem_of(error: BsvStoreError, *, status: int) -> dict[str, Any]:
    """An error as a problem document."""
    name = type(error).__name__
    return {
        "type": f"urn:bsv-store:problem:{name}",
        "title": (type(error).__doc__ or name).strip().splitlines()[0],
        "status": status,
        "detail": error.message,
        "code": name,
        "hint": error.hint,
    }


def error_of(problem: Mapping[str, Any]) -> BsvStoreError:
    """The error that a problem document describes; a `BsvStoreError` if its class is not known here."""
    found = getattr(errors, str(problem.get("code")), None)
    kind = found if isinstance(found, type) and issubclass(found, BsvStoreError) else BsvStoreError
    hint = problem.get("hint")
    return kind(str(problem.get("detail", "the server failed")), hint=None if hint is None else str(hint))
