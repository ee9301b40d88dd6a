"""Errors as problem documents: status, class and hint for the client, nothing about the machine."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from starlette.exceptions import HTTPException
from starlette.routing import Route

from bsv_store import create_store, errors, open_store
from bsv_store.errors import BsvStoreError
from bsv_store.remote.protocol import error_of
from bsv_store.server import operations
from bsv_store.server.private import PrivatePaths
from bsv_store.server.problems import STATUSES, status_of
from tests.server.serving import serving

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


CLASSES = [
    each
    for each in vars(errors).values()
    if inspect.isclass(each) and issubclass(each, BsvStoreError) and each.__module__ == errors.__name__
]


def _raise(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "bug":
        raise RuntimeError(f"/home/anna/secret {request.app.state.context.store.path}")
    if name.isdecimal():
        raise HTTPException(int(name), request.query_params.get("detail"))
    store = request.app.state.context.store
    raise getattr(errors, name)(f"the file {store.path}/catalog.db is wrong", hint=f"bsv-store --store {store.path} x")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("problems") / "store"
    create_store(folder).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "ROUTES", [*operations.ROUTES, Route("/raise/{name}", _raise)])
        with open_store(folder, read_only=True) as store, serving(store) as address:
            yield address


@pytest.mark.parametrize("kind", CLASSES)
def test_each_error_arrives_as_the_same_class(url: str, kind: type[BsvStoreError]) -> None:
    reply = requests.get(f"{url}/raise/{kind.__name__}", timeout=20)
    problem = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.status_code == problem["status"] == status_of(kind("x"))
    assert problem["type"] == f"urn:bsv-store:problem:{kind.__name__}"
    assert set(problem) == {"type", "title", "status", "detail", "code", "hint"}
    documented = inspect.cleandoc(str(kind.__doc__)).splitlines()[0].replace("`", "")
    assert problem["title"] == ("The request failed." if kind is BsvStoreError else documented)
    error = error_of(problem)
    assert type(error) is kind
    assert error.message == "the file catalog.db is wrong"
    assert error.hint == "bsv-store --store FOLDER x"
    assert ("retry-after" in reply.headers) is (reply.status_code == 503)


def test_input_errors_are_the_clients_and_others_the_servers() -> None:
    for kind in CLASSES:
        status = status_of(kind("x"))
        is_input = issubclass(kind, errors.InputError | errors.TokenError | errors.ReadOnlyStoreError)
        assert (400 <= status < 500) is (is_input or kind is errors.NotFoundUpstreamError), kind
        assert 400 <= status < 600
    assert set(STATUSES) <= set(CLASSES)
    assert status_of(errors.EmptySelectionError("x")) == 400
    assert status_of(errors.UnknownExperimentError("x")) == 404
    assert status_of(errors.SchemaTooNewError("x")) == 503


def test_errors_of_the_framework_are_problem_documents(url: str) -> None:
    unknown = requests.get(f"{url}/nothing", timeout=20)
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    assert unknown.json()["detail"] == "the server does not have this address"
    assert unknown.json()["code"] == "InputError"
    # More than the status is not known: RFC 9457, section 4.2.1.
    assert (unknown.json()["type"], unknown.json()["title"]) == ("about:blank", "Not Found")
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"):
        refused = requests.request(method, f"{url}/health", timeout=20)
        assert (refused.status_code, refused.json()["code"]) == (405, "InputError")
        assert refused.json()["title"] == "Method Not Allowed"
        assert "GET" in refused.headers["allow"]
    foreign = requests.post(f"{url}/v1/sql", headers={"Sec-Fetch-Site": "cross-site"}, timeout=20).json()
    assert (foreign["status"], foreign["code"], foreign["title"]) == (403, "InputError", "Forbidden")
    assert foreign["detail"] == "a page of another site sent this request"
    own = requests.get(f"{url}/raise/416?detail=see+/home/anna/x", timeout=20)
    assert (own.status_code, own.json()["detail"]) == (416, "see a path of the server")
    odd = requests.get(f"{url}/raise/418", timeout=20)
    assert (odd.status_code, odd.json()["code"]) == (418, "BsvStoreError")


def test_an_unexpected_error_goes_to_the_log_only(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "bsv_store.server"):
        reply = requests.get(f"{url}/raise/bug", timeout=20)
    assert reply.status_code == 500
    problem = reply.json()
    assert problem["code"] == "BsvStoreError"
    assert problem["detail"] == "the server failed because of an unexpected error"
    assert reply.headers["x-request-id"] in problem["hint"]
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text
    (record,) = [each for each in caplog.records if each.name == "bsv_store.server"]
    assert record.exc_info is not None
    assert reply.headers["x-request-id"] in record.getMessage()
    assert "bsv_store_server_errors_total 1" in requests.get(f"{url}/metrics", timeout=20).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the catalog /srv/lab/store/catalog.db is missing", "the catalog catalog.db is missing"),
        ("the folder /srv/lab/store is not a store", "the folder the store is not a store"),
        ("bsv-store --store /srv/lab/store db upgrade", "bsv-store --store FOLDER db upgrade"),
        ("bsv-store --store '/srv/my lab/store' db upgrade", "bsv-store --store FOLDER db upgrade"),
        ("/srv/lab/store-2/x", "a path of the server"),
        ("no space on /home/anna/x.tmp: full", "no space on a path of the server: full"),
        ("the file '/home/anna lee/x y.nrrd' is damaged", "the file a path of the server is damaged"),
        (r"C:\Users\anna\x is full", "a path of the server is full"),
        ("postgresql+psycopg://bsv@db.lab:5432/bsv is down", "the database is down"),
        (
            'the database postgresql://a@db.lab/b cannot be used: connection to server at "db.lab" (10.0.0.5), port'
            ' 5432 failed: FATAL: password authentication failed for user "bsv"',
            "the database cannot be used: connection to server failed: FATAL: password authentication failed for user",
        ),
        ('connection to server on socket "/run/pg/.s.PGSQL.5432" failed', "connection to server failed"),
        ("failed to resolve host 'db.lab': unknown", "failed to resolve host: unknown"),
        # Nothing to do with the machine.
        ("volumes/projection_density/100/1.h5 is damaged", "volumes/projection_density/100/1.h5 is damaged"),
        ("see https://lab.example/v1/sql and /v1/catalog", "see https://lab.example/v1/sql and /v1/catalog"),
        ("https://lab.example/data/home", "https://lab.example/data/home"),
        ("left/right and 1/2, a/tmp/b", "left/right and 1/2, a/tmp/b"),
    ],
)
def test_messages_have_no_paths_of_the_machine(text: str, expected: str) -> None:
    assert PrivatePaths(Path("/srv/lab/store")).removed(text) == expected


def test_no_answer_has_the_folder_of_the_store(url: str) -> None:
    for path in ("/metrics", "/ready", "/login", "/raise/bug", "/raise/StoreError", "/raise/500?detail=/tmp/a"):
        text = requests.get(f"{url}{path}", timeout=20).text
        assert not re.search(r"/tmp/|problems\d", text), path
