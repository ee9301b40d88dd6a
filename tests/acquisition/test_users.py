"""Several people on one store, each with an account and a umask of their own: only root can act as they would."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import Selection, create_store, open_store
from bsv_store.errors import ReadOnlyStoreError
from bsv_store_synthetic import SyntheticServer
from tests.catalogs import ATLAS

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as several users"
)

LAB = 54_000
IDS = ATLAS.experiment_ids


@dataclass(frozen=True)
class User:
    """An account with its own primary group, other groups, and a umask that shares nothing."""

    number: int
    groups: tuple[int, ...] = (LAB,)

    def does(self, work: Callable[[], None]) -> None:
        """Do something in a process of this user; what it raises fails the test."""
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # The server's threads do not matter to the child.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            self._work(work, writing)
        os.close(writing)
        with open(reading, encoding="utf-8") as pipe:  # noqa: PTH123 - a descriptor
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        assert (os.waitstatus_to_exitcode(status), told) == (0, "")

    def _work(self, work: Callable[[], None], writing: int) -> None:
        code = 1
        try:
            os.setgroups(self.groups)
            os.setgid(self.number)
            os.setuid(self.number)
            os.umask(0o077)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the parent is told
            os.write(writing, traceback.format_exc().encode())
        finally:
            # Nothing of the test runner's is to run in the child.
            os._exit(code)


ANNA, BEN = User(54_001), User(54_002)
GUEST = User(54_003, groups=())


@pytest.fixture
def share() -> Iterator[Path]:
    """A folder of the lab's group, as an administrator makes it; pytest's own folders are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="bsv-store-share-"))
    os.chown(folder, 0, LAB)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def warm(tmp_path: Path, server: SyntheticServer) -> None:
    """All is imported before anybody loses the right to read the interpreter's folder."""
    with create_store(tmp_path / "warm") as store:
        fetch(store.path, server.url, IDS[0])
        store.volume(IDS[0])
        store.adopt(bsv_folder(tmp_path / "cache", IDS[0]))
        store.aggregate(Selection(ids=[IDS[0]]), name="all")
        store.dataset("all").mean.sum()
        store.sql("SELECT * FROM unionize")


def fetch(location: Path, url: str, *ids: int) -> None:
    with open_store(location) as store:
        store.sync_structures(api_url=url)
        store.sync_experiments(api_url=url)
        store.sync_unionizes(Selection(ids=ids), api_url=url)
        assert store.fetch(Selection(ids=ids), api_url=url).fetched == ids


def bsv_folder(folder: Path, experiment_id: int) -> Path:
    (folder / str(experiment_id)).mkdir(parents=True)
    raw = ATLAS.volume(experiment_id).tobytes(order="F")
    (folder / str(experiment_id) / "density.raw").write_bytes(raw)
    return folder


class Never:
    """An executor that nothing may be given to."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        raise AssertionError(f"{function} {arguments}")


def read_all(location: Path, *ids: int) -> None:
    with open_store(location) as store:
        for i in ids:
            np.testing.assert_array_equal(store.volume(i), ATLAS.volume(i))


@pytest.mark.usefixtures("warm")
def test_two_users_with_closed_umasks_share_a_store(share: Path, server: SyntheticServer) -> None:
    location = share / "store"

    def anna() -> None:
        create_store(location).close()
        fetch(location, server.url, *IDS[:2])

    def ben() -> None:
        read_all(location, *IDS[:2])
        fetch(location, server.url, *IDS[2:4])
        with open_store(location) as store:
            # Anna's file is damaged; Ben mends it.
            damaged = store.path / str(store.volumes.describe(IDS[0])["path"])
            damaged.unlink()
            assert store.fetch(Selection(ids=[IDS[0]]), api_url=server.url).fetched == (IDS[0],)
            assert store.adopt(bsv_folder(share / "bens-cache", IDS[4])).volumes == 1

    def anna_again() -> None:
        read_all(location, *IDS[:5])
        with open_store(location) as store:
            assert store.fetch(Selection(ids=IDS), refresh=True, api_url=server.url).fetched == IDS
            assert store.aggregate(Selection(), name="all").groups[0].n == len(IDS)

    ANNA.does(anna)
    BEN.does(ben)
    ANNA.does(anna_again)
    BEN.does(lambda: read_all(location, *IDS))
    for path in [location, *location.rglob("*")]:
        status = path.stat()
        assert status.st_gid == LAB, path
        wanted = 0o2775 if path.is_dir() else 0o664
        assert stat.S_IMODE(status.st_mode) & wanted == wanted, (path, oct(status.st_mode))


@pytest.mark.usefixtures("warm")
def test_who_may_only_read_uses_what_is_there_and_writes_nothing(share: Path, server: SyntheticServer) -> None:
    location = share / "store"

    def anna() -> None:
        create_store(location).close()
        fetch(location, server.url, *IDS[:2])
        with open_store(location) as store:
            store.aggregate(Selection(ids=IDS[:2]), name="all")

    def state() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in [location, *location.rglob("*")]}

    def guest() -> None:
        for read_only in (True, False):
            with open_store(location, read_only=read_only) as store:
                assert store.select() == IDS
                np.testing.assert_array_equal(store.volume(IDS[0]), ATLAS.volume(IDS[0]))
                assert store.dataset("all").mean.shape[0] == 1
                assert len(store.sql("SELECT * FROM unionize")) > 0
                # Present data need not be fetched, and the average not computed again.
                assert store.fetch(Selection(ids=IDS[:2]), api_url=server.url).present == IDS[:2]
                assert store.sync_unionizes(Selection(ids=IDS[:2]), api_url=server.url).present == IDS[:2]
                assert not store.aggregate(Selection(ids=IDS[:2]), name="all").was_computed
                for refused in (
                    lambda: store.fetch(Selection(ids=IDS), api_url=server.url),
                    lambda: store.sync_unionizes(Selection(ids=IDS), api_url=server.url),
                    lambda: store.sync_structures(api_url=server.url),
                    lambda: store.sync_experiments(api_url=server.url),
                    # Refused before anything is computed.
                    lambda: store.aggregate(Selection(ids=IDS[:1]), name="one", executor=Never()),
                ):
                    with pytest.raises(ReadOnlyStoreError) as caught:
                        refused()
                    assert caught.value.hint

    ANNA.does(anna)
    before, asked = state(), server.requests.total
    GUEST.does(guest)
    assert state() == before
    assert server.requests.total == asked
