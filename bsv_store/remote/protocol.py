"""What server and client agree on: addresses, and errors as problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bsv_store import errors
from bsv_store.advice import THIS_SERVER, for_readers_of
from bsv_store.errors import BsvStoreError

PROTOCOL: Final = 1
"""Version of the routes under ``/v1``; a client refuses a server with another one."""

PROBLEM_TYPE: Final = "application/problem+json"

CATALOG: Final = "/v1/catalog"
"""GET: the manifest of the catalog. GET ``/v1/catalog/SHA256``: the copy of the catalog that it names.

The manifest is JSON with the keys

- ``protocol``: `PROTOCOL`
- ``store_id``: str
- ``release``: version of bsv-store of the server
- ``schema_revision``: of the copy
- ``database``: ``sqlite`` or ``postgresql``: the dialect of `SQL`
- ``state``: number of changes of the data that averages depend on (`bsv_store.datasets.answers.catalog_state`)
- ``catalog``: ``sha256`` and ``size_bytes`` of the copy
- ``unionizes``: ``experiments`` and ``rows``, the numbers of experiments with unionize rows and of these rows

and has an ETag, so that ``If-None-Match`` answers 304 as long as nothing in the copy has changed.

The copy is what `bsv_store.store.catalog.Catalog.export_copy` writes: a SQLite file with the schema
``schema_revision``, complete but for the table ``unionize``, which has only the rows that the view ``experiments``
reads, and for ``unionize_seal`` and the tables about users, jobs and the machine of the server, which are empty.
``Accept-Encoding: gzip`` compresses the transfer; ``Range`` continues a broken one (with ``If-Range`` and the ETag of
the same encoding). A server keeps the copies of the last states only: 404 means that the manifest must be read again.
"""

OBJECTS: Final = "/v1/objects"
"""GET, HEAD ``/v1/objects/SHA256``: a file of the store, by the hash of its bytes.

Every ``file_sha256`` of the tables ``volume``, ``annotation``, ``template`` and ``dataset_version`` is one. The ETag is
the hash in quotes. ``Range: bytes=FIRST-LAST`` gets one range as 206, or 416 if it begins after the end; other forms of
``Range`` get the whole file as 200. A file that is missing or has another size than recorded is a problem document. The
receiver checks the hash.
"""

UNIONIZES: Final = "/v1/unionizes"
"""GET ``?ids=1,2,3``: the unionize rows of these experiments, at most `MAX_UNIONIZE_IDS`, as a ``.npy`` file.

A structured array with the columns of the table ``unionize``, little-endian, sorted by experiment_id, structure_id,
hemisphere_id and is_injection; empty for experiments without rows. The ETag changes with the rows. The receiver
inserts them, makes the seals (`bsv_store.catalog.unionize_seals.seal_unionizes`) for the halves that
``unionize_coverage`` of its copy has, and checks rows against the hashes in ``unionize_coverage``
(`bsv_store.catalog.unionize_seals.damaged_tables`). If they differ, the server's catalog has changed in between, and
the manifest must be read again.
"""

MAX_UNIONIZE_IDS: Final = 100
"""Maximum number of experiments in one request for unionize rows."""

NPY_TYPE: Final = "application/x-npy"

SQL: Final = "/v1/sql"
"""POST: one query.

The body is JSON with the keys ``statement``, and optionally ``parameters`` (an object), ``limit``, ``timeout_s`` and
``max_bytes`` (the size of the rows in memory), as for `bsv_store.Store.sql`; the server has limits of its own, and the
smaller ones count. The answer is a table, see `TABLE_TYPE`; ``truncated`` is true if a row limit, of the request or of
the server, left rows out, and ``store_id`` is that of the manifest.
"""

TABLE_TYPE: Final = "application/json"
"""A table as JSON: ``columns``, a list of objects with ``name`` and ``type``, and ``rows``, a list of lists.

Types: ``integer``, ``number`` (floating point), ``boolean``, ``string``, ``date``, ``datetime``, ``time``,
``duration`` (microseconds), ``uuid``, ``bytes``, ``list`` and ``any`` (values of several types, each as it is). Missing
values and NaN are null. Values that JSON does not have are strings: integers beyond 2**53, ``Infinity`` and
``-Infinity``; dates and times are ISO 8601, bytes base64.
``total`` is the number of rows before ``offset`` and ``limit``; ``warnings`` is a list of objects with ``code``,
``message`` and ``hint``.
"""


_MAX_DETAIL: Final = 2_000


_TITLE: Final = "The request failed."


def problem_of(error: BsvStoreError, *, status: int, title: str | None = None) -> dict[str, Any]:
    """An error as a problem document, for users of the server.

    Parameters
    ----------
    error : BsvStoreError
    status : int
    title : str, optional
        The name of the status, for a problem of which only the status is known. By default, the type and the title are
        those of the class of the error.
    """
    # For a private class, its public base class, which clients know.
    kind = next(each for each in type(error).__mro__ if getattr(errors, each.__name__, None) is each)
    name = kind.__name__
    # The docstring of the base class describes no problem, and with the option -OO there are no docstrings.
    words = _TITLE if kind is BsvStoreError or not kind.__doc__ else kind.__doc__.strip().splitlines()[0]
    return {
        "type": f"urn:bsv-store:problem:{name}" if title is None else "about:blank",
        "title": (words if title is None else title).replace("`", ""),
        "status": status,
        "detail": error.message,
        "code": name,
        "hint": error.hint and for_readers_of(error.hint, [THIS_SERVER]),
    }


def error_of(problem: Mapping[str, Any]) -> BsvStoreError:
    """The error that a problem document describes; a `BsvStoreError` if its class is not known here."""
    found = getattr(errors, str(problem.get("code")), None)
    kind = found if isinstance(found, type) and issubclass(found, BsvStoreError) else BsvStoreError
    hint = problem.get("hint")
    detail = str(problem.get("detail", "the server failed"))
    return kind(detail[:_MAX_DETAIL], hint=None if hint is None else str(hint)[:_MAX_DETAIL])
