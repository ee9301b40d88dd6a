"""Routes ``/v1/images``: values to the bit, bounds, caching, and problems."""

from __future__ import annotations

import io
import threading
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nibabel
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from bsv_store import Store, open_store
from bsv_store.remote.protocol import PROBLEM_TYPE
from bsv_store.server.data.shared import LONG_AT_A_TIME
from bsv_store.server.images import routes
from bsv_store.vocabulary import PLANES
from bsv_store.volumes import blocks as volume_blocks
from bsv_store.volumes.grid import ARRAY_AXES
from tests.datasets.world import VISP
from tests.server.image_store import LARGE_GRID, LARGE_ID, annotation, make_store
from tests.server.serving import serving


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("images") / "store"
    make_store(folder)
    with open_store(folder, read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def images(store: Store) -> Iterator[str]:
    with serving(store) as url:
        yield f"{url}/v1/images"


def get(address: str, **query: Any) -> requests.Response:
    return requests.get(address, params=query, timeout=60)


def plane(reply: requests.Response) -> NDArray[Any]:
    assert reply.status_code == 200, reply.text
    shape = [int(each) for each in reply.headers["Bsv-Shape"].split(",")]
    return np.frombuffer(reply.content, reply.headers["Bsv-Dtype"]).reshape(shape)


def expected(volume: NDArray[Any], orientation: str, index: int) -> NDArray[Any]:
    row = PLANES[orientation]
    found = np.take(volume, index, axis=ARRAY_AXES.index(row.across))
    return np.asarray(found if ARRAY_AXES.index(row.down) < ARRAY_AXES.index(row.right) else found.T)


def same(found: NDArray[Any], wanted: NDArray[Any]) -> bool:
    return found.dtype == wanted.dtype and found.shape == wanted.shape and found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("orientation", "index"), [("coronal", 90), ("sagittal", 85), ("horizontal", 15)])
def test_a_plane_has_the_bits_of_the_stored_array(images: str, store: Store, orientation: str, index: int) -> None:
    version, counted = store.dataset("lines"), store.dataset("counted")
    for source, array in (
        ({"version": "lines@1", "group": 1}, version.mean[1]),
        ({"version": "lines@1", "group": 1, "minus": 0}, version.mean[1] - version.mean[0]),
        ({"version": "counted@1", "group": 0}, counted.mean[0]),
        ({"version": "counted@1", "group": 0, "statistic": "n"}, counted.statistic("n")[0]),
        ({"experiment": 3}, store.volumes.read(3)),
    ):
        found = plane(get(f"{images}/slice", **source, plane=orientation, index=index))
        assert same(found, expected(array, orientation, index)), source


def test_no_data_stays_no_data(images: str) -> None:
    found = plane(get(f"{images}/slice", experiment=1, plane="coronal", index=90))
    assert np.isnan(found[15, 85])
    assert np.isnan(found).sum() == 1


def test_the_difference_of_counts_can_be_negative(images: str, store: Store) -> None:
    count = store.dataset("counted").statistic("n").astype(np.float64)
    source = {"version": "counted@1", "group": 1, "minus": 0, "statistic": "n"}
    assert same(plane(get(f"{images}/slice", **source, index=90)), (count[1] - count[0])[90])


@pytest.mark.parametrize(("orientation", "index"), [("coronal", 205), ("sagittal", 300), ("horizontal", 100)])
def test_a_plane_of_a_large_volume_has_the_bits_of_the_volume(
    images: str, store: Store, orientation: str, index: int
) -> None:
    row = PLANES[orientation]
    axis = ARRAY_AXES.index(row.across)
    box = [(0.0, float(extent * 25)) for extent in LARGE_GRID.shape]
    box[axis] = (index * 25.0, (index + 1) * 25.0)
    slab = store.volumes.read(LARGE_ID, spacing_um=25, box=box)
    found = plane(get(f"{images}/slice", experiment=LARGE_ID, spacing_um=25, plane=orientation, index=index))
    assert found.any()
    assert same(found, np.ascontiguousarray(expected(slab, orientation, 0)))


def test_a_coronal_plane_of_a_large_volume_reads_only_its_slab(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    actual = volume_blocks.BlockReader.read

    def counted(self: Any, name: str, start: int, stop: int) -> Any:
        values = actual(self, name, start, stop)
        read.append(values.nbytes)
        return values

    monkeypatch.setattr(volume_blocks.BlockReader, "read", counted)
    with serving(store) as url:
        assert plane(get(f"{url}/v1/images/slice", experiment=LARGE_ID, spacing_um=25, index=205)).any()
        whole = 8 * store.volumes.recorded(LARGE_ID, spacing_um=25).layout.value_count
        assert 0 < sum(read) < whole / 4
        before = len(read)
        get(f"{url}/v1/images/slice", experiment=LARGE_ID, spacing_um=25, index=206)
        assert len(read) == before


def test_planes_are_named_by_index_or_position(images: str) -> None:
    by_index = get(f"{images}/slice", version="lines@1", plane="sagittal", index=85)
    by_position = get(f"{images}/slice", version="lines@1", plane="sagittal", at_um=8599)
    assert by_index.content == by_position.content
    assert by_index.headers["ETag"] == by_position.headers["ETag"]
    assert by_position.headers["Bsv-At-Um"] == "8550"


def test_values_by_hash_never_expire_and_a_name_is_revalidated(images: str, store: Store) -> None:
    content = store.dataset("lines@1").content_sha256
    pinned = get(f"{images}/slice", version="lines@1", index=90, content=content)
    assert "immutable" in pinned.headers["Cache-Control"]
    # Another store may be served at the same address later.
    named = get(f"{images}/slice", version="lines@1", index=90)
    assert named.headers["Cache-Control"] == "no-cache"
    assert named.headers["ETag"] == pinned.headers["ETag"]
    again = requests.get(
        f"{images}/slice?version=lines&index=90", headers={"If-None-Match": named.headers["ETag"]}, timeout=10
    )
    assert again.status_code == 304
    assert not again.content
    sha256 = store.volumes.recorded(1).layout.array_sha256
    assert "immutable" not in get(f"{images}/slice", experiment=1, index=90).headers["Cache-Control"]
    assert "immutable" in get(f"{images}/slice", experiment=1, index=90, content=sha256).headers["Cache-Control"]


def test_compressed_and_plain_replies_have_the_same_content_but_other_etags(images: str) -> None:
    packed, plain = (
        requests.get(f"{images}/slice?version=lines@1&index=91", headers={"Accept-Encoding": coding}, timeout=10)
        for coding in ("gzip", "identity")
    )
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content
    assert packed.headers["ETag"] != plain.headers["ETag"]


def test_a_picture_has_a_pixel_for_each_voxel(images: str) -> None:
    reply = get(f"{images}/slice.png", version="lines@1", plane="sagittal", index=85, zoom=2, theme="dark")
    assert reply.headers["Content-Type"] == "image/png"
    width, height = (int.from_bytes(reply.content[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (2 * 132, 2 * 80)
    start = reply.content.index(b"IDAT")
    length = int.from_bytes(reply.content[start - 4 : start], "big")
    rows = np.frombuffer(zlib.decompress(reply.content[start + 4 : start + 4 + length]), np.uint8)
    assert rows.size == height * (width + 1)


def test_ranges_describe_all_values(images: str, store: Store) -> None:
    found = get(f"{images}/range", version="lines@1", group=0).json()
    mean = store.dataset("lines").mean[0]
    assert found["max"] == float(np.nanmax(mean))
    assert found["no_data_voxels"] == int(np.isnan(mean).sum())
    known = mean[np.isfinite(mean) & (mean != 0)]
    assert found["quantiles"]["0.998"] == pytest.approx(np.quantile(known, 0.998), rel=1e-6)
    assert get(f"{images}/range", version="lines@1", group=0, minus=1).json()["is_signed"]


def test_structure_ids_and_outlines_of_a_plane(images: str) -> None:
    ids = plane(get(f"{images}/annotation", plane="coronal", index=90))
    assert same(ids, annotation()[90])
    found = get(f"{images}/outlines", plane="coronal", index=90, structure="VISp").json()
    ((line,),) = [each["lines"] for each in found["outlines"] if each["id"] == VISP]
    points = np.array(line).reshape(-1, 2)
    # Within a voxel of the true border: ML 8.0 to 9.5 mm, DV 1.0 to 2.0 mm.
    assert points.min(axis=0) == pytest.approx([8000, 1000], abs=100)
    assert points.max(axis=0) == pytest.approx([9500, 2000], abs=100)
    assert points[0].tolist() == points[-1].tolist()


def test_a_position_in_a_structure_is_inside_it(images: str) -> None:
    ap, dv, ml = get(f"{images}/position", structure="VISp").json()["at_um"]
    assert annotation()[int(ap // 100), int(dv // 100), int(ml // 100)] == VISP


def test_nifti_files_have_the_values(images: str, store: Store) -> None:
    reply = get(f"{images}/volume.nii.gz", version="lines@1", group=1)
    image = nibabel.Nifti1Image.from_bytes(zlib.decompress(reply.content, 31))
    assert np.array_equal(np.asanyarray(image.dataobj), store.dataset("lines").mean[1], equal_nan=True)


def test_few_nifti_files_are_made_at_a_time(images: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on, begun = threading.Semaphore(0), threading.Event(), []

    def made(_store: Store, query: Mapping[str, str]) -> bytes:
        begun.append(query)
        entered.release()
        assert go_on.wait(20)
        return b"made"

    monkeypatch.setattr(routes, "nifti", made)
    wanted: list[dict[str, Any]] = [{"version": name, "group": 0} for name in ("lines@1", "counted@1")]
    wanted += [{"version": "counted@1", "statistic": "n"}, {"experiment": 1}, {"experiment": 3}]
    with ThreadPoolExecutor(len(wanted)) as pool:
        replies = [pool.submit(get, f"{images}/volume.nii.gz", **query) for query in wanted]
        try:
            assert all(entered.acquire(timeout=20) for _ in range(LONG_AT_A_TIME))
            # Others are answered meanwhile.
            assert get(f"{images}/slice", experiment=3, plane="coronal", index=90).status_code == 200
            assert len(begun) == LONG_AT_A_TIME
        finally:
            go_on.set()
        assert [each.result(20).content for each in replies] == [b"made"] * len(wanted)


@pytest.mark.parametrize(
    ("path", "query", "code", "words"),
    [
        ("slice", {"index": 1}, "InputError", "either version or experiment"),
        ("slice", {"version": "lines@1", "index": 132}, "InputError", "0 to 131"),
        ("slice", {"version": "lines@1", "index": -1}, "InputError", "whole number"),
        ("slice", {"version": "lines@1", "at_um": 13_200}, "InputError", "from 0 to 13200"),
        ("slice", {"version": "lines@1", "at_um": "nan"}, "InputError", "at_um must be"),
        ("slice", {"version": "lines@1"}, "InputError", "either index or at_um"),
        ("slice", {"version": "lines@1", "group": 2, "index": 3}, "InputError", "has no group 2"),
        ("slice", {"version": "lines@1", "statistic": "sd", "index": 3}, "InputError", "does not have sd"),
        ("slice", {"version": "lines@1", "plane": "oblique", "index": 3}, "InputError", "plane"),
        ("slice", {"version": "lines@1", "grp": 1, "index": 3}, "InputError", "'grp' is not a parameter"),
        ("slice", {"version": "lines@1", "index": [3, 4]}, "InputError", "more than once"),
        ("slice", {"version": "lines@1", "spacing_um": 25, "index": 3}, "InputError", "cannot be combined"),
        ("slice", {"version": "lines@9", "index": 3}, "UnknownDatasetError", "lines"),
        ("slice", {"version": "lines@1", "content": "0" * 64, "index": 3}, "UnknownDatasetError", "content"),
        ("slice", {"experiment": 99, "index": 3}, "UnknownExperimentError", "99"),
        ("slice", {"experiment": 1, "spacing_um": 50, "index": 3}, "MissingDataError", "50 um"),
        ("slice", {"experiment": 1, "spacing_um": 30, "index": 3}, "InputError", "10, 25, 50, 100"),
        ("slice.png", {"version": "lines@1", "index": 3, "map": "rainbow"}, "InputError", "color map"),
        ("slice.png", {"version": "lines@1", "index": 3, "vmax": 0}, "InputError", "vmax"),
        ("slice.png", {"version": "lines@1", "index": 3, "zoom": 9}, "InputError", "zoom"),
        ("outlines", {"index": 3, "level": 31}, "InputError", "level"),
        ("outlines", {"index": 3, "level": 1, "structure": "VISp"}, "InputError", "one of"),
        ("outlines", {"index": 3, "structure": "XYZ"}, "UnknownStructureError", "XYZ"),
        ("annotation", {"index": 3, "spacing_um": 25}, "MissingDataError", "annotation at 25 um"),
        ("position", {}, "InputError", "structure must be"),
        ("position", {"structure": "VISp", "hemisphere": "up"}, "InputError", "hemisphere must be one of left, right"),
        ("volume.nii.gz", {"experiment": 1, "spacing_um": 25}, "InputError", "25 um"),
        ("precomputed/version/lines@1/mean/0/100um/0-64_0-64_0-65", {}, "InputError", "name of a chunk"),
        ("precomputed/version/lines@1/mean/0/25um/0-64_0-64_0-64", {}, "InputError", "no scale"),
    ],
)  # fmt: skip
def test_bad_requests_are_problem_documents(
    images: str, path: str, query: dict[str, Any], code: str, words: str
) -> None:
    reply = get(f"{images}/{path}", **query)
    assert reply.status_code >= 400
    assert reply.headers["Content-Type"] == PROBLEM_TYPE
    problem = reply.json()
    assert problem["code"] == code
    assert words in problem["detail"]


def test_precomputed_chunks_are_the_volume(images: str, store: Store) -> None:
    """As the format says: chunks of [x, y, z] in Fortran order, truncated at the end."""
    for base, volume in (
        (
            f"{images}/precomputed/version/lines@1/mean/1-0",
            store.dataset("lines").mean[1] - store.dataset("lines").mean[0],
        ),
        (f"{images}/precomputed/experiment/2/projection_density/100", store.volumes.read(2)),
    ):
        info = requests.get(f"{base}/info", timeout=10).json()
        (scale,) = info["scales"]
        assert (info["type"], info["data_type"], scale["encoding"]) == ("image", "float32", "raw")
        assert scale["resolution"] == [100_000] * 3
        found = np.full(scale["size"], -5, np.float32)
        (chunk,) = scale["chunk_sizes"]
        for corner in np.ndindex(*(-(-size // step) for size, step in zip(scale["size"], chunk, strict=True))):
            ranges = [
                (at * step, min((at + 1) * step, size))
                for at, step, size in zip(corner, chunk, scale["size"], strict=True)
            ]
            name = "_".join(f"{first}-{last}" for first, last in ranges)
            data = requests.get(f"{base}/{scale['key']}/{name}", timeout=10).content
            where = tuple(slice(*each) for each in ranges)
            found[where] = np.frombuffer(data, "<f4").reshape([b - a for a, b in ranges], order="F")
        assert found.tobytes() == volume.tobytes()


def test_information_names_groups_and_arrays(images: str) -> None:
    found = get(f"{images}/info", version="counted").json()
    assert found["version"] == "counted@1"
    assert [each["name"] for each in found["arrays"]] == ["mean", "n"]
    assert [each["number"] for each in found["groups"]] == [0, 1]
    assert get(f"{images}/info", experiment=1).json()["volumes"] == [
        {"kind": "projection_density", "words": "projection density", "spacing_um": spacing} for spacing in (25, 100)
    ]


def test_pictures_have_the_colors_of_the_figures(images: str, store: Store) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    from matplotlib.image import imread

    from bsv_store.figures.scale import scale_of

    for query, array, is_signed in (
        ({"version": "lines@1"}, store.dataset("lines").mean[0], False),
        ({"version": "lines@1", "scale": "log", "theme": "dark"}, store.dataset("lines").mean[0], False),
        ({"version": "lines@1", "minus": 1}, store.dataset("lines").mean[0] - store.dataset("lines").mean[1], True),
    ):
        values = array[90]
        scale = scale_of(
            [values],
            theme=query.get("theme", "light"),  # type: ignore[arg-type]
            scale=query.get("scale", "linear" if is_signed else "power"),  # type: ignore[arg-type]
            is_signed=is_signed,
        )
        wanted = scale.colors(scale.norm(np.ma.masked_invalid(values)))
        found = imread(io.BytesIO(get(f"{images}/slice.png", **query, index=90).content))
        visible = wanted[..., 3] > 0.3
        # A palette of 255 colors, instead of 512.
        assert np.abs(found[visible] - wanted[visible])[:, :3].max() < 0.03
        assert np.abs(found[..., 3] - wanted[..., 3]).max() < 0.05
