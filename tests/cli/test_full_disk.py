"""Commands under a limit on the size of files, which is what a full disk looks like: exit code 7, and nothing partial.

The limit needs no root, and hits every write: files of the store, the catalog and its journal.
"""

from __future__ import annotations

import resource
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store.sources.allen import addresses
from bsv_store_synthetic import SyntheticServer
from tests.cli.conftest import UNMEASURED, VISP
from tests.cli.running import Outcome, Runner

# Bytes: below one page, between the sizes of journals, volumes and catalogs, and around the size of the catalog.
FEW = (0, 700, 5_000, 40_000, 150_000)
MANY = (0, *sorted({round(1.36**step) for step in range(50)}))

limits = pytest.mark.parametrize(
    "steps", [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.long)]
)


@pytest.fixture
def database() -> str:
    """SQLite alone: a Postgres server writes its own files."""
    return "sqlite"


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files_in(folder: Path) -> dict[str, bytes]:
    """The files of a store without its catalog."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("catalog.db")
    }


def rows_of(folder: Path) -> dict[str, int]:
    with open_store(folder) as store:
        tables = store.sql("select name from sqlite_master where type = 'table' order by 1")["name"]
        return {name: store.sql(f'select count(*) as n from "{name}"')["n"].item() for name in tables}


def sweep(steps: tuple[int, ...], start: Path, tmp_path: Path, command: Callable[[Path], Outcome]) -> None:
    """Run a command on copies of a store under each limit. Where it failed, run it again without the limit."""
    whole = tmp_path / "whole"
    shutil.copytree(start, whole)
    command(whole).succeeded()
    before, expected, files = rows_of(start), rows_of(whole), files_in(whole)
    codes = []
    for limit in (*steps, *(around(start / "catalog.db") if steps is MANY else ())):
        place = tmp_path / f"limit-{limit}"
        shutil.copytree(start, place)
        with file_size_limit(limit):
            done = command(place)
        codes.append(done.code)
        if done.code:
            done.refused(7)
            assert rows_of(place) == before, limit
            assert files_in(place) == files_in(start), limit
            command(place).succeeded()
        assert rows_of(place) == expected, limit
        assert files_in(place).keys() == files.keys(), limit
        shutil.rmtree(place)
    assert 7 in codes


def around(catalog: Path) -> tuple[int, ...]:
    size = catalog.stat().st_size
    return tuple(size + 4096 * step for step in range(-2, 12, 2))


@pytest.mark.usefixtures("tables_by_migrations")
@limits
def test_init(run: Runner, tmp_path: Path, steps: tuple[int, ...]) -> None:
    codes = []
    for limit in (*steps, 400_000, 1_000_000, 10_000_000):
        place = tmp_path / f"limit-{limit}"
        with file_size_limit(limit):
            done = run("init", place)
        codes.append(done.code)
        if done.code:
            done.refused(7)
            assert not (place / "store.toml").exists()
            assert not list(place.rglob("*.tmp"))
            run("init", place).succeeded()
        run("status", store=place).succeeded()
    assert set(codes) == {0, 7}


@limits
def test_ingest(run: Runner, filled: Path, server: SyntheticServer, tmp_path: Path, steps: tuple[int, ...]) -> None:
    table = tmp_path / "unionizes.json"
    with urllib.request.urlopen(addresses.unionizes_url(server.url, [UNMEASURED])) as reply:
        table.write_bytes(reply.read())
    sweep(steps, filled, tmp_path, lambda place: run("ingest", "unionizes", table, store=place))


@limits
def test_fetch(run: Runner, filled: Path, server: SyntheticServer, tmp_path: Path, steps: tuple[int, ...]) -> None:
    sweep(steps, filled, tmp_path, lambda place: run("fetch", "--ids", UNMEASURED, store=place))


@limits
def test_aggregate(run: Runner, filled: Path, tmp_path: Path, steps: tuple[int, ...]) -> None:
    sweep(steps, filled, tmp_path, lambda place: run("aggregate", "--ids", VISP[0], "--name", "full", store=place))
