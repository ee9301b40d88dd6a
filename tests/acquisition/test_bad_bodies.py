"""What a network or a server may do to a body: each fault is named, nothing of it is stored, the others are unharmed.

The readers have tests of their own for every form of damage; here the bodies take the whole way into a store.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Drip, Fault, Hang, IgnoreRange, Status, Substitute, Truncate, WrongLength
from tests.acquisition.stored import count, reports_of_failure

if TYPE_CHECKING:
    from bsv_store import Store

Spoil = Callable[[bytes], bytes]


def all_files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


# -- zip ----------------------------------------------------------------------------------------------------------


def repacked(change: Callable[[dict[str, bytes]], dict[str, bytes]], *, mode: int = 0o644) -> Spoil:
    """The zip with other members."""

    def spoil(body: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in change(members).items():
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = mode << 16
                archive.writestr(info, data)
        return packed.getvalue()

    return spoil


def renamed(name: str) -> Spoil:
    return repacked(lambda members: {name if key == "density.raw" else key: data for key, data in members.items()})


def flipped(body: bytes) -> bytes:
    """One bit of the packed voxels."""
    data = bytearray(body)
    data[len(data) // 2] ^= 8
    return bytes(data)


ZIPS: dict[str, tuple[Spoil, str]] = {
    "cut": (lambda body: body[: len(body) // 2], "is not a complete zip file"),
    "flipped bit": (flipped, "is not a complete zip file"),
    "path upwards": (renamed("../../density.raw"), "a path in its name"),
    "absolute path": (renamed("/tmp/density.raw"), "a path in its name"),
    "link": (repacked(lambda members: members, mode=0o120777), "is a link"),
    "bomb": (repacked(lambda members: {**members, "density.raw": bytes(60_000_000)}), "60000000 bytes"),
    "another member": (renamed("energy.raw"), "is missing the member density.raw"),
    "short raw": (repacked(lambda m: {**m, "density.raw": m["density.raw"][:-4]}), "bytes instead of 4815360"),
    "old frame": (repacked(lambda m: {**m, "density.raw": bytes(4_955_580)}), "CCFv2"),
    "header of another": (
        repacked(lambda m: {**m, "density.mhd": m["density.mhd"].replace(b"MET_FLOAT", b"MET_SHORT")}),
        "ElementType|elementtype",
    ),
}


# -- NRRD ---------------------------------------------------------------------------------------------------------


def nrrd(change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> Spoil:
    """The file with another header or other voxels."""

    def spoil(body: bytes) -> bytes:
        header, _, packed = body.partition(b"\n\n")
        header, raw = change(header, gzip.decompress(packed))
        return header + b"\n\n" + gzip.compress(raw, 1)

    return spoil


def first_voxel(value: float) -> Spoil:
    return nrrd(lambda header, raw: (header, np.float32(value).tobytes() + raw[4:]))


NRRDS: dict[str, tuple[Spoil, str]] = {
    "cut": (lambda body: body[:-2000], "is truncated"),
    "another type": (nrrd(lambda h, raw: (h.replace(b"type: float", b"type: double"), raw)), "ends|cut|bytes"),
    "other sizes": (nrrd(lambda h, raw: (h.replace(b"132 80 114", b"132 80 113"), raw)), "132"),
    "old frame": (nrrd(lambda h, raw: (h.replace(b"132 80 114", b"133 81 115"), raw)), "CCFv2|133"),
    "NaN": (first_voxel(np.nan), "NaN"),
    "infinite": (first_voxel(np.inf), "infinite"),
    "negative": (first_voxel(-0.25), "negative"),
    "above one": (first_voxel(1.5), "fraction of a voxel"),
    "no NRRD": (lambda _: b"hello", "NRRD"),
}


def check_volumes(
    store: Store,
    atlas: SyntheticAtlas,
    server: SyntheticServer,
    tmp_path: Path,
    *,
    bad: dict[str, tuple[Spoil, str]],
    kind: Any,
) -> None:
    """Several experiments of one fetch are served badly, each in its own way, and one well."""
    *ids, good = atlas.experiment_ids
    before = all_files(tmp_path)
    names = list(bad)
    for start in range(0, len(names), len(ids)):
        served = dict(zip(ids, names[start : start + len(ids)], strict=False))
        for i, name in served.items():
            server.fail(f"/{i}?", Substitute(bad[name][0]), times=None)
        report = store.fetch([*served, good], kind=kind, api_url=server.url)
        assert {failure.experiment_id for failure in report.failed} == set(served), served
        for failure in report.failed:
            name = served[failure.experiment_id]
            assert any(part in failure.reason for part in bad[name][1].split("|")), (name, failure.reason)
            assert f"{kind} at 100 um of experiment {failure.experiment_id}" in failure.reason
            assert server.url in failure.reason
        server.faults.clear()
    np.testing.assert_array_equal(store.volume(good, kind=kind), atlas.volume(good, kind))
    assert count(store, "volume") == 1
    assert count(store, "claim") == 0
    new = all_files(tmp_path) - before
    assert [path.suffix for path in new] == [".h5"], new
    # Nothing of it stays in the way.
    assert store.fetch(ids, kind=kind, api_url=server.url).fetched == tuple(ids)


def test_a_zip_that_is_not_what_it_should_be(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, tmp_path: Path
) -> None:
    check_volumes(catalog, atlas, server, tmp_path, bad=ZIPS, kind="projection_density")


def test_an_nrrd_file_that_is_not_what_it_should_be(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, tmp_path: Path
) -> None:
    check_volumes(catalog, atlas, server, tmp_path, bad=NRRDS, kind="data_mask")


# -- transport ----------------------------------------------------------------------------------------------------


def test_a_transport_that_fails_for_good_stores_nothing(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, tmp_path: Path, patience: Callable[..., None]
) -> None:
    lasting: dict[str, tuple[Fault, str]] = {
        "nothing but headers": (Truncate(0), "the connection failed"),
        "too long a length": (WrongLength(100), "the connection failed"),
        "drip": (Drip(2_000), "incomplete after"),
        "hang": (Hang(), "did not respond in time"),
    }
    *ids, good = atlas.experiment_ids
    served = dict(zip(ids, lasting, strict=False))
    before = all_files(tmp_path)
    for i, name in served.items():
        server.fail(f"/{i}?", lasting[name][0], times=None)
        if name == "nothing but headers":
            server.fail(f"/{i}?", IgnoreRange(), times=None)
    (dripping,) = (i for i, name in served.items() if name == "drip")
    reports = []
    # Only the one that drips is to be given up for its time, which the others may take on a busy machine.
    for deadline_s, wanted in ((1, {dripping}), (60, {*served, good} - {dripping})):
        patience(attempts=2, read_timeout_s=0.5, deadline_s=deadline_s)
        if wanted == {dripping}:
            (report,) = reports_of_failure(lambda: catalog.fetch([dripping], api_url=server.url))
            reports.append(report)
        else:
            reports.append(catalog.fetch(sorted(wanted), api_url=server.url))
    assert [report.fetched for report in reports] == [(), (good,)]
    reasons = {served[failure.experiment_id]: failure.reason for report in reports for failure in report.failed}
    assert reasons.keys() == lasting.keys()
    for name, reason in reasons.items():
        assert lasting[name][1] in reason, (name, reason)
    requests = {name: server.requests.counts[f"/grid_data/download/{i}"] for i, name in served.items()}
    assert (requests["hang"], requests["drip"]) == (2, 1)
    assert count(catalog, "volume") == 1
    assert [path.suffix for path in all_files(tmp_path) - before] == [".h5"]


# -- unionize tables ----------------------------------------------------------------------------------------------


def rows(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], *, total: int | None = None) -> Spoil:
    """The reply with other rows."""

    def spoil(body: bytes) -> bytes:
        reply = json.loads(body)
        reply["msg"] = change(reply["msg"])
        reply["num_rows"] = len(reply["msg"])
        reply["total_rows"] = total or len(reply["msg"])
        return json.dumps(reply).encode()

    return spoil


def first_row(**changes: Any) -> Spoil:
    return rows(lambda all_rows: [{**all_rows[0], **changes}, *all_rows[1:]])


def moved(row: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    """The row; if it is that of the last structure, with an unknown structure id."""
    return {**row, "structure_id": 77} if row["structure_id"] == found[-1]["structure_id"] else row


TABLES: dict[str, tuple[Spoil, str]] = {
    "cut": (lambda body: body[: len(body) // 2], "JSON"),
    "text for a number": (first_row(projection_volume="much"), "projection_volume"),
    "a missing number": (first_row(projection_volume=None), "projection_volume"),
    "NaN": (first_row(projection_density=float("nan")), "NaN|JSON|projection_density"),
    "infinity": (first_row(projection_density=float("inf")), "Infinity|JSON|projection_density"),
    "a row twice": (rows(lambda all_rows: [*all_rows, all_rows[-1]]), "twice"),
    "another experiment's": (
        rows(lambda found: [{**row, "section_data_set_id": 5} for row in found]),
        "rows of experiment 5, which was not requested",
    ),
    "a structure that is not in the ontology": (rows(lambda found: [moved(row, found) for row in found]), "77"),
    "pages without end": (rows(lambda all_rows: all_rows, total=10**6), "row"),
    "no rows": (rows(lambda _: [], total=0), "none"),
}


def test_a_table_that_is_not_what_it_should_be(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, tmp_path: Path
) -> None:
    *ids, good = atlas.experiment_ids
    before = all_files(tmp_path)
    names = list(TABLES)
    for start in range(0, len(names), len(ids)):
        served = dict(zip(ids, names[start : start + len(ids)], strict=False))
        for i, name in served.items():
            server.fail(f"in{i}]", Substitute(TABLES[name][0]), times=None)
        # The request for all of them fails, so each is requested by itself.
        server.fail(lambda request: "," in request.target.partition("$in")[2].partition("%5D")[0], Status(400))
        report = catalog.sync_unionizes([*served, good], api_url=server.url)
        reasons = {served[failure.experiment_id]: failure.reason for failure in report.failed}
        assert reasons.keys() == set(served.values()), reasons
        for name, reason in reasons.items():
            assert any(part in reason for part in TABLES[name][1].split("|")), (name, reason)
        server.faults.clear()
    assert count(catalog, "unionize") == len(atlas.unionize(good))
    assert count(catalog, "unionize_coverage") == 2
    assert count(catalog, "claim") == 0
    assert all_files(tmp_path) == before
    assert catalog.sync_unionizes(ids, api_url=server.url).fetched == tuple(ids)


def test_unknown_keys_are_accepted(catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer) -> None:
    """Both in a row and in the reply itself."""
    with_field = first_row(new_field={"since": 2027})
    server.fail("query.json", Substitute(lambda body: with_field(body).replace(b"{", b'{"more": 1, ', 1)))
    assert catalog.sync_unionizes(atlas.experiment_ids[:1], api_url=server.url).failed == ()
    assert count(catalog, "unionize") == len(atlas.unionize(atlas.experiment_ids[0]))
