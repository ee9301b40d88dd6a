"""Targets: what a server sends, and the records in the cache of its files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bsv_store.catalog.database.schema import HEAD
from bsv_store.catalog.records import UNIONIZE_FIELDS
from bsv_store.documents import seal_of
from bsv_store.errors import BsvStoreError, QueryError
from bsv_store.remote.client import Answer, Client, _parsed, _problem
from bsv_store.remote.local_records import LocalResult, read_record
from bsv_store.remote.mirror import _manifest
from bsv_store.remote.protocol import PROTOCOL
from bsv_store.remote.sql import query_server
from bsv_store.remote.state import MirrorState, read_state
from bsv_store.remote.unionizes import _array
from tests.reliability.fuzzing.mutate import any_of, mutate_bytes, mutate_json, sealed
from tests.reliability.fuzzing.target import Prepared, Target

_URL = "https://lab.example/bsv"


@dataclass
class _Replaying:
    """A client that answers with given bytes."""

    data: bytes
    url: str = _URL

    def json(self, path: str, what: str, **_: Any) -> Answer:
        return Answer(_parsed(io.BytesIO(self.data), what), None)

    @contextmanager
    def patient(self, _time_limit_s: float) -> Iterator[_Replaying]:
        yield self


def _replaying(data: bytes) -> Client:
    found: Any = _Replaying(data)
    return found  # type: ignore[no-any-return]


def _catalog(_scratch: Path) -> Prepared:
    seed = {
        "protocol": PROTOCOL,
        "store_id": "a",
        "release": "1",
        "schema_revision": HEAD,
        "database": "sqlite",
        "state": 5,
        "catalog": {"sha256": "a" * 64, "size_bytes": 100},
        "unionizes": {"experiments": 1, "rows": 2},
    }

    def run(data: bytes) -> None:
        client = _replaying(data)
        found = _manifest(client, client.json("", "fuzzed").value)
        assert len(found.sha256) == 64
        assert 0 < found.size_bytes < 2**63

    return Prepared([json.dumps(seed).encode()], run)


def _query(_scratch: Path) -> Prepared:
    kinds = ("integer", "number", "boolean", "string", "date", "datetime", "bytes", "list", "any")
    row = [1, 0.5, True, "x", "2020-01-01", "2020-01-01T00:00:00+00:00", "AAAA", [1], None]
    seed = {
        "columns": [{"name": kind, "type": kind} for kind in kinds],
        "rows": [row, [None] * len(row), ["9007199254740993", "Infinity", *row[2:]]],
        "truncated": False,
        "store_id": "a",
    }

    def run(data: bytes) -> None:
        found = query_server(
            _replaying(data), "select 1", {}, store_id="a", row_limit=None, time_limit_s=5.0, max_bytes=1 << 20
        )
        assert len(found.rows) == len(json.loads(data)["rows"])

    return Prepared([json.dumps(seed).encode()], run)


def _problems(_scratch: Path) -> Prepared:
    seed = {"type": "urn:x", "title": "t", "status": 400, "detail": "no", "code": "QueryError", "hint": None}

    def run(data: bytes) -> None:
        found = _problem({"Content-Type": "application/problem+json"}, data)
        if found is None:
            raise QueryError("not a problem document")
        assert isinstance(found, BsvStoreError)
        assert len(str(found)) < 5_000

    seeds = [
        json.dumps({**seed, "code": code}).encode()
        for code in ("QueryError", "BsvStoreError", "NothingDownloadedError")
    ]
    return Prepared(seeds, run)


def _rows(_scratch: Path) -> Prepared:
    rows = np.zeros(3, [(column, f"<{kind}" if kind != "?" else kind) for _, column, kind in UNIONIZE_FIELDS])
    buffer = io.BytesIO()
    np.save(buffer, rows)

    def run(data: bytes) -> None:
        found = _array(io.BytesIO(data), "fuzzed")
        assert found.ndim == 1

    return Prepared([buffer.getvalue()], run)


def _state(scratch: Path) -> Prepared:
    value = asdict(
        MirrorState(_URL, "a", "1", HEAD, "sqlite", "a" * 64, 5, 1, None, "core.db", "2025-01-01T00:00:00+00:00")
    )
    seed = json.dumps({"state": value, "sha256": seal_of(value)}).encode()

    def run(data: bytes) -> None:
        (scratch / "state.json").write_bytes(data)
        found = read_state(scratch)
        if found is None:
            raise QueryError("damaged")
        assert not found.core or (scratch / found.core).resolve().parent == scratch.resolve()

    return Prepared([seed], run)


def _result(scratch: Path) -> Prepared:
    created = "2025-01-01T00:00:00+00:00"
    value = asdict(LocalResult("a", "b" * 64, "c" * 64, "d" * 64, 5, 1, 2, 100, 1, created, "me", "software"))
    seed = json.dumps({"result": value, "sha256": seal_of(value)}).encode()

    def run(data: bytes) -> None:
        (scratch / "r.json").write_bytes(data)
        found = read_record(scratch / "r.json")
        if found is None:
            raise QueryError("damaged")

    return Prepared([seed], run)


REMOTE: dict[str, Target] = {
    "server-manifest": Target("manifests of servers", _catalog, mutate_json, weight=15),
    "server-query": Target("tables of servers", _query, mutate_json, weight=10),
    "server-problem": Target("problem documents of servers", _problems, mutate_json, weight=10),
    "server-rows": Target("unionize rows of servers", _rows, mutate_bytes, weight=10),
    "cache-state": Target("state.json in the cache", _state, any_of(sealed("state"), mutate_bytes), weight=8),
    "cache-result": Target(
        "records of local averages in the cache", _result, any_of(sealed("result"), mutate_bytes), weight=8
    ),
}
