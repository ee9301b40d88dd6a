"""No password of a user reaches anything that others can read: outputs, logs, files, the database, errors."""

from __future__ import annotations

import base64
import logging
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest
from sqlalchemy import MetaData, select

from bsv_store import Store, open_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Redirect, Status
from tests.cli.running import Outcome, Runner
from tests.error_texts import every_text

ATLAS = SyntheticAtlas(experiments=3)
API = "http://mirror.invalid"
# In the netrc file, the proxy's address, the environment of Postgres, and in addresses that are refused.
PASSWORDS = ("hunter2-netrc", "hunter2-proxy", "hunter2-postgres", "hunter2-address")
NETRC, PROXY, POSTGRES, ADDRESS = PASSWORDS


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SyntheticServer]:
    """The API behind a proxy: both ask for a password."""
    file = tmp_path / "home" / "netrc"
    file.parent.mkdir()
    file.write_text(f"machine mirror.invalid login me password {NETRC}\n")
    file.chmod(0o600)
    with SyntheticServer(ATLAS) as running:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("http_proxy", f"http://me:{PROXY}@127.0.0.1:{running.port}")
        monkeypatch.setenv("BSV_STORE_NETRC", str(file))
        monkeypatch.setenv("PGPASSWORD", POSTGRES)
        yield running


def forms(password: str) -> list[str]:
    """The password as it could stand somewhere, also as the header of a login."""
    headers = [base64.b64encode(f"me:{password}"[start:].encode()).decode().strip("=")[:-1] for start in range(3)]
    return [password, *headers]


def found_in(texts: dict[str, str]) -> list[tuple[str, str]]:
    """Where a password stands, and which."""
    return [
        (where, each)
        for where, text in texts.items()
        for password in PASSWORDS
        for each in forms(password)
        if each in text
    ]


def texts_of_files(folder: Path) -> dict[str, str]:
    """The content of all files, of the members of archives, and of the attributes of HDF5 files."""
    texts: dict[str, str] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        texts[str(path)] = path.read_bytes().decode("latin-1")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                texts |= {f"{path}:{name}": archive.read(name).decode("latin-1") for name in archive.namelist()}
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                seen: list[str] = []
                file.visititems(lambda name, item, seen=seen: seen.append(f"{name} {dict(item.attrs)}"))
                texts[f"{path}:attributes"] = f"{dict(file.attrs)} {seen}"
    return texts


def texts_of_database(store: Store) -> dict[str, str]:
    metadata = MetaData()
    with store.database.reading() as connection:
        metadata.reflect(connection)
        return {
            f"table {table.name}": repr(connection.execute(select(table)).all()) for table in metadata.tables.values()
        }


def texts_of_objects(store: Store) -> dict[str, str]:
    version = store.dataset("visual")
    objects = [store, store.config, store.database, store.database.engine, store.status(), version, version.cite()]
    return {
        "reprs": " ".join(f"{each!r} {each!s}" for each in objects),
        "pickles": " ".join(pickle.dumps(each).decode("latin-1") for each in (store, version)),
    }


def test_no_password_is_stored_or_shown(
    tmp_path: Path,
    database_url: str | None,
    server: SyntheticServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    run, folder, texts = Runner(capsys, monkeypatch), tmp_path / "store", dict[str, str]()
    first = ATLAS.experiment_ids[0]

    def ran(*arguments: object, code: int = 0) -> Outcome:
        outcome = run("--debug", *arguments, store=folder)
        assert outcome.code == code, f"{arguments}: {outcome.out}\n{outcome.err}"
        texts[f"output of {arguments[:3]}"] = outcome.out + outcome.err
        return outcome

    ran("init", *([] if database_url is None else ["--database", database_url]))
    monkeypatch.setenv("BSV_STORE_API_URL", API)
    ran("sync", "structures")
    ran("sync", "experiments")
    ran("sync", "unionizes", "--all")
    # A server error on the way, retried; and a redirect to an address with a password, refused.
    server.fail(f"grid_data/download/{first}", Status(503))
    ran("fetch", "--all")
    server.fail("download_file", Redirect(f"http://me:{ADDRESS}@mirror.invalid/x"), times=None)
    ran("fetch", "--all", "--kind", "data_mask", code=6)
    ran("aggregate", "--all", "--name", "visual")
    # Addresses with a password.
    for command in ("structures", "experiments"):
        ran("sync", command, "--api-url", f"http://me:{ADDRESS}@mirror.invalid", code=2)
    ran("sync", "annotation", "--download-url", f"http://mirror.invalid/?key={ADDRESS}", code=2)
    for url in (f"postgresql://me:{ADDRESS}@host/lab", f"postgresql://host/lab?sslpassword={ADDRESS}"):
        ran("init", tmp_path / "other", "--database", url, code=2)
    ran("init", tmp_path / "other", "--database", "postgresql://me@127.0.0.1:1/lab", code=3)
    for shown in (
        ["status"],
        ["dataset", "show", "visual"],
        ["dataset", "cite", "visual"],
        ["dataset", "lineage", "visual"],
    ):
        ran(*shown)
    ran("volume", "show", first)
    ran("catalog", "snapshots", "--format", "json")
    for ending in (".nc", ".bsv.zip", ".txt", ".bib", ".npz", ".csv"):
        ran("dataset", "export", "visual", tmp_path / f"visual{ending}")
    texts["log"] = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    with open_store(folder) as store:
        texts |= texts_of_database(store)
        texts |= texts_of_objects(store)
    texts |= texts_of_files(folder)
    texts |= {name: text for name, text in texts_of_files(tmp_path).items() if not name.endswith("/netrc")}

    # The server was asked with both passwords: they were in use.
    headers = server.requests.all[0].headers
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode() == f"me:{NETRC}"
    assert base64.b64decode(headers["proxy-authorization"].removeprefix("Basic ")).decode() == f"me:{PROXY}"
    assert any("mirror.invalid/grid_data" in text for name, text in texts.items() if name.startswith("table"))
    assert found_in(texts) == []
    # The search itself finds what is there.
    assert found_in({"x": f"Basic {base64.b64encode(f'me:{NETRC}'.encode()).decode()}"})


CALLS: dict[str, Callable[[Store], object]] = {
    "sync_structures": lambda store: store.sync_structures(api_url=f"http://me:{ADDRESS}@mirror.invalid"),
    "sync_experiments": lambda store: store.sync_experiments(api_url=f"http://{ADDRESS}@mirror.invalid"),
    "sync_unionizes": lambda store: store.sync_unionizes([1], api_url=f"http://me:{ADDRESS}@mirror.invalid"),
    "sync_annotation": lambda store: store.sync_annotation(download_url=f"http://me:{ADDRESS}@mirror.invalid"),
    "fetch": lambda store: store.fetch([1], api_url=f"http://mirror.invalid?password={ADDRESS}"),
    "fetch_inputs": lambda store: store.fetch_inputs([1], api_url=f"http://mirror.invalid/#{ADDRESS}"),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_address_with_a_password_is_refused_by_every_call(filled: Store, call: str) -> None:
    with pytest.raises(ValueError, match="address of") as caught:
        CALLS[call](filled)
    assert found_in({"error": every_text(caught.value)}) == []
