"""Downloading and ingesting the average template, and what is refused."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import nrrd as pynrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.errors import (
    DamagedFileError,
    FormatError,
    FrameError,
    InputError,
    MissingDataError,
    NotFoundUpstreamError,
    UpstreamError,
)
from bsv_store.formats.template import read_template_nrrd
from bsv_store.sources.allen.addresses import template_url
from bsv_store.volumes.template import publish_template
from bsv_store_synthetic import SyntheticServer, anatomy, wire_volumes
from bsv_store_synthetic.faults import Fault, Html, Status, Substitute
from tests.acquisition import atlas_files
from tests.acquisition.atlas_files import packed
from tests.processes import Child

from .conftest import Recorder

if TYPE_CHECKING:
    from bsv_store import Store

Launch = Callable[..., Child]
TEMPLATE: NDArray[np.uint16] = np.stack(list(anatomy.INVENTED.template_planes(100)), axis=2)


def body(values: NDArray[np.generic], dtype: str = "<u2", kind: str = "unsigned short", **changes: str) -> bytes:
    return packed(values, dtype, kind, **changes)


def written(folder: Path, content: bytes, name: str = "average_template_100.nrrd") -> Path:
    return atlas_files.written(folder, content, name)


def leftovers(store: Store) -> list[str]:
    return atlas_files.leftovers(store, "template")


@pytest.mark.parametrize("spacing", [100, 50])
def test_it_is_downloaded_once_and_read_back(
    catalog: Store, server: SyntheticServer, recorder: Recorder, spacing: int
) -> None:
    report = catalog.sync_template(spacing_um=spacing, progress=recorder, download_url=server.url)
    assert (report.outcome, report.spacing_um) == ("fetched", spacing)
    assert report.downloaded_bytes == recorder.size_bytes > 0
    assert report.source == (
        f"{server.url}/informatics-archive/current-release/mouse_ccf/average_template/average_template_{spacing}.nrrd"
    )
    values = catalog.atlas.template(spacing_um=spacing)
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(values, np.stack(list(anatomy.INVENTED.template_planes(spacing)), axis=2))
    np.testing.assert_array_equal(catalog.atlas.template(spacing_um=spacing, ap=slice(40, 30, -4)), values[40:30:-4])
    again = catalog.sync_template(spacing_um=spacing, download_url=server.url)
    assert (again.outcome, again.downloaded_bytes, server.requests.total) == ("present", 0, 1)
    assert catalog.sync_template(spacing_um=spacing, refresh=True, download_url=server.url).outcome == "fetched"
    (file,) = catalog.atlas.templates()
    assert (file.grid.spacing_um, file.source, file.dtype) == (spacing, report.source, "uint16")
    assert f"average_template_{spacing}.nrrd at {spacing} um" in file.name
    assert leftovers(catalog) == []


def test_without_one_the_hint_is_the_command(catalog: Store, tmp_path: Path) -> None:
    for ask in (
        lambda: catalog.atlas.template(spacing_um=25),
        lambda: catalog.atlas.recorded_template(spacing_um=25),
        lambda: catalog.atlas.export_template(tmp_path / "x.nrrd", spacing_um=25),
    ):
        with pytest.raises(MissingDataError, match="no template at 25 um") as caught:
            ask()
        assert caught.value.hint == "Download it: bsv-store sync template --spacing 25"


def test_a_damaged_file_is_never_read_and_downloaded_again(catalog: Store, server: SyntheticServer) -> None:
    catalog.sync_template(download_url=server.url)
    (path,) = catalog.path.glob("volumes/template/100um/*.h5")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DamagedFileError):
        catalog.atlas.template()
    catalog.sync_template(refresh=True, download_url=server.url)
    np.testing.assert_array_equal(catalog.atlas.template(), TEMPLATE)


@pytest.mark.parametrize(
    ("fault", "error", "complaint"),
    [
        pytest.param(Status(404), NotFoundUpstreamError, "404", id="404"),
        pytest.param(Html(), UpstreamError, "web page", id="html"),
        pytest.param(Substitute(wire_volumes.template_nrrd(100)[:-100]), UpstreamError, "is truncated", id="cut"),
        pytest.param(Substitute(wire_volumes.template_nrrd(50)), UpstreamError, "not of 100 um", id="spacing"),
        pytest.param(Substitute(body(TEMPLATE, sizes="133 81 115")), UpstreamError, "CCFv2", id="frame"),
        pytest.param(Substitute(wire_volumes.annotation_nrrd(100)), UpstreamError, "integers above 65,535", id="ids"),
        pytest.param(Substitute(body(TEMPLATE[::-1])), FrameError, "AP axis reversed", id="reversed"),
        pytest.param(Substitute(body(TEMPLATE[::-1, ::-1])), FrameError, "AP and DV axis reversed", id="turned"),
    ],
)
def test_what_is_not_the_template_is_refused(
    catalog: Store, server: SyntheticServer, fault: Fault, error: type[Exception], complaint: str
) -> None:
    catalog.sync_annotation(download_url=server.url)
    server.fail("average_template_100", fault, times=None)
    with pytest.raises(error, match=complaint) as caught:
        catalog.sync_template(download_url=server.url)
    assert "template" in str(caught.value)
    assert getattr(caught.value, "hint", None)
    assert leftovers(catalog) == []
    assert catalog.atlas.templates() == ()
    server.faults.clear()
    assert "fits the brain in the annotation at 100 um" in catalog.sync_template(download_url=server.url).summary()


def test_what_a_killed_synchronization_published_is_recovered(
    catalog: Store, server: SyntheticServer, launch: Launch
) -> None:
    process = launch("template", catalog.path, server.url, [100], kill_at="atlas-file:published")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (-signal.SIGKILL, "")
    assert (catalog.atlas.templates(), len(leftovers(catalog))) == ((), 1)
    server.requests.clear()
    report = catalog.sync_template(download_url=server.url)
    assert (report.outcome, report.downloaded_bytes, server.requests.total) == ("recovered", 0, 0)
    assert "recovered from an interrupted run" in report.summary()
    np.testing.assert_array_equal(catalog.atlas.template(), TEMPLATE)
    assert leftovers(catalog) == []


def test_a_lost_template_is_not_replaced_by_an_older_file(catalog: Store, server: SyntheticServer) -> None:
    older = publish_template(
        catalog.files, read_template_nrrd(body(TEMPLATE // 2), what="x"), source=template_url(server.url, 100)
    )
    catalog.ingest_template(written(catalog.path.parent, wire_volumes.template_nrrd(100)))
    (path,) = {*catalog.path.glob("volumes/template/100um/*.h5")} - {catalog.files.path(older.path)}
    path.unlink()
    assert catalog.sync_template(download_url=server.url).outcome == "fetched"
    np.testing.assert_array_equal(catalog.atlas.template(), TEMPLATE)


@pytest.mark.parametrize("how", ["cut", "flipped", "renamed", "reversed", "elsewhere"])
def test_a_file_without_a_row_is_not_trusted_because_it_exists(
    catalog: Store, server: SyntheticServer, how: str
) -> None:
    catalog.sync_annotation(download_url=server.url)
    content = body(TEMPLATE[::-1]) if how == "reversed" else wire_volumes.template_nrrd(100)
    source = "x" if how == "elsewhere" else template_url(server.url, 100)
    file = publish_template(catalog.files, read_template_nrrd(content, what="x"), source=source)
    atlas_files.damage(catalog.files.path(file.path), how)
    assert catalog.sync_template(download_url=server.url).outcome == "fetched"
    np.testing.assert_array_equal(catalog.atlas.template(), TEMPLATE)


@pytest.mark.parametrize(
    ("content", "error", "complaint"),
    [
        pytest.param(body(np.zeros_like(TEMPLATE)), FormatError, "has the value 0 everywhere", id="empty"),
        pytest.param(body(np.where(TEMPLATE > 0, -1, 5), "<i2", "short"), FormatError, "negative", id="negative"),
        pytest.param(body(np.where(TEMPLATE > 0, np.nan, 5), "<f4", "float"), FormatError, "not finite", id="nan"),
        pytest.param(b"NRRD0004\n", FormatError, "average_template_100", id="header"),
    ],
)
def test_a_bad_file_is_named_and_leaves_nothing(
    catalog: Store, tmp_path: Path, content: bytes, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint) as caught:
        catalog.ingest_template(written(tmp_path, content))
    assert "average_template_100.nrrd" in str(caught.value)
    assert leftovers(catalog) == []
    assert catalog.atlas.templates() == ()


def test_a_file_is_ingested_once_and_another_only_replaces_it_on_request(catalog: Store, tmp_path: Path) -> None:
    path = written(tmp_path, wire_volumes.template_nrrd(100))
    report = catalog.ingest_template(path)
    assert (report.outcome, report.source) == ("added", "average_template_100.nrrd")
    assert "not compared" in report.summary()
    assert catalog.ingest_template(path).outcome == "present"
    other = written(tmp_path, body(TEMPLATE / 3, "<f4", "float"), "other.nrrd")
    with pytest.raises(InputError, match="differs from the template at 100 um in the store") as caught:
        catalog.ingest_template(other)
    assert "ingest template --replace" in str(caught.value.hint)
    np.testing.assert_array_equal(catalog.atlas.template(), TEMPLATE)
    assert catalog.ingest_template(other, replace=True).outcome == "replaced"
    assert catalog.atlas.recorded_template().dtype == "float32"
    np.testing.assert_array_equal(catalog.atlas.template(), (TEMPLATE / 3).astype(np.float32))
    assert leftovers(catalog) == []


def test_a_damaged_file_is_replaced_by_the_same_template_from_a_file(catalog: Store, tmp_path: Path) -> None:
    file = written(tmp_path, wire_volumes.template_nrrd(100))
    catalog.ingest_template(file)
    (path,) = catalog.path.glob("volumes/template/100um/*.h5")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert catalog.ingest_template(file).outcome == "added"
    np.testing.assert_array_equal(catalog.atlas.template(), TEMPLATE)
    assert catalog.ingest_template(file).outcome == "present"


def test_an_image_that_is_not_of_a_brain_is_stored_with_a_warning(
    catalog: Store, server: SyntheticServer, tmp_path: Path
) -> None:
    catalog.sync_annotation(download_url=server.url)
    noise = np.random.default_rng(1).integers(0, 9, TEMPLATE.shape).astype(np.uint16)
    assert (
        "Warning: it does not look like the brain" in catalog.ingest_template(written(tmp_path, body(noise))).summary()
    )


def test_exports_have_the_right_orientation(catalog: Store, tmp_path: Path) -> None:
    marked = TEMPLATE.copy()
    # 1 mm from the anterior, 2 mm from the superior and 3 mm from the left end of the box.
    marked[10, 20, 30] = 60_000
    catalog.ingest_template(written(tmp_path, body(marked)))
    catalog.atlas.export_template(tmp_path / "t.nii.gz")
    image = nibabel.Nifti1Image.from_filename(tmp_path / "t.nii.gz")
    assert image.get_data_dtype() == np.uint16
    right, anterior, superior = image.affine @ [10, 20, 30, 1.0] @ np.eye(4)[:, :3]
    whole = image.affine @ [0, 0, 0, 1.0]
    np.testing.assert_allclose((right - whole[0], anterior - whole[1], superior - whole[2]), (3, -1, -2), atol=1e-5)
    np.testing.assert_array_equal(np.asarray(image.dataobj), marked)
    catalog.atlas.export_template(tmp_path / "t.nrrd")
    values, header = pynrrd.read(str(tmp_path / "t.nrrd"))
    np.testing.assert_array_equal(values, marked)
    assert (header["type"], header["template_sha256"]) == (
        "unsigned short",
        catalog.atlas.recorded_template().array_sha256,
    )
    # Left, posterior, superior.
    np.testing.assert_allclose(header["space directions"], [[0, 0.1, 0], [0, 0, -0.1], [-0.1, 0, 0]])
    catalog.atlas.export_template(tmp_path / "t.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), marked)
    catalog.atlas.export_template(tmp_path / "allen.nrrd", like_allen=True)
    np.testing.assert_allclose(pynrrd.read_header(str(tmp_path / "allen.nrrd"))["space directions"], np.eye(3) * 100)
    # An export is a template again.
    assert catalog.ingest_template(tmp_path / "allen.nrrd").outcome == "present"
