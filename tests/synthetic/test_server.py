"""The synthetic server: what it sends parses back to the atlas."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import nrrd
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, ontology, wire

ATLAS = SyntheticAtlas(experiments=24)
IDS = ATLAS.experiment_ids
QUERY = "/api/v2/data/query.json"
ALL = "rma::options[num_rows$eq'all']"


@pytest.fixture(scope="module")
def running() -> Iterator[SyntheticServer]:
    with SyntheticServer(ATLAS) as server:
        yield server


@pytest.fixture
def server(running: SyntheticServer) -> Iterator[SyntheticServer]:
    running.requests.clear()
    yield running
    assert running.errors == []


def get(server: SyntheticServer, path: str, **parameters: str) -> requests.Response:
    return requests.get(server.url + path, params=parameters, timeout=20)


def envelope(server: SyntheticServer, text: str, key: str = "q", **more: str) -> dict[str, Any]:
    reply = get(server, QUERY, **{key: text}, **more)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("application/json")
    found: dict[str, Any] = reply.json()
    assert set(found) == {"success", "id", "start_row", "num_rows", "total_rows", "msg"}
    return found


def rows(server: SyntheticServer, text: str, key: str = "q", **more: str) -> list[dict[str, Any]]:
    found = envelope(server, text, key, **more)
    assert found["success"] is True, found["msg"]
    assert found["num_rows"] == len(found["msg"])
    answer: list[dict[str, Any]] = found["msg"]
    return answer


def read_nrrd(body: bytes) -> tuple[NDArray[Any], dict[str, Any]]:
    file = io.BytesIO(body)
    header = nrrd.read_header(file)
    return nrrd.read_data(header, file), dict(header)


# -- experiments --------------------------------------------------------------------------------------------------


def test_connectivity_list_holds_every_experiment_with_its_line(server: SyntheticServer) -> None:
    found = rows(server, f"model::ApiConnectivity,{ALL}")
    assert sorted({row["data_set_id"] for row in found}) == list(IDS)
    for row in found:
        experiment = ATLAS.experiment(row["data_set_id"])
        line = row["transgenic_line"]
        assert (line is None) == (experiment.lines == ())
        assert line is None or line["name"] in {known.name for known in experiment.lines}
        assert row["transgenic_line_id"] == (line and line["id"])
        assert row["injection_volume"] == experiment.injection_volume
        assert (row["injection_x"], row["injection_y"], row["injection_z"]) == (
            experiment.injection_ap,
            experiment.injection_dv,
            experiment.injection_ml,
        )
        assert tuple(map(int, row["injection_structures"].split("/"))) == experiment.injection_structure_ids
        assert row["structure_abbrev"] == experiment.primary_structure_acronym
        assert row["strain"] == experiment.strain


def test_connectivity_list_repeats_an_experiment_of_two_lines(server: SyntheticServer) -> None:
    """As the real list of 2020-11 does for five mice."""
    found = rows(server, f"model::ApiConnectivity,{ALL}")
    twice = [i for i in IDS if sum(row["data_set_id"] == i for row in found) == 2]
    assert twice == [i for i in IDS if len(ATLAS.experiment(i).lines) == 2]
    types = {row["transgenic_line"]["transgenic_line_type_name"] for row in found if row["data_set_id"] in twice}
    assert types == {"driver", "wild type"}


def search(server: SyntheticServer, *terms: str) -> list[dict[str, Any]]:
    text = "service::mouse_connectivity_injection_structure" + "".join(f"[{term}]" for term in terms)
    return rows(server, text, "criteria")


def test_source_search_finds_wild_type_primary_injections(server: SyntheticServer) -> None:
    found = search(
        server,
        "injection_structures$eqVISp",
        "transgenic_lines$eq0",
        "primary_structure_only$eqtrue",
        "num_rows$eq3000",
    )
    experiments = map(ATLAS.experiment, IDS)
    wanted = {e.id for e in experiments if e.primary_structure_acronym == "VISp" and e.is_wild_type}
    assert {row["id"] for row in found} == wanted
    assert all(row["transgenic-line"] == "" for row in found)
    names = {row["id"]: row["transgenic-line"] for row in search(server)}
    for experiment in map(ATLAS.experiment, IDS):
        lines = [line.name for line in experiment.lines if line.type_name != "wild type"]
        assert names[experiment.id] == "/".join(lines)
    experiment = ATLAS.experiment(found[0]["id"])
    assert found[0]["injection-coordinates"] == [
        experiment.injection_ap,
        experiment.injection_dv,
        experiment.injection_ml,
    ]
    assert found[0]["sum"] == experiment.projection_volume
    assert found[0]["num-voxels"] is None
    assert [s["id"] for s in found[0]["injection-structures"]] == list(experiment.injection_structure_ids)


def test_source_search_takes_descendants_but_no_acronym_prefixes(server: SyntheticServer) -> None:
    primaries = {
        row["structure-abbrev"] for row in search(server, "injection_structures$eqVIS", "primary_structure_only$eqtrue")
    }
    assert primaries == {"VISp", "VISl", "VISpm", "VISal"}
    primaries = {
        row["structure-abbrev"]
        for row in search(server, "injection_structures$eqVISp", "primary_structure_only$eqtrue")
    }
    assert primaries == {"VISp"}


def test_source_search_includes_secondary_injections_by_default(server: SyntheticServer) -> None:
    every = {row["id"] for row in search(server, "injection_structures$eqVISp")}
    primary = {row["id"] for row in search(server, "injection_structures$eqVISp", "primary_structure_only$eqtrue")}
    assert primary < every
    visp = ATLAS.structure("VISp").id
    assert all(visp in ATLAS.experiment(i).injection_structure_ids for i in every)


def test_source_search_takes_ids_lists_quoted_names_and_lines(server: SyntheticServer) -> None:
    by_id = search(server, f"injection_structures$eq{ATLAS.structure('MOp').id},AUDp", "primary_structure_only$eqtrue")
    assert {row["structure-abbrev"] for row in by_id} == {"MOp", "AUDp"}
    assert search(server, "injection_structures$eq'LOB4, 5'", "primary_structure_only$eqtrue") == []
    line = next(line for i in IDS for line in ATLAS.experiment(i).lines if "," in line.name)
    found = search(server, f"transgenic_lines$eq'{line.name}'")
    assert {row["id"] for row in found} == {i for i in IDS if line in ATLAS.experiment(i).lines}


def test_csv_export_agrees_with_the_search(server: SyntheticServer) -> None:
    table = list(csv.DictReader(io.StringIO(wire.web_csv(ATLAS))))
    found = {row["id"]: row for row in search(server)}
    assert len(table) == len(found) == len(IDS)
    for line in table:
        row = found[int(line["id"])]
        assert json.loads(line["injection-structures"].replace("=>", ":")) == row["injection-structures"]
        assert json.loads(line["injection-coordinates"]) == row["injection-coordinates"]
        assert float(line["sum"]) == row["sum"]
        assert line["transgenic-line"] == row["transgenic-line"]
        assert line["structure-color"] == row["structure-color"].lower()
        assert line["num-voxels"] == ""


# -- structures ---------------------------------------------------------------------------------------------------


def test_structure_list_parses_back_to_the_ontology(server: SyntheticServer) -> None:
    found = rows(
        server,
        "model::Structure,rma::criteria,[graph_id$in1],rma::include,structure_sets,"
        "rma::options[order$eqstructures.graph_order][num_rows$eq'all'][count$eqfalse]",
    )
    for row, record in zip(found, ATLAS.structures, strict=True):
        sets = tuple(member["id"] for member in row.pop("structure_sets"))
        assert sets == record.structure_set_ids
        for name in ("id", "acronym", "name", "parent_structure_id", "graph_order", "color_hex_triplet"):
            assert row[name] == getattr(record, name)
        assert row["structure_id_path"] == "/" + "/".join(map(str, ontology.invented().path_of(record.id))) + "/"
        assert row["depth"] == row["structure_id_path"].count("/") - 2


def test_structure_graph_nests_the_same_tree(server: SyntheticServer) -> None:
    reply = get(server, "/api/v2/structure_graph_download/1.json").json()
    assert reply["success"] is True
    seen: list[tuple[int, int | None]] = []

    def walk(node: dict[str, Any]) -> None:
        seen.append((node["id"], node["parent_structure_id"]))
        for child in node["children"]:
            assert child["parent_structure_id"] == node["id"]
            walk(child)

    walk(reply["msg"][0])
    assert seen == [(s.id, s.parent_structure_id) for s in ATLAS.structures]
    assert get(server, "/api/v2/structure_graph_download/2.json").json()["success"] is False


# -- unionize -----------------------------------------------------------------------------------------------------


def test_unionize_in_list_gives_all_rows_of_all_ids(server: SyntheticServer) -> None:
    ids = IDS[3], IDS[0], IDS[5]
    found = rows(
        server,
        f"model::ProjectionStructureUnionize,rma::criteria,[section_data_set_id$in{','.join(map(str, ids))}]"
        "[is_injection$eqfalse],rma::options[num_rows$eq'all'][count$eqfalse]",
    )
    expected = [dataclasses.asdict(r) for i in sorted(ids) for r in ATLAS.unionize(i) if not r.is_injection]
    assert sorted(found, key=lambda row: row["id"]) == expected
    assert len(found[0]) == 19


def test_unionize_model_address_defaults_to_fifty_rows(server: SyntheticServer) -> None:
    path, criteria = "/api/v2/data/ProjectionStructureUnionize/query.json", f"[section_data_set_id$eq{IDS[0]}]"
    expected = [dataclasses.asdict(r) for r in ATLAS.unionize(IDS[0])]
    short = get(server, path, criteria=criteria).json()
    assert short["num_rows"] == len(short["msg"]) == 50
    assert short["total_rows"] == len(expected)
    assert get(server, path, criteria=criteria, num_rows="all").json()["msg"] == expected


def test_paging_visits_every_row_once(server: SyntheticServer) -> None:
    path, criteria = "/api/v2/data/ProjectionStructureUnionize/query.json", f"[section_data_set_id$eq{IDS[0]}]"
    collected: list[dict[str, Any]] = []
    while True:
        page = get(server, path, criteria=criteria, num_rows="40", start_row=str(len(collected))).json()
        assert page["start_row"] == len(collected)
        if not page["msg"]:
            break
        collected.extend(page["msg"])
    assert collected == [dataclasses.asdict(r) for r in ATLAS.unionize(IDS[0])]


def test_total_means_nothing_when_rows_are_not_counted(server: SyntheticServer) -> None:
    text = "model::ApiConnectivity,rma::options[num_rows$eq5][start_row$eq3]"
    assert envelope(server, text)["total_rows"] > 5
    assert envelope(server, text + "[count$eqfalse]")["total_rows"] == 5


def test_service_pages_and_refuses_all(server: SyntheticServer) -> None:
    service = "service::mouse_connectivity_injection_structure"
    first = envelope(server, f"{service}[num_rows$eq10]", "criteria")
    rest = envelope(server, f"{service}[num_rows$eq100][start_row$eq10]", "criteria")
    assert first["num_rows"] == 10
    assert {row["id"] for row in first["msg"] + rest["msg"]} == set(IDS)
    assert envelope(server, f"{service}[num_rows$eqall]", "criteria")["success"] is False


def test_filters_and_order_apply(server: SyntheticServer) -> None:
    found = rows(
        server,
        "model::ApiConnectivity,rma::criteria,[strain$eq'C57BL/6J'][injection_x$gt5000],rma::options[order$eqinjection_x$desc]",
    )
    assert found
    assert all(row["strain"] == "C57BL/6J" for row in found)
    places = [row["injection_x"] for row in found]
    assert places == sorted(places, reverse=True)
    assert places[-1] > 5_000


def test_unknown_ids_give_no_rows(server: SyntheticServer) -> None:
    assert rows(server, "model::ProjectionStructureUnionize,rma::criteria,[section_data_set_id$in1,0]") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model::Nonsense",
        "model::Structure,rma::criteria,[nonsense$eq1]",
        "model::Structure,rma::criteria,[id$eqx]",
        "model::Structure,rma::criteria,[id$about1]",
        "model::Structure,rma::include,nonsense",
        "model::Structure,rma::nonsense",
        "model::Structure,rma::options[num_rows$eqmany]",
        "model::Structure,rma::options[order$eqnonsense]",
        "model::Structure,rma::criteria,[id$eq1",
        "service::nonsense",
        "service::mouse_connectivity_injection_structure[injection_structures$eqVISx]",
        "service::mouse_connectivity_injection_structure[nonsense$eq1]",
    ],
)
def test_query_that_is_not_understood_fails_with_a_string(server: SyntheticServer, text: str) -> None:
    found = envelope(server, text)
    assert found["success"] is False
    assert isinstance(found["msg"], str)
    assert found["msg"]


# -- grids --------------------------------------------------------------------------------------------------------


def test_density_zip_holds_the_grid_first_axis_fastest(server: SyntheticServer) -> None:
    reply = get(server, f"/grid_data/download/{IDS[1]}", include="density")
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.namelist() == ["density.mhd", "density.raw"]
        header = dict(line.split(" = ") for line in archive.read("density.mhd").decode().splitlines())
        raw = archive.read("density.raw")
    assert header["DimSize"] == "132 80 114"
    assert header["ElementType"] == "MET_FLOAT"
    assert header["ElementDataFile"] == "density.raw"
    assert len(raw) == 4_815_360
    array = np.frombuffer(raw, "<f4").reshape((132, 80, 114), order="F")
    np.testing.assert_array_equal(array, ATLAS.volume(IDS[1]))


def test_zip_of_several_members_has_energy_as_density_times_intensity(server: SyntheticServer) -> None:
    reply = get(server, f"/grid_data/download/{IDS[1]}", include="density,energy,intensity")
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        arrays = [np.frombuffer(archive.read(f"{name}.raw"), "<f4") for name in ("density", "energy", "intensity")]
    np.testing.assert_allclose(arrays[0] * arrays[2], arrays[1], rtol=1e-6)


@pytest.mark.parametrize("kind", ["projection_density", "injection_fraction", "data_mask"])
def test_nrrd_at_100_um_is_float(server: SyntheticServer, kind: VolumeKind) -> None:
    reply = get(server, f"/grid_data/download_file/{IDS[2]}", image=kind, resolution="100")
    assert reply.content.startswith(b"NRRD0004\n")
    array, header = read_nrrd(reply.content)
    assert header["type"] == "float"
    assert header["encoding"] == "gzip"
    np.testing.assert_array_equal(array, ATLAS.volume(IDS[2], kind))


def test_nrrd_at_25_um_is_double_and_repeats_the_voxels(server: SyntheticServer) -> None:
    reply = get(server, f"/grid_data/download_file/{IDS[2]}", image="injection_density", resolution="25")
    header = nrrd.read_header(io.BytesIO(reply.content))
    assert header["type"] == "double"
    assert header["sizes"].tolist() == [528, 320, 456]
    # Inflated in pieces: the whole is 0.6 GB. ML is the slowest axis, so that a plane of it is contiguous.
    plane = 528 * 320 * 8
    body = reply.content[reply.content.index(b"\n\n") + 2 :]
    ml = ATLAS.experiment(IDS[2]).injection_ml // 25
    with gzip.open(io.BytesIO(body)) as unpacked:
        unpacked.seek(ml * plane)
        found = np.frombuffer(unpacked.read(plane), "<f8").reshape((528, 320), order="F")
    whole = ATLAS.volume(IDS[2], "injection_density")[:, :, ml // 4]
    assert whole.any()
    np.testing.assert_array_equal(found, np.repeat(np.repeat(whole, 4, 0), 4, 1))


@pytest.mark.parametrize("spacing", [100, 50])
def test_annotation_file_is_unsigned_int(server: SyntheticServer, spacing: int) -> None:
    path = f"/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_{spacing}.nrrd"
    array, header = read_nrrd(get(server, path).content)
    assert header["type"] == "unsigned int"
    step = 100 // spacing
    if step == 1:
        np.testing.assert_array_equal(array, ATLAS.annotation)
    # The shapes are the same at every spacing: only voxels on their edges differ.
    inner = array[step // 2 :: step, step // 2 :: step, step // 2 :: step]
    assert (inner == ATLAS.annotation).mean() > 0.97


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nonsense",
        "/grid_data/download/1?include=density",
        f"/grid_data/download/{IDS[0]}?include=nonsense",
        f"/grid_data/download_file/{IDS[0]}?image=nonsense&resolution=100",
        f"/grid_data/download_file/{IDS[0]}?image=data_mask&resolution=10",
        f"/grid_data/download_file/{IDS[-1] + 1}?image=data_mask&resolution=100",
        "/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_20.nrrd",
    ],
)
def test_what_does_not_exist_is_404(server: SyntheticServer, path: str) -> None:
    assert get(server, path).status_code == 404
