"""Targets: file formats of Allen's data, and tables and lists of users."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np

from bsv_store.errors import FormatError
from bsv_store.formats.annotation import read_annotation_nrrd
from bsv_store.formats.density_zip import read_density_zip
from bsv_store.formats.envelope import read_envelope
from bsv_store.formats.experiments import read_experiments, refuse_old_cache
from bsv_store.formats.id_list import read_ids
from bsv_store.formats.label_files import Label, read_labels, write_color_table, write_label_description
from bsv_store.formats.matlab import read_injection_info
from bsv_store.formats.metaimage import read_metaimage_header
from bsv_store.formats.nifti_reader import read_nifti_labels
from bsv_store.formats.npy import read_npy
from bsv_store.formats.nrrd import read_nrrd
from bsv_store.formats.structures import read_structures
from bsv_store.formats.template import read_template_nrrd
from bsv_store.formats.unionizes import read_unionizes
from bsv_store.sources.allen.decoding import BodyDecoder
from bsv_store.volumes.grid import Grid
from bsv_store_synthetic import SyntheticAtlas, wire, wire_volumes
from tests.reliability.fuzzing.mutate import any_of, in_gzip, in_nrrd, in_zip, mutate_bytes, mutate_json, mutate_text
from tests.reliability.fuzzing.target import Prepared, Target


@lru_cache(maxsize=1)
def atlas() -> SyntheticAtlas:
    """The synthetic atlas of all seeds."""
    return SyntheticAtlas(experiments=3)


def _first() -> int:
    return atlas().experiment_ids[0]


def _body(rows: Any) -> bytes:
    count = len(rows)
    return json.dumps(
        {"success": True, "id": 0, "start_row": 0, "num_rows": count, "total_rows": count, "msg": rows}
    ).encode()


# -- volumes ----------------------------------------------------------------------------------------------------------


def _nrrd(_scratch: Path) -> Prepared:
    zeros = wire_volumes.nrrd(np.zeros((132, 80, 114), "f4"), 100, dtype="f4")
    seeds = [zeros, wire_volumes.grid_nrrd(atlas(), _first(), "projection_density", 100)]
    header, _, body = zeros.partition(b"\n\n")
    seeds.append(header.replace(b"encoding: gzip", b"encoding: raw") + b"\n\n" + gzip.decompress(body))
    seeds.append(gzip.compress(zeros, 1))

    def run(data: bytes) -> None:
        volume = read_nrrd(data, "projection_density", what="fuzzed")
        content = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        if not content.partition(b"\n\n")[0].isascii():
            # pynrrd counts characters, not bytes.
            return
        stream = io.BytesIO(content)
        found = nrrd.read_header(stream)
        expected = nrrd.read_data(found, stream).astype("f4")
        expected[expected == -1] = np.nan
        assert np.array_equal(volume.array, expected, equal_nan=True), "pynrrd reads other voxels"

    return Prepared(seeds, run)


def _annotation(_scratch: Path) -> Prepared:
    seed = wire_volumes.annotation_nrrd(100)

    def run(data: bytes) -> None:
        annotation = read_annotation_nrrd(data, what="fuzzed", spacing_um=100)
        stream = io.BytesIO(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data)
        found = nrrd.read_header(stream)
        expected = nrrd.read_data(found, stream)
        read = np.concatenate([planes for _, planes in annotation.slabs()])
        assert np.array_equal(read, expected), "pynrrd reads other ids"

    return Prepared([seed], run)


def _template(_scratch: Path) -> Prepared:
    def run(data: bytes) -> None:
        template = read_template_nrrd(data, what="fuzzed", spacing_um=100)
        stream = io.BytesIO(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data)
        found = nrrd.read_header(stream)
        expected = nrrd.read_data(found, stream)
        read = np.concatenate([planes for _, planes in template.slabs()])
        assert np.array_equal(read, expected.astype(read.dtype)), "pynrrd reads other values"

    return Prepared([wire_volumes.template_nrrd(100)], run)


def _density_zip(_scratch: Path) -> Prepared:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wire_volumes.grid_zip(atlas(), _first()))) as archive:
        header = archive.read("density.mhd")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("density.mhd", header)
        archive.writestr("density.raw", bytes(132 * 80 * 114 * 4))

    def run(data: bytes) -> None:
        volume = read_density_zip(data, what="fuzzed")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            raw = archive.read("density.raw")
        expected = np.frombuffer(raw, "<f4").reshape((132, 80, 114), order="F").copy()
        expected[expected == -1] = np.nan
        assert np.array_equal(volume.array, expected, equal_nan=True), "zipfile and NumPy read other voxels"

    return Prepared([buffer.getvalue()], run)


def _metaimage(_scratch: Path) -> Prepared:
    with zipfile.ZipFile(io.BytesIO(wire_volumes.grid_zip(atlas(), _first()))) as archive:
        seed = archive.read("density.mhd")

    def run(data: bytes) -> None:
        header = read_metaimage_header(data, what="fuzzed")
        assert all(size > 0 for size in header.shape)

    return Prepared([seed], run)


def _npy(scratch: Path) -> Prepared:
    seeds = []
    for array in (np.zeros((4, 5, 6), "u4"), np.arange(10, dtype="i8"), np.zeros(3, [("a", "<i8"), ("b", "<f8")])):
        buffer = io.BytesIO()
        np.save(buffer, array)
        seeds.append(buffer.getvalue())
    file = scratch / "labels.npy"

    def run(data: bytes) -> None:
        file.write_bytes(data)
        with file.open("rb") as stream:
            array = read_npy(stream, what="fuzzed", max_bytes=1 << 20)
        expected = np.load(io.BytesIO(data), allow_pickle=False)
        assert array.dtype == expected.dtype
        assert array.tobytes() == expected.tobytes(), "NumPy reads another array"

    return Prepared(seeds, run)


def _nifti_header(data: bytes, chance: random.Random) -> bytes:
    """Change the header only, which is small."""
    return mutate_bytes(data[:352], chance) + data[352:]


def _nifti(scratch: Path) -> Prepared:
    labels = np.zeros((132, 80, 114), "u1")
    labels[60:63, 40, 50] = 7
    affine = np.array([[0, 0, 0.1, 0.05], [-0.1, 0, 0, -0.05], [0, -0.1, 0, -0.05], [0, 0, 0, 1]])
    seed = nibabel.Nifti1Image(labels, affine).to_bytes()
    file = scratch / "labels.nii"

    def run(data: bytes) -> None:
        file.write_bytes(data)
        found = read_nifti_labels(file, Grid(100), what="fuzzed")
        content = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        expected = np.asanyarray(nibabel.Nifti1Image.from_bytes(content).dataobj)
        assert found.shape == (132, 80, 114)
        # The same voxels in another order.
        assert np.array_equal(np.unique(found), np.unique(expected)), "nibabel reads other labels"

    return Prepared([seed, gzip.compress(seed, 1)], run)


# -- tables -----------------------------------------------------------------------------------------------------------


def _ids_of(records: Any) -> list[int]:
    return [record.id for record in records]


def _experiments_json(_scratch: Path) -> Prepared:
    experiments = [atlas().experiment(each) for each in atlas().experiment_ids]
    rows = [row for each in experiments for row in wire.connectivity_rows(each)]
    search = [wire.search_row(each) for each in experiments]
    seeds = [_body(rows), json.dumps(rows).encode(), _body(search), gzip.compress(json.dumps(rows).encode(), 1)]

    def run(data: bytes) -> None:
        found = read_experiments(data, what="fuzzed")
        value = json.loads((gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig"))
        rows = value if isinstance(value, list) else value["msg"]
        key = "data_set_id" if "data_set_id" in rows[0] else "id"
        assert _ids_of(found.experiments) == sorted({int(row[key]) for row in rows}), "other ids than in the rows"

    return Prepared(seeds, run)


def _experiments_csv(_scratch: Path) -> Prepared:
    seed = wire.web_csv(atlas()).encode()

    def run(data: bytes) -> None:
        found = read_experiments(data, what="fuzzed")
        if data[:1] in b"[{" or data.startswith(b"\x1f\x8b"):
            return
        text = data.decode("utf-8-sig")
        first = next(line for line in text.splitlines() if line.strip())
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
        rows = [row for row in reader if any(cell.strip() for cell in row)]
        at = [name.strip() for name in rows[0]].index("id")
        assert _ids_of(found.experiments) == sorted({int(float(row[at])) for row in rows[1:]}), "other ids than csv"

    return Prepared([seed, seed.replace(b",", b";") if b";" not in seed else seed], run)


def _structures(_scratch: Path) -> Prepared:
    rows = wire.structure_rows(structure_sets=True)[:25]
    known = {row["id"] for row in rows}
    rows = [row for row in rows if row["parent_structure_id"] is None or row["parent_structure_id"] in known]
    nested: dict[int, dict[str, Any]] = {row["id"]: {**row, "children": []} for row in rows}
    for row in rows:
        if row["parent_structure_id"] is not None:
            nested[row["parent_structure_id"]]["children"].append(nested[row["id"]])
    names = ("id", "acronym", "name", "parent_structure_id", "graph_order", "color_hex_triplet")
    lines = [",".join(names)]
    for row in rows:
        cells = ["" if row[name] is None else str(row[name]) for name in names]
        lines.append(",".join(f'"{cell}"' if "," in cell else cell for cell in cells))
    seeds = [_body(rows), json.dumps(rows).encode(), _body([nested[rows[0]["id"]]]), "\n".join([*lines, ""]).encode()]

    def run(data: bytes) -> None:
        found = read_structures(data, what="fuzzed")
        by_id = {each.id: each for each in found.structures}
        assert len(by_id) == len(found.structures)
        for each in found.structures:
            assert each.parent_structure_id is None or each.parent_structure_id in by_id

    return Prepared(seeds, run)


def _unionize_rows() -> list[dict[str, Any]]:
    rows = wire.unionize_rows(atlas(), _first())
    wanted = {row["structure_id"] for row in rows[:9]} | {997}
    return [row for row in rows if row["structure_id"] in wanted]


def _unionizes_json(_scratch: Path) -> Prepared:
    rows = _unionize_rows()
    columns = {key: {str(number): row[key] for number, row in enumerate(rows)} for key in rows[0]}
    split = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    seeds = [_body(rows), json.dumps(rows).encode(), json.dumps(columns).encode(), json.dumps(split).encode()]
    seeds.append(json.dumps([{**row, "experimentID": row["section_data_set_id"]} for row in rows]).encode())

    def run(data: bytes) -> None:
        found = read_unionizes(data, what="fuzzed")
        for values in found.columns.values():
            assert values.dtype.kind != "f" or np.isfinite(values).all()

    return Prepared(seeds, run)


def _unionizes_csv(_scratch: Path) -> Prepared:
    rows = _unionize_rows()
    names = list(rows[0])
    text = "\n".join([",".join(names), *(",".join(str(row[name]) for name in names) for row in rows), ""])
    seeds = [text.encode(), text.replace(",", "\t").encode(), gzip.compress(text.encode(), 1)]

    def run(data: bytes) -> None:
        found = read_unionizes(data, what="fuzzed")
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{") or b'"' in data:
            return
        lines = [line for line in data.decode("utf-8-sig").split("\n") if line.strip(" ,;\t\r")]
        assert len(found.columns["id"]) == len(lines) - 1, "other rows than lines"

    return Prepared(seeds, run)


def _envelope(_scratch: Path) -> Prepared:
    seeds = [_body([{"id": 1}]), b'{"success": false, "id": 0, "msg": "try again"}', b"<html></html>"]

    def run(data: bytes) -> None:
        found = read_envelope(data, what="fuzzed")
        assert found.messages == json.loads(data.decode("utf-8-sig"))["msg"]

    return Prepared(seeds, run)


def _cache_manifest(_scratch: Path) -> Prepared:
    seeds = [b'{"manifest": [{"type": "manifest_version", "value": 1.3}, {"type": "file", "key": "A"}]}']
    return Prepared(seeds, lambda data: refuse_old_cache(data, what="fuzzed"))


def _id_list(_scratch: Path) -> Prepared:
    seeds = [
        b"1,2 3\n4;5\n",
        b"[1, 2, 3.0]",
        b'[{"experiment_id": 5}, {"id": 6}]',
        b"id,name\n1,a\n2,b\n",
        b'name;data_set_id\n"a";17.0\n',
        "\ufeffid\tx\n1\t2\n".encode(),
    ]

    def run(data: bytes) -> None:
        found = read_ids(data, what="fuzzed")
        assert all(type(each) is int and 0 < each < 2**63 for each in found)

    return Prepared(seeds, run)


def _labels(scratch: Path) -> Prepared:
    labels = [Label(1, "core", (255, 0, 10)), Label(7, "shell é", (0, 0, 0))]
    files = {b"i": scratch / "a.label.txt", b"s": scratch / "b.ctbl"}
    write_label_description(labels, files[b"i"])
    write_color_table(labels, files[b"s"])
    seeds = [mark + file.read_bytes() for mark, file in files.items()]

    def run(data: bytes) -> None:
        file = files.get(data[:1], files[b"i"])
        file.write_bytes(data[1:])
        found = read_labels(file)
        for label in found:
            assert label.number > 0
            assert label.name.isprintable()
            assert max(label.color) <= 255

    return Prepared(seeds, run)


def _matlab(_scratch: Path) -> Prepared:
    from scipy.io import savemat

    rows = _unionize_rows()[:30]
    kinds = [(name, object) for name in rows[0]]
    array = np.empty((1, len(rows)), kinds)
    for number, row in enumerate(rows):
        for name, value in row.items():
            array[name][0, number] = float(value) if not isinstance(value, bool) else value
    seeds = []
    for is_packed in (True, False):
        buffer = io.BytesIO()
        savemat(buffer, {"injectionInfo": array}, do_compression=is_packed)
        seeds.append(buffer.getvalue())
    buffer = io.BytesIO()
    savemat(buffer, {"x": np.arange(3.0)}, format="4")
    return Prepared([*seeds, buffer.getvalue()], lambda data: read_injection_info(data, what="fuzzed"))


def _region_table(scratch: Path) -> Prepared:
    # It imports the figures.
    from bsv_store.reports.sources import _read_table

    file = scratch / "values.csv"

    def run(data: bytes) -> None:
        file.write_bytes(data)
        _read_table(file)

    return Prepared([b"structure,value\nVISp,0.5\nLGd,0.25\n", b"structure_id,a,b\n385,1,2\n"], run)


def _reply_encoding(_scratch: Path) -> Prepared:
    content = b'{"success": true}' * 100

    def run(data: bytes) -> None:
        decoder = BodyDecoder("gzip")
        size = 0
        try:
            for start in range(0, len(data), 64 << 10):
                for block in decoder.blocks(data[start : start + (64 << 10)]):
                    assert len(block) <= 1 << 20
                    size += len(block)
                    if size > 50_000_000:
                        raise FormatError("too large")
        except zlib.error as error:
            raise FormatError(str(error)) from error
        if decoder.is_complete and data[:2] == b"\x1f\x8b" and size == len(content):
            assert gzip.decompress(data)[: len(content)]

    return Prepared([gzip.compress(content, 1), gzip.compress(content[:9], 1) * 2], run)


_TEXT = in_gzip(mutate_text)
_JSON = in_gzip(mutate_json)

FORMATS: dict[str, Target] = {
    "nrrd": Target("NRRD volumes", _nrrd, any_of(in_nrrd, in_nrrd, in_gzip(in_nrrd)), weight=1, memory_bytes=160 << 20),
    "nrrd-annotation": Target("NRRD annotations", _annotation, in_nrrd, weight=0.5, memory_bytes=160 << 20),
    "nrrd-template": Target("NRRD templates", _template, in_nrrd, weight=0.5, memory_bytes=160 << 20),
    "density-zip": Target(
        "the grid download: zip with MetaImage",
        _density_zip,
        in_zip({"density.mhd": mutate_text, "density.raw": mutate_bytes}),
        weight=0.7,
    ),
    "metaimage": Target("MetaImage headers", _metaimage, mutate_text, weight=20),
    "npy": Target("NumPy label images", _npy, mutate_bytes),
    "nifti-labels": Target(
        "NIfTI label images",
        _nifti,
        any_of(_nifti_header, mutate_bytes, in_gzip(_nifti_header)),
        weight=1,
        memory_bytes=160 << 20,
    ),
    "experiments-json": Target("experiment lists, JSON", _experiments_json, _JSON, weight=15),
    "experiments-csv": Target("experiment lists, CSV with Ruby hashes", _experiments_csv, _TEXT, weight=15),
    "structures": Target("ontologies, JSON and CSV", _structures, any_of(mutate_json, mutate_text)),
    "unionizes-json": Target("unionize tables, JSON", _unionizes_json, _JSON),
    "unionizes-csv": Target("unionize tables, CSV", _unionizes_csv, _TEXT),
    "envelope": Target("RMA envelopes", _envelope, mutate_json, weight=15),
    "cache-manifest": Target("AllenSDK's manifest", _cache_manifest, mutate_json, weight=5),
    "id-list": Target("lists of ids", _id_list, any_of(mutate_text, mutate_json), weight=20),
    "labels": Target("label tables", _labels, mutate_text, weight=5),
    "matlab": Target("MAT files", _matlab, mutate_bytes, weight=2),
    "region-table": Target("CSV tables of values by structure", _region_table, _TEXT, weight=2),
    "reply-encoding": Target("Content-Encoding gzip", _reply_encoding, in_gzip(mutate_bytes), weight=10),
}
