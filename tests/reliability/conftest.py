"""Servers of a synthetic atlas, and a process whose file operations are observed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bsv_store_synthetic import SyntheticServer
from tests.reliability import disk
from tests.reliability.jobs import Place
from tests.reliability.stores import ATLAS


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Address of a synthetic atlas."""
    with SyntheticServer(ATLAS) as running:
        yield running.url


@pytest.fixture(scope="module")
def server() -> Iterator[SyntheticServer]:
    """A server of the atlas of `tests.reliability.stores`, which must not have failed in the end."""
    with SyntheticServer(ATLAS) as running:
        yield running
        assert running.errors == []


@dataclass(frozen=True)
class Observed:
    """A process whose file operations are observed.

    Attributes
    ----------
    process : ObservedProcess
    place : Place
        Where they are.
    other : Place
        Where they are not.
    """

    process: disk.ObservedProcess
    place: Place
    other: Place


@pytest.fixture(scope="session")
def observed(server_url: str) -> Iterator[Observed]:
    """A process whose file operations are recorded, or fail."""
    if (reason := disk.missing()) is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="bsv-store-reliability-", dir=disk.memory_folder())).resolve()
    try:
        places = [Place(folder / name, server_url, folder / "templates") for name in ("observed", "other")]
        for place in places:
            place.folder.mkdir()
        process = disk.ObservedProcess(places[0].folder)
        try:
            yield Observed(process, *places)
        finally:
            process.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
