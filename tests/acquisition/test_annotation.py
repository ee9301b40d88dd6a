"""The annotation comes into the store: from the server once for everybody, from files, from caches; or not at all."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import text

from bsv_store.errors import (
    DamagedFileError,
    FormatError,
    FrameError,
    InputError,
    MissingDataError,
    NotFoundUpstreamError,
    ReadOnlyStoreError,
    StoreError,
    UnknownStructureError,
    UpstreamError,
)
from bsv_store.server.allen.messages import Request
from bsv_store.sources.allen import AllenClient
from bsv_store.sources.allen.addresses import annotation_url
from bsv_store_synthetic import SyntheticServer, anatomy, wire, wire_volumes
from bsv_store_synthetic.faults import Fault, Gate, Html, Status, Substitute, Truncate
from tests.acquisition import atlas_files
from tests.acquisition.atlas_files import packed
from tests.acquisition.interrupts import interrupt_at
from tests.catalogs import ATLAS
from tests.processes import Child

from .conftest import Recorder

if TYPE_CHECKING:
    from bsv_store import Store

Launch = Callable[..., Child]
LEAVES = len(set(np.unique(ATLAS.annotation).tolist()) - {0})


def body(ids: np.ndarray, dtype: str = "<u4", kind: str = "unsigned int", **changes: str) -> bytes:
    return packed(ids, dtype, kind, **changes)


def written(folder: Path, content: bytes, name: str = "annotation_100.nrrd") -> Path:
    return atlas_files.written(folder, content, name)


def leftovers(store: Store) -> list[str]:
    return atlas_files.leftovers(store, "annotation")


# -- from the server ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [100, 50])
def test_it_is_brought_and_read_back(catalog: Store, server: SyntheticServer, recorder: Recorder, spacing: int) -> None:
    report = catalog.sync_annotation(spacing_um=spacing, progress=recorder, download_url=server.url)
    assert (report.outcome, report.spacing_um, report.structures) == ("fetched", spacing, LEAVES)
    assert report.source.startswith(server.url)
    assert report.downloaded_bytes == recorder.size_bytes > 0
    ids = catalog.atlas.annotation(spacing_um=spacing)
    assert ids.dtype == np.uint32
    np.testing.assert_array_equal(ids, np.stack(list(anatomy.INVENTED.planes(spacing)), axis=2))
    assert report.annotated_voxels == np.count_nonzero(ids)
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=spacing, ap=slice(30, 40, 3)), ids[30:40:3])
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=spacing, ap=slice(40, 30, -4)), ids[40:30:-4])
    assert leftovers(catalog) == []


def test_what_is_there_is_not_asked_for(catalog: Store, server: SyntheticServer) -> None:
    first = catalog.sync_annotation(download_url=server.url)
    again = catalog.sync_annotation(download_url=server.url)
    assert (again.outcome, again.structures, again.downloaded_bytes) == ("present", first.structures, 0)
    assert server.requests.total == 1
    refreshed = catalog.sync_annotation(refresh=True, download_url=server.url)
    assert refreshed.outcome == "fetched"
    assert server.requests.total == 2
    assert leftovers(catalog) == []


def test_one_that_was_never_compared_is_compared_without_a_download(catalog: Store, server: SyntheticServer) -> None:
    first = catalog.sync_annotation(download_url=server.url)
    with catalog.database.writing() as connection:
        connection.execute(text("UPDATE annotation SET origin = 'unchecked'"))
    again = catalog.sync_annotation(download_url=server.url)
    assert (again.outcome, again.origin, again.remarks) == ("checked", first.origin, first.remarks)
    assert catalog.sync_annotation(download_url=server.url).outcome == "present"
    assert server.requests.total == 1
    assert leftovers(catalog) == []


@pytest.mark.parametrize(
    ("step", "passages"),
    [("packing:Packer.pack", 5), ("annotation:runs", 2), ("annotation:annotation_image", 1)],
)
def test_an_interrupt_ends_what_is_under_way_and_leaves_nothing(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch, step: str, passages: int
) -> None:
    """At 10 um each of these takes minutes: decompression, compression, encoding."""
    with monkeypatch.context() as patch:
        # Five slabs of each of three blocks, or more.
        patch.setattr("bsv_store.volumes.layout._SLAB_BYTES", 1 << 20)
        patch.setattr("bsv_store.formats.nrrd._BLOCK_BYTES", 1 << 20)
        passed = interrupt_at(patch, f"bsv_store.volumes.{step}", passage=min(passages, 2))
        with pytest.raises(KeyboardInterrupt):
            catalog.sync_annotation(download_url=server.url)
    assert len(passed) == passages
    assert leftovers(catalog) == []
    assert catalog.sync_annotation(download_url=server.url).outcome == "fetched"


def test_a_damaged_file_is_downloaded_or_ingested_again(
    catalog: Store, server: SyntheticServer, tmp_path: Path
) -> None:
    catalog.sync_annotation(download_url=server.url)
    (path,) = catalog.path.glob("volumes/annotation/100um/*.h5")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DamagedFileError):
        catalog.atlas.annotation(spacing_um=100)
    catalog.sync_annotation(refresh=True, download_url=server.url)
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert catalog.ingest_annotation(written(tmp_path, wire_volumes.annotation_nrrd(100))).outcome == "added"
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)
    (path,) = catalog.path.glob("volumes/annotation/100um/*.h5")
    path.unlink()
    assert catalog.sync_annotation(download_url=server.url).outcome == "fetched"
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)


FLOATS = body(ATLAS.annotation, "<f4", "float")
OTHER_IDS = body(np.where(ATLAS.annotation > 0, np.uint32(5), np.uint32(0)))


@pytest.mark.parametrize(
    ("fault", "error", "complaint"),
    [
        pytest.param(Status(404), NotFoundUpstreamError, "404", id="404"),
        pytest.param(Status(503), UpstreamError, "503", id="503"),
        pytest.param(Html(), UpstreamError, "web page", id="html"),
        pytest.param(Truncate(5000), UpstreamError, "connection failed", id="cut"),
        pytest.param(
            Substitute(wire_volumes.annotation_nrrd(100)[:-100]), UpstreamError, "is truncated", id="cut at source"
        ),
        pytest.param(Substitute(FLOATS), UpstreamError, "float32, which is exact", id="float"),
        pytest.param(Substitute(wire_volumes.annotation_nrrd(50)), UpstreamError, "not of 100 um", id="spacing"),
        pytest.param(Substitute(body(ATLAS.annotation, sizes="133 81 115")), UpstreamError, "CCFv2", id="frame"),
        pytest.param(Substitute(OTHER_IDS), UnknownStructureError, "does not have: 5", id="ids"),
    ],
)
def test_what_is_not_the_annotation_is_refused(
    catalog: Store,
    server: SyntheticServer,
    fault: Fault,
    error: type[Exception],
    complaint: str,
) -> None:
    server.fail("annotation_100", fault, times=None)
    with pytest.raises(error, match=complaint) as caught:
        catalog.sync_annotation(download_url=server.url)
    assert "annotation" in str(caught.value)
    assert getattr(caught.value, "hint", None)
    assert leftovers(catalog) == []
    with pytest.raises(MissingDataError, match="no annotation at 100 um"):
        catalog.atlas.annotation(spacing_um=100)
    server.faults.clear()
    assert catalog.sync_annotation(download_url=server.url).outcome == "fetched"


def test_without_an_ontology_no_request_is_sent(store: Store, server: SyntheticServer) -> None:
    with pytest.raises(UnknownStructureError, match="no structures") as caught:
        store.sync_annotation(download_url=server.url)
    assert "sync structures" in str(caught.value)
    assert server.requests.total == 0


def test_an_ontology_without_a_structure_that_has_voxels_refuses_it(store: Store, tmp_path: Path) -> None:
    lost = ATLAS.structure("LGd").id
    kept = [row for row in wire.structure_rows(structure_sets=True) if row["id"] != lost]
    store.ingest_structures(written(tmp_path, json.dumps(kept).encode(), "structures.json"))
    path = written(tmp_path, wire_volumes.annotation_nrrd(100))
    with pytest.raises(UnknownStructureError, match=str(lost)) as caught:
        store.ingest_annotation(path)
    assert str(path) in str(caught.value)
    assert leftovers(store) == []


def test_no_such_grid_is_an_error(catalog: Store, server: SyntheticServer) -> None:
    with pytest.raises(InputError, match="got 30"):
        catalog.sync_annotation(spacing_um=30, download_url=server.url)
    with pytest.raises(InputError, match="got 30"):
        catalog.atlas.annotation(spacing_um=30)
    assert server.requests.total == 0


# -- many processes, killed ones ----------------------------------------------------------------------------------


def finished(processes: Sequence[Child]) -> list[str]:
    outcomes = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert [(errors, code) for _, errors, code in outcomes] == [("", 0)] * len(processes)
    return [output for output, _, _ in outcomes]


class Asked:
    """Matches every request for the annotation, and says when one has come."""

    def __init__(self) -> None:
        self.once = threading.Event()

    def __call__(self, request: Request) -> bool:
        self.once.set()
        return "annotation_" in request.path


def test_many_processes_cause_one_download(catalog: Store, server: SyntheticServer, launch: Launch) -> None:
    opened, asked = threading.Event(), Asked()
    server.fail(asked, Gate(opened), times=None)
    processes = [launch("annotation", catalog.path, server.url, [100]) for _ in range(3)]
    assert asked.once.wait(60)
    opened.set()
    outcomes = sorted(finished(processes))
    assert server.requests.total == 1
    assert outcomes == ["fetched", "present", "present"]
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)
    assert leftovers(catalog) == []


def test_a_derived_annotation_does_not_prevent_the_download(catalog: Store, server: SyntheticServer) -> None:
    catalog.sync_annotation(spacing_um=50, download_url=server.url)
    report = catalog.sync_annotation(spacing_um=100, download_url=server.url)
    assert report.outcome == "fetched"
    assert server.requests.total == 2
    assert catalog.sql("SELECT derived_from_um FROM annotation")["derived_from_um"].isna().all()
    assert leftovers(catalog) == []


def test_what_a_killed_synchronization_published_is_recovered(
    catalog: Store, server: SyntheticServer, launch: Launch
) -> None:
    process = launch("annotation", catalog.path, server.url, [100], kill_at="atlas-file:published")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (-signal.SIGKILL, "")
    with pytest.raises(MissingDataError):
        catalog.atlas.annotation(spacing_um=100)
    server.requests.clear()
    report = catalog.sync_annotation(download_url=server.url)
    assert report.outcome == "recovered"
    assert server.requests.total == 0
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)


@pytest.mark.parametrize("how", ["cut", "flipped", "renamed", "unknown"])
def test_a_file_without_a_row_is_not_trusted_because_it_exists(
    catalog: Store, server: SyntheticServer, tmp_path: Path, how: str
) -> None:
    content = OTHER_IDS if how == "unknown" else wire_volumes.annotation_nrrd(100)
    from bsv_store.formats.annotation import read_annotation_nrrd
    from bsv_store.volumes.annotation import publish_annotation

    source = annotation_url(server.url, 100)
    file = publish_annotation(catalog.files, read_annotation_nrrd(content, what="x"), source=source)
    atlas_files.damage(catalog.files.path(file.path), how)
    assert catalog.sync_annotation(download_url=server.url).outcome == "fetched"
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)


# -- from files ---------------------------------------------------------------------------------------------------


def test_a_file_is_ingested_once(catalog: Store, tmp_path: Path) -> None:
    path = written(tmp_path, wire_volumes.annotation_nrrd(100))
    report = catalog.ingest_annotation(path)
    assert (report.outcome, report.source, report.structures) == ("added", "annotation_100.nrrd", LEAVES)
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)
    assert catalog.ingest_annotation(path).outcome == "present"
    assert leftovers(catalog) == []


def test_another_one_is_kept_out_unless_it_shall_replace(catalog: Store, tmp_path: Path) -> None:
    catalog.ingest_annotation(written(tmp_path, wire_volumes.annotation_nrrd(100)))
    mirrored = written(tmp_path, body(ATLAS.annotation[..., ::-1]), "mirrored.nrrd")
    with pytest.raises(InputError, match="differs") as caught:
        catalog.ingest_annotation(mirrored)
    assert "--replace" in str(caught.value)
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)
    assert catalog.ingest_annotation(mirrored, replace=True).outcome == "replaced"
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation[..., ::-1])
    assert leftovers(catalog) == []
    assert len(list(catalog.path.glob("trash/*annotation*"))) == 1


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"<html>", FormatError),
        (FLOATS, FormatError),
        (wire_volumes.annotation_nrrd(100)[:-30], FormatError),
        (body(ATLAS.annotation, sizes="133 81 115"), FrameError),
        (OTHER_IDS, UnknownStructureError),
    ],
)
def test_a_bad_file_is_named_and_leaves_nothing(
    catalog: Store, tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(error, match="annotation_100"):
        catalog.ingest_annotation(path)
    assert leftovers(catalog) == []
    with pytest.raises(MissingDataError):
        catalog.atlas.annotation(spacing_um=100)


def test_the_next_run_ingests_the_file_of_a_killed_run(catalog: Store, tmp_path: Path, launch: Launch) -> None:
    path = written(tmp_path, wire_volumes.annotation_nrrd(100))
    process = launch("annotation file", catalog.path, str(path), [], kill_at="atlas-file:published")
    assert (process.communicate(timeout=60)[1], process.returncode) == ("", -signal.SIGKILL)
    assert catalog.ingest_annotation(path).outcome == "added"
    assert leftovers(catalog) == []


def test_many_processes_that_hand_in_the_same_file_do_not_disturb_each_other(
    catalog: Store, tmp_path: Path, launch: Launch
) -> None:
    path = written(tmp_path, wire_volumes.annotation_nrrd(100))
    finished([launch("annotation file", catalog.path, str(path), []) for _ in range(3)])
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)
    assert leftovers(catalog) == []


def test_the_rest_of_a_killed_ingest_is_not_taken_for_allens(
    catalog: Store, server: SyntheticServer, tmp_path: Path, launch: Launch
) -> None:
    own = ATLAS.annotation.copy()
    own[own > 0] = own[own > 0][0]
    path = written(tmp_path, body(own))
    killed = launch("annotation file", catalog.path, str(path), [], kill_at="atlas-file:published")
    assert (killed.communicate(timeout=60)[1], killed.returncode) == ("", -signal.SIGKILL)
    assert catalog.sync_annotation(download_url=server.url).outcome == "fetched"
    assert np.array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)


def test_an_annotation_that_another_process_stored_meanwhile_is_kept(
    catalog: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bsv_store.acquisition import annotation as module

    theirs = ATLAS.annotation.copy()
    theirs[theirs > 0] = theirs[theirs > 0][0]
    publish = module.publish_annotation  # type: ignore[attr-defined]

    def in_between(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(module, "publish_annotation", publish)
        catalog.ingest_annotation(written(tmp_path, body(theirs), "theirs.nrrd"))
        return publish(*arguments, **options)

    monkeypatch.setattr(module, "publish_annotation", in_between)
    with pytest.raises(InputError, match="differs"):
        catalog.ingest_annotation(written(tmp_path, body(ATLAS.annotation)))
    assert np.array_equal(catalog.atlas.annotation(spacing_um=100), theirs)


def test_a_download_that_cannot_be_put_down_is_an_error_of_ours(client: AllenClient, tmp_path: Path) -> None:
    """White-box, because the folder must disappear after the run has begun to use it."""
    with pytest.raises(StoreError, match="nowhere"):
        client.annotation(100, scratch=tmp_path / "nowhere" / "scratch")


def test_users_without_write_access_get_an_error(catalog: Store, tmp_path: Path) -> None:
    from bsv_store import open_store

    path = written(tmp_path, wire_volumes.annotation_nrrd(100))
    catalog.ingest_annotation(path)
    with open_store(catalog.path, read_only=True) as reader:
        np.testing.assert_array_equal(reader.atlas.annotation(spacing_um=100), ATLAS.annotation)
        with pytest.raises(ReadOnlyStoreError):
            reader.ingest_annotation(written(tmp_path, body(ATLAS.annotation[..., ::-1]), "m.nrrd"), replace=True)
