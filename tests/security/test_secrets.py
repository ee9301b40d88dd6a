"""Passwords, tokens and signed addresses are in no output, log, error, file or answer."""

from __future__ import annotations

import json
import logging
import pickle
import sqlite3
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from bsv_store import open_store
from bsv_store.errors import BsvStoreError
from bsv_store.server.options import ServerOptions
from bsv_store.text import masked
from bsv_store_cli.logs import _JsonFormatter, _TextFormatter
from tests.cli.running import Runner
from tests.datasets.world import ask
from tests.security.source import calls
from tests.server.serving import serving

if TYPE_CHECKING:
    from bsv_store import Store

MARK = "hunter2S3cretMarkOfThisTest"
# Where a secret may occur in a logged text.
FORMS = (
    "http://me:{}@host/x",
    "https://me:a%40{}@host/x",
    "postgresql+psycopg://me:{}@host:5432/lab",
    "host=h user=me password={} dbname=x",
    "host=h password='{} with space' dbname=x",
    "PGPASSWORD={}",
    "sslpassword={}",
    "https://host/x?token={}&limit=1",
    "https://host/x?access_token={}",
    "https://bucket.s3.amazonaws.com/key?X-Amz-Date=1&X-Amz-Signature={}",
    "https://host/x?X-Amz-Security-Token={}&x=1",
    "https://host/x?X-Amz-Credential={}",
    "https://storage.googleapis.com/x?X-Goog-Signature={}",
    "https://account.blob.core.windows.net/x?sv=1&sig={}",
    "https://host/x?AWSAccessKeyId={}&Expires=1",
    "https://host/x?Signature={}",
    "https://host/x?api-key={}",
    "https://host/x?api_key={}",
    "BSV_STORE_TOKEN={}",
    "AWS_SECRET_ACCESS_KEY={}",
    "client_secret={}",
    "Authorization: Bearer {}",
    "authorization: basic {}",
    "{{'Authorization': 'Bearer {}'}}",
    "sent Bearer {}",
    "Cookie: a=b; bsv_store_token={}; c=d",
    '"password": "{}"',
    "token: {}",
)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_secret_is_masked(form: str) -> None:
    text = f"before {form.format(MARK)} after"
    assert MARK not in masked(text)
    assert masked(text).startswith("before ")
    assert masked(text).endswith(" after")


@given(st.sampled_from(FORMS), st.text("abcXYZ019-_~.", min_size=16, max_size=60), st.text(max_size=20))
def test_random_secrets_are_masked(form: str, secret: str, around: str) -> None:
    text = masked(f"{around} {form.format(secret)} {around}")
    assert secret not in text or secret in around


@pytest.mark.parametrize(
    "text",
    [
        "basic information about the store",
        "the token laptop-anna was revoked",
        "a bearer of news",
        "https://lab.example/bsv/v1/experiments?limit=3",
        "3 experiments: 1, 2, 3",
        "sigma=3, design=2",
        "bypassed: 3",
        "fetched http://api.brain-map.org/api/v2/data/query.json?criteria=model::Structure",
    ],
)
def test_other_text_is_unchanged(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("formatter", [_TextFormatter(), _JsonFormatter()])
@pytest.mark.parametrize("form", FORMS)
def test_logs_have_no_secrets(formatter: logging.Formatter, form: str) -> None:
    text = form.format(MARK)
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        exc_info = type(error), error, error.__traceback__
    record = logging.LogRecord("a", logging.ERROR, "a.py", 1, "failed: %s", (text,), exc_info)
    record.address = text
    record.addresses = [text]
    assert MARK not in formatter.format(record)


# -- every command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The secrets that an administrator has in the environment, all with the same mark."""
    netrc = tmp_path / "home" / "netrc"
    netrc.parent.mkdir()
    netrc.write_text(f"machine 127.0.0.1 login me password {MARK}\n")
    netrc.chmod(0o600)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://me:{MARK}@127.0.0.1:9")
    for name in ("PGPASSWORD", "BSV_STORE_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, MARK)
    monkeypatch.setenv("BSV_STORE_NETRC", str(netrc))
    yield
    assert MARK in netrc.read_text()


def commands(folder: Path, tmp_path: Path) -> list[tuple[object, ...]]:
    refused = f"postgresql://me:{MARK}@127.0.0.1:9/lab"
    signed = f"http://127.0.0.1:9/x?X-Amz-Signature={MARK}"
    return [
        ("status", "--format", "json"),
        ("status", "--format", "prometheus"),
        ("config", "show"),
        ("config", "show", "--format", "json"),
        ("doctor", "--offline"),
        ("activity",),
        ("dataset", "show", "visual"),
        ("dataset", "lineage", "visual", "--format", "json"),
        ("dataset", "cite", "visual"),
        ("dataset", "export", "visual", tmp_path / "a.bsv.zip"),
        ("dataset", "export", "visual", tmp_path / "a.nc"),
        ("verify", "--deep"),
        ("repair",),
        ("gc",),
        ("trash",),
        ("sources",),
        ("serve", "token", "add", "anna"),
        ("serve", "token", "list"),
        ("backup", "create", tmp_path / "backup"),
        ("backup", "list", tmp_path / "backup", "--format", "json"),
        ("fetch", "--all", "--kind", "data_mask", "--api-url", "http://127.0.0.1:9"),
        ("sync", "structures", "--api-url", "http://127.0.0.1:9"),
        # Refused, without showing what was given.
        ("sync", "structures", "--api-url", f"http://me:{MARK}@127.0.0.1:9"),
        ("sync", "structures", "--api-url", signed),
        ("sync", "annotation", "--download-url", signed),
        ("store", "move", "--database", refused),
        ("init", tmp_path / "new", "--database", refused),
        ("backup", "create", f"s3://me:{MARK}@bucket/x"),
        ("--store", f"https://me:{MARK}@127.0.0.1:9/bsv", "status"),
        ("--store", f"https://127.0.0.1:9/bsv?token={MARK}", "status"),
        ("--store", "https://127.0.0.1:9/bsv", "status"),
    ]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_command_shows_or_stores_a_secret(
    filled: Store,
    secrets: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    ask(filled, name="visual")
    run, folder, log = Runner(capsys, monkeypatch), filled.path, tmp_path / "home" / "log"
    given_token = ""
    for command in commands(folder, tmp_path):
        done = run("--debug", "--log-file", log, *command, store=None if command[0] == "--store" else folder)
        text = done.out + done.err
        if command[:3] == ("serve", "token", "add"):
            # Printed once, for its user.
            given_token = done.out.strip().splitlines()[-1]
            text = ""
        assert MARK not in text, command
        assert not given_token or given_token not in text, command
    assert len(given_token) > 30
    own = {tmp_path / "home" / "netrc"}
    for path in [each for each in tmp_path.rglob("*") if each.is_file() and each not in own]:
        content = path.read_bytes()
        for secret in (MARK, given_token):
            # Settings of connections and arguments are in no file: the catalog, backups, bundles, the log.
            assert secret.encode() not in content, path
    assert MARK not in "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert sqlite3.connect(folder / "catalog.db").execute("SELECT count(*) FROM access_token").fetchone() == (1,)


# -- the client and the server ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_token_of_a_client_is_in_no_cache_error_or_text(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(filled, name="visual")
    token = filled.admin.add_token("anna", scope="sql").secret
    monkeypatch.setenv("BSV_STORE_CACHE", str(tmp_path / "cache"))
    access = tmp_path / "access.jsonl"
    options = ServerOptions(require_token=True, access_log=str(access), shutdown_s=2)
    with serving(filled, options) as url, open_store(url, token=token) as store:
        assert store.dataset("visual").mean.shape
        assert len(store.sql("select * from experiments")) > 0
        texts = [repr(store), str(store), repr(store.status()), repr(vars(store))]
        try:
            texts.append(pickle.dumps(store).decode("latin-1"))
        except (TypeError, BsvStoreError) as error:
            texts.append(str(error))
        metrics = requests.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=20)
        assert metrics.status_code == 200
        texts.append(metrics.text)
        # A token that is refused is not repeated to its sender, and one in an address does not count.
        for headers, query in (({"Authorization": f"Bearer {MARK}"}, ""), ({}, f"?token={MARK}")):
            for accept in ("text/html", "application/json"):
                reply = requests.get(f"{url}/v1/tags{query}", headers={**headers, "Accept": accept}, timeout=20)
                assert reply.status_code == 401
                assert MARK not in reply.text.replace(f"/v1/tags?token={MARK}", "")
                assert MARK not in str(reply.headers)
    try:
        open_store(url, token=token).sql("select 1")
    except BsvStoreError as error:
        texts.append("".join(traceback.format_exception(error)))
    for path in [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]:
        assert token.encode() not in path.read_bytes(), path
    for text in [*texts, access.read_text()]:
        assert token not in text
        assert MARK not in text
    assert {json.loads(line)["token"] for line in access.read_text().splitlines()} <= {"anna", None}


def test_secrets_are_compared_in_constant_time() -> None:
    comparing = {path for path, name, _ in calls() if name in ("hmac.compare_digest", "secrets.compare_digest")}
    assert comparing == {"bsv_store/catalog/access_tokens.py"}


def test_no_module_changes_the_title_of_its_process() -> None:
    assert not [path for path, name, _ in calls() if "setproctitle" in name or "PR_SET_NAME" in name]
