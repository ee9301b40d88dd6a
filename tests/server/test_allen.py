"""A store as the upstream of another one: a chain synthetic atlas -> store A -> application -> store B."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pandas as pd
import pytest
import requests
from numpy.typing import NDArray

from bsv_store import Selection, create_store, open_store
from bsv_store.catalog.tables.unionize_rows import RowCondition
from bsv_store.errors import DamagedCatalogError
from bsv_store.server.allen.files import zip_file
from bsv_store.server.data.openapi import DESCRIBED, document
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, wire, wire_volumes
from bsv_store_synthetic.faults import Substitute
from tests.databases import repeated
from tests.server.serving import serving

if TYPE_CHECKING:
    from bsv_store import Store
    from tests.postgres import PostgresServer

ATLAS = SyntheticAtlas(experiments=4)
FIRST, SECOND, HALF, BARE = ATLAS.experiment_ids
"""With all data, with fewer volumes, with the injection half of its unionize table, and with nothing."""

QUERY = "/api/v2/data/query.json"
DOWNLOADS = "/informatics-archive/current-release/mouse_ccf"
DENSITY = f"/grid_data/download_file/{FIRST}?image=projection_density&resolution=100"
VOLUMES: list[tuple[int, VolumeKind, int]] = [
    (FIRST, "projection_density", 100),
    (SECOND, "projection_density", 100),
    (FIRST, "projection_energy", 100),
    (FIRST, "injection_density", 100),
    (FIRST, "data_mask", 50),
]


def with_gaps(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The volume with some voxels without data."""
    changed = array.copy()
    changed[10:12, 20, 30] = np.nan
    return changed


DENSITY_WITH_GAPS = with_gaps(ATLAS.volume(SECOND))


def fill(store: Store, folder: Path) -> None:
    """What store A gets from the synthetic atlas."""
    with SyntheticServer(ATLAS) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes([FIRST, SECOND], api_url=server.url)
        store.sync_annotation(spacing_um=100, download_url=server.url)
        store.sync_template(spacing_um=100, download_url=server.url)
        member = wire_volumes.repeated("", 100, lambda: DENSITY_WITH_GAPS)
        body = b"".join(zip_file({"density": member}).pieces())
        server.fail(f"download/{SECOND}", Substitute(body))
        for experiment_id, kind, spacing_um in VOLUMES:
            report = store.fetch([experiment_id], kind=kind, spacing_um=spacing_um, api_url=server.url)
            assert report.fetched == (experiment_id,), report.summary()
        assert server.errors == []
    half = folder / "half.json"
    rows = [{**row, "experimentID": HALF} for row in wire.unionize_rows(ATLAS, HALF) if row["is_injection"]]
    half.write_text(json.dumps(rows))
    store.ingest_unionizes(half)
    store.catalog.exclude([SECOND], "a test")


def mirror(store: Store, url: str) -> None:
    """Fill store B from the application over store A."""
    store.sync_structures(api_url=url)
    store.sync_experiments(api_url=url)
    assert store.sync_unionizes([FIRST, SECOND], api_url=url).failed == ()
    store.sync_annotation(spacing_um=100, download_url=url)
    store.sync_template(spacing_um=100, download_url=url)
    for experiment_id, kind, spacing_um in VOLUMES:
        report = store.fetch([experiment_id], kind=kind, spacing_um=spacing_um, api_url=url)
        assert report.fetched == (experiment_id,), report.summary()


@dataclass
class Chain:
    """Store A, open for reading only, the address of its application, and store B."""

    a: Store
    url: str
    b: Store
    average: str

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=60)

    def envelope(self, text: str, key: str = "q", **more: str) -> dict[str, Any]:
        reply = requests.get(self.url + QUERY, params={key: text, **more}, timeout=60)
        assert reply.status_code == 200
        found: dict[str, Any] = reply.json()
        assert isinstance(found["msg"], list if found["success"] else str)
        return found


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=repeated)])
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    with ExitStack() as stack:
        urls: dict[str, str | None] = {"a": None, "b": None}
        if request.param == "postgres":
            server: PostgresServer = request.getfixturevalue("postgres")
            for name in urls:
                urls[name] = server.create_database(f"test_mirror_{name}")
                stack.callback(server.drop_database, f"test_mirror_{name}")
        with create_store(folder / "a", database=urls["a"]) as store:
            fill(store, folder)
            average = store.aggregate([FIRST], name="mean").content_sha256
        a = stack.enter_context(open_store(folder / "a", read_only=True))
        url = stack.enter_context(serving(a))
        b = stack.enter_context(create_store(folder / "b", database=urls["b"]))
        mirror(b, url)
        yield Chain(a, url, b, average)


# -- the same store ------------------------------------------------------------------------------------------------


def test_catalogs_are_equal(chain: Chain) -> None:
    assert chain.b.atlas.ontology() == chain.a.atlas.ontology()
    assert chain.b.catalog.experiment_list() == chain.a.catalog.experiment_list()
    columns = ["experiment_id", "primary_structure", "transgenic_line", "injection_volume", "injection_ap"]
    frames = [store.experiments([FIRST, HALF, BARE])[columns[1:]] for store in (chain.a, chain.b)]
    pd.testing.assert_frame_equal(*frames)


def test_unionize_rows_are_equal_to_the_bit(chain: Chain) -> None:
    query = "SELECT * FROM unionize WHERE experiment_id <> :half ORDER BY id"
    ours, theirs = (store.sql(query, {"half": HALF}) for store in (chain.a, chain.b))
    assert len(ours) == len(ATLAS.unionize(FIRST)) + len(ATLAS.unionize(SECOND))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    hashes = "SELECT experiment_id, part, row_count, content_sha256 FROM unionize_coverage WHERE experiment_id <> :half"
    ours, theirs = (store.sql(f"{hashes} ORDER BY experiment_id, part", {"half": HALF}) for store in (chain.a, chain.b))
    pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.parametrize(("experiment_id", "kind", "spacing_um"), VOLUMES)
def test_volumes_are_equal_to_the_bit(chain: Chain, experiment_id: int, kind: VolumeKind, spacing_um: int) -> None:
    files = [store.volumes.recorded(experiment_id, kind=kind, spacing_um=spacing_um) for store in (chain.a, chain.b)]
    assert files[0].layout.array_sha256 == files[1].layout.array_sha256
    arrays = [store.volumes.read(experiment_id, kind=kind, spacing_um=spacing_um) for store in (chain.a, chain.b)]
    assert arrays[0].tobytes() == arrays[1].tobytes()


def test_no_data_stays_no_data(chain: Chain) -> None:
    assert chain.b.volumes.read(SECOND).tobytes() == DENSITY_WITH_GAPS.tobytes()
    path = f"/grid_data/download_file/{SECOND}?image=projection_density&resolution=100"
    assert chain.get(path).content == wire_volumes.nrrd(DENSITY_WITH_GAPS, 100, dtype="f4")


def test_annotation_is_equal(chain: Chain) -> None:
    assert chain.b.atlas.recorded_annotation().array_sha256 == chain.a.atlas.recorded_annotation().array_sha256
    np.testing.assert_array_equal(chain.b.atlas.annotation(), ATLAS.annotation)


def test_template_is_equal_and_has_the_form_of_allens(chain: Chain) -> None:
    assert chain.b.atlas.recorded_template().array_sha256 == chain.a.atlas.recorded_template().array_sha256
    path = "/informatics-archive/current-release/mouse_ccf/average_template/average_template_100.nrrd"
    assert chain.get(path).content == wire_volumes.template_nrrd(100)


def test_selections_find_the_same(chain: Chain) -> None:
    for selection in (
        Selection(injected_in="VISp"),
        Selection(line="wild-type"),
        Selection(projecting_to="grey", exclude_ids=[HALF, BARE]),
        Selection(ids=[FIRST], injected_hemisphere=ATLAS.experiment(FIRST).injected_hemisphere),
    ):
        # A has excluded one, which is nothing that B should know.
        assert set(chain.b.select(selection)) - {SECOND} == set(chain.a.select(selection))


def test_an_average_is_the_same(chain: Chain) -> None:
    assert chain.b.aggregate([FIRST], name="mean").content_sha256 == chain.average


# -- what is missing -----------------------------------------------------------------------------------------------


def test_volumes_that_the_store_does_not_have_are_404(chain: Chain) -> None:
    for path in (
        f"/grid_data/download/{BARE}?include=density",
        f"/grid_data/download/{FIRST}?include=density,intensity",
        f"/grid_data/download/{SECOND}?include=energy",
        f"/grid_data/download_file/{FIRST}?image=projection_density&resolution=25",
        f"/grid_data/download_file/{FIRST}?image=data_mask&resolution=100",
        "/grid_data/download_file/1?image=data_mask&resolution=100",
        "/grid_data/download_file/1?image=<script>&resolution=100",
        "/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_50.nrrd",
        "/informatics-archive/current-release/mouse_ccf/average_template/average_template_25.nrrd",
        "/api/v2/nothing",
    ):
        reply = chain.get(path)
        assert (reply.status_code, reply.headers["Content-Type"]) == (404, "text/html; charset=utf-8"), path
        assert "<script>" not in reply.text
    report = chain.b.fetch([FIRST, BARE], api_url=chain.url)
    assert [failure.experiment_id for failure in report.failed] == [BARE]


def test_zip_without_a_choice_has_what_the_store_has(chain: Chain) -> None:
    with zipfile.ZipFile(io.BytesIO(chain.get(f"/grid_data/download/{FIRST}").content)) as archive:
        assert archive.namelist() == ["density.mhd", "density.raw", "energy.mhd", "energy.raw"]


def test_an_incomplete_unionize_table_is_never_taken_for_a_complete_one(chain: Chain) -> None:
    report = chain.b.sync_unionizes([FIRST, HALF, BARE], api_url=chain.url)
    assert {failure.experiment_id for failure in report.failed} == {HALF, BARE}
    stored = chain.b.sql("SELECT experiment_id FROM unionize_coverage")["experiment_id"]
    assert set(stored) == {FIRST, SECOND}
    model = "model::ProjectionStructureUnionize,rma::criteria"
    both = chain.envelope(f"{model},[section_data_set_id$in{HALF},{FIRST}],rma::options[num_rows$eq'all']")["msg"]
    assert {row["section_data_set_id"] for row in both} == {FIRST}
    everybody = chain.envelope(f"{model},[structure_id$eq997],rma::options[num_rows$eq'all']")["msg"]
    assert {row["section_data_set_id"] for row in everybody} == {FIRST, SECOND}


def test_the_half_that_is_complete_is_served_to_those_who_want_only_that(chain: Chain) -> None:
    text = f"model::ProjectionStructureUnionize,rma::criteria,[section_data_set_id$eq{HALF}][is_injection$eqtrue]"
    found = chain.envelope(f"{text},rma::options[num_rows$eq'all']")["msg"]
    expected = [row for row in wire.unionize_rows(ATLAS, HALF) if row["is_injection"]]
    assert sorted(found, key=lambda row: row["id"]) == expected
    assert chain.envelope(text.replace("true", "false"))["msg"] == []


def test_withdrawn_experiments_are_not_listed_and_excluded_ones_are(tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store, SyntheticServer(ATLAS) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes([FIRST], api_url=server.url)
        shorter = tmp_path / "shorter.json"
        kept = [row for i in ATLAS.experiment_ids[1:] for row in wire.connectivity_rows(ATLAS.experiment(i))]
        shorter.write_text(json.dumps(kept))
        store.ingest_experiments(shorter, upstream_date=datetime.now(UTC).date(), allow_shrinking=True)
        store.catalog.exclude([SECOND], "a test")
        with serving(store) as url:
            rows = requests.get(f"{url}{QUERY}?q=model::ApiConnectivity", timeout=60).json()["msg"]
            assert {row["data_set_id"] for row in rows} == set(ATLAS.experiment_ids) - {FIRST}
            table = "/api/v2/data/ProjectionStructureUnionize/query.json"
            rows = requests.get(f"{url}{table}?criteria=[section_data_set_id$eq{FIRST}]", timeout=60).json()
            assert rows["total_rows"] == len(ATLAS.unionize(FIRST))


# -- queries -------------------------------------------------------------------------------------------------------


def test_damaged_rows_are_not_passed_on(tmp_path: Path) -> None:
    with create_store(tmp_path / "whole") as store, SyntheticServer(ATLAS) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes([FIRST], api_url=server.url)
    rows = f"model::ProjectionStructureUnionize,rma::criteria,[section_data_set_id$eq{FIRST}]"
    cases = {
        "UPDATE structure SET name = 'Another' WHERE id = 997": "model::Structure",
        f"UPDATE experiment SET injection_volume = injection_volume * 2 WHERE id = {FIRST}": "model::ApiConnectivity",
        "UPDATE transgenic_line SET name = 'Another'": "model::ApiConnectivity",
        f"UPDATE unionize SET projection_volume = projection_volume * 2 WHERE experiment_id = {FIRST}": rows,
        f"DELETE FROM unionize WHERE experiment_id = {FIRST} AND structure_id = 997": rows,
    }
    for number, (damage, query) in enumerate(cases.items()):
        shutil.copytree(tmp_path / "whole", tmp_path / f"{number}")
        with open_store(tmp_path / f"{number}") as store, serving(store) as url:
            assert requests.get(url + QUERY, params={"q": query}, timeout=60).json()["success"] is True
            with store.database.writing() as connection:
                assert connection.exec_driver_sql(damage).rowcount
            reply = requests.get(url + QUERY, params={"q": query}, timeout=60)
            assert (reply.status_code, reply.json()["code"]) == (500, "DamagedCatalogError"), damage


def test_damaged_rows_are_refused_whatever_is_asked(tmp_path: Path) -> None:
    with create_store(tmp_path / "a") as a:
        with SyntheticServer(ATLAS) as server:
            a.sync_structures(api_url=server.url)
            a.sync_experiments(api_url=server.url)
            a.sync_unionizes([FIRST, SECOND], api_url=server.url)
        of_structure = [RowCondition("structure_id", "eq", (997,))]
        whole = [RowCondition("experiment_id", "in", (FIRST, SECOND))]
        large = [RowCondition("sum_pixels", "gt", (0.0,))]
        for conditions in (of_structure, whole, large, [*whole, *of_structure]):
            assert a.catalog.unionize_rows(conditions, limit=50).columns["id"]
        with a.database.writing() as connection:
            connection.exec_driver_sql(
                "UPDATE unionize SET projection_density = projection_density / 2 + 0.01 "
                f"WHERE experiment_id = {SECOND} AND structure_id = 997 AND hemisphere_id = 2 AND is_injection = false"
            )
        for conditions in (of_structure, whole, large, [*whole, *of_structure]):
            with pytest.raises(DamagedCatalogError, match=str(SECOND)):
                a.catalog.unionize_rows(conditions)
        # Other rows are answered.
        others = [[RowCondition("experiment_id", "eq", (FIRST,))], [RowCondition("structure_id", "eq", (4000000001,))]]
        for conditions in (*others, [*whole, RowCondition("is_injection", "eq", (True,))]):
            assert a.catalog.unionize_rows(conditions).columns["id"]


def test_replies_are_those_of_the_synthetic_server(chain: Chain) -> None:
    """One implementation of the routes serves both."""
    texts = [
        "model::ApiConnectivity,rma::options[num_rows$eq'all']",
        "model::ApiConnectivity,rma::criteria,[injection_x$gt5000],rma::options[order$eqinjection_x$desc]",
        "model::Structure,rma::criteria,[graph_id$in1],rma::include,structure_sets,"
        "rma::options[order$eqstructures.graph_order][num_rows$eq'all'][count$eqfalse]",
        "service::mouse_connectivity_injection_structure[injection_structures$eqVISp][num_rows$eq3000]",
        f"model::ProjectionStructureUnionize,rma::criteria,[section_data_set_id$in{FIRST},{SECOND}]"
        "[hemisphere_id$in1,3][volume$gt0.01][is_injection$eqfalse],"
        "rma::options[order$eqprojection_structure_unionizes.id][num_rows$eq40][start_row$eq7]",
        "service::nonsense",
        "model::Structure,rma::criteria,[nonsense$eq1]",
    ]
    with SyntheticServer(ATLAS) as server:
        for text in texts:
            theirs = requests.get(server.url + QUERY, params={"q": text}, timeout=60).json()
            ours = chain.envelope(text)
            if "model::ApiConnectivity" in text or "service::mouse" in text:
                for row in theirs["msg"]:
                    row["sum"] = None
                for row in ours["msg"]:
                    row["sum"] = None
            assert ours == theirs, text
        graph = "/api/v2/structure_graph_download/1.json"
        assert chain.get(graph).json() == requests.get(server.url + graph, timeout=60).json()


def test_rows_that_nobody_has_or_may_ask_for(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    model = "model::ProjectionStructureUnionize"
    for criteria in ("[section_data_set_id$in1,2]", "[max_voxel_x$gt99999999999]", "[id$in-5]"):
        found = chain.envelope(f"{model},rma::criteria,{criteria}")
        assert (found["success"], found["total_rows"], found["msg"]) == (True, 0, [])
    for criteria in ("[volume$gtnan]", "[volume$gt1e999]", "[id$eq9999999999999999999999]", "[is_injection$eq2]"):
        assert chain.envelope(f"{model},rma::criteria,{criteria}")["success"] is False
    monkeypatch.setattr("bsv_store.server.allen.store_source.MAX_UNIONIZE_ROWS", 100)
    refused = chain.envelope(f"{model},rma::options[num_rows$eq'all']")
    assert (refused["success"], "more than 100 rows" in refused["msg"]) == (False, True)
    assert chain.envelope(f"{model},rma::options[num_rows$eq100]")["num_rows"] == 100


def test_paging_visits_every_row_once(chain: Chain) -> None:
    text = f"model::ProjectionStructureUnionize,rma::criteria,[section_data_set_id$in{FIRST},{SECOND}]"
    ids: list[int] = []
    while page := chain.envelope(text, num_rows="70", start_row=str(len(ids)))["msg"]:
        ids += [row["id"] for row in page]
    expected = [row.id for i in (FIRST, SECOND) for row in ATLAS.unionize(i)]
    assert sorted(ids) == expected


@pytest.mark.parametrize(
    "path",
    [
        f"{QUERY}?q=%00",
        f"{QUERY}?q=model::Structure,rma::criteria,[acronym$eq%27%00%27]",
        f"{QUERY}?q=model::Structure,rma::criteria,[id$in{'1,' * 5000}1]",
        f"{QUERY}?q=model::ProjectionStructureUnionize,rma::criteria,[id$in]",
        f"{QUERY}?q=model::ProjectionStructureUnionize,rma::criteria,[section_data_set_id$in][is_injection$in]",
        f"{QUERY}?q=model::ProjectionStructureUnionize,rma::criteria,[section_data_set_id$eq999999999999999999]",
        f"{QUERY}?q=model::ProjectionStructureUnionize,rma::criteria,[hemisphere_id$ne999999999999999999]",
        f"{QUERY}?q=model::ProjectionStructureUnionize,rma::criteria,[is_injection$gtfalse][volume$le-1e308]",
        f"{QUERY}?q=model::ProjectionStructureUnionize&num_rows=999999999999999999",
        f"{QUERY}?q=model::ProjectionStructureUnionize&start_row=999999999999999999&count=false",
        f"{QUERY}?q=model::ApiConnectivity,rma::criteria,[transgenic_line$eq1]",
        f"{QUERY}?q=model::ApiConnectivity,rma::options[order$eqtransgenic_line][num_rows$eq0]",
        f"{QUERY}?criteria=service::mouse_connectivity_injection_structure[injection_structures$eq'<b>']",
        f"{QUERY}?q={'[' * 3000}",
        "/api/v2/data/Structure/query.json?criteria=model::Structure,rma::options[num_rows$eqx]",
        f"/api/v2/structure_graph_download/{'9' * 30}.json",
        "/grid_data/download_file/١?image=data_mask",
        f"/grid_data/download/{FIRST}?include=",
        f"/grid_data/download/{FIRST}?include=density,density",
        "/grid_data/../api/v2/data/query.json",
    ],
)
def test_a_strange_request_is_answered(chain: Chain, path: str) -> None:
    reply = chain.get(path)
    assert reply.status_code in (200, 404)
    if reply.status_code == 200 and "json" in reply.headers["Content-Type"]:
        assert reply.json()["success"] in (True, False)


@pytest.mark.parametrize(
    ("route", "path", "status"),
    [
        ("allen_query", f"{QUERY}?q=model::Structure", 200),
        ("allen_query", f"{QUERY}?q=model::Structure&start_row=-1", 200),
        ("allen_query", QUERY, 200),
        ("allen_model_query", "/api/v2/data/0/query.json", 404),
        ("allen_structure_graph", "/api/v2/structure_graph_download/0.json", 200),
        ("allen_structure_graph", "/api/v2/structure_graph_download/-1.json", 404),
        ("allen_grid_files", f"/grid_data/download/{BARE}", 404),
        ("allen_grid_file", f"/grid_data/download_file/{BARE}", 404),
        ("allen_grid_file", DENSITY, 206),
        ("allen_grid_file", DENSITY, 416),
        ("allen_annotation", f"{DOWNLOADS}/annotation/ccf_2017/annotation_99.nrrd", 404),
        ("allen_template", f"{DOWNLOADS}/average_template/average_template_99.nrrd", 404),
    ],
)
def test_the_openapi_document_describes_the_answers(chain: Chain, route: str, path: str, status: int) -> None:
    described = {each.name: each for each in DESCRIBED}[route]
    operation = document()["paths"][described.path]["get"]
    headers = {206: {"Range": "bytes=0-9"}, 416: {"Range": "bytes=999999999-"}}.get(status, {})
    reply = chain.get(path, **headers)
    assert reply.status_code == status
    contents = operation["responses"].get(str(status), operation["responses"]["default"])["content"]
    kind = reply.headers["Content-Type"].partition(";")[0]
    assert kind in contents
    if kind != "application/json":
        return
    envelope = reply.json()
    (form,) = (form for form in contents[kind]["schema"]["oneOf"] if _of(form, "success") == envelope["success"])
    assert isinstance(envelope["msg"], {"array": list, "string": str}[form["properties"]["msg"]["type"]])
    # A request that is answered with 200 fits the schema of its parameters.
    for name, text in parse_qsl(urlsplit(path).query):
        (schema,) = (each["schema"] for each in operation["parameters"] if each["name"] == name)
        assert schema == {"type": "string"}, (name, text)


def _of(form: dict[str, Any], name: str) -> Any:
    return form["properties"][name]["const"]


def test_the_server_works_as_a_proxy_for_allens_addresses(chain: Chain) -> None:
    """As in docs/mirror.md, for clients whose addresses cannot be changed."""

    def get(address: str) -> requests.Response:
        return requests.get(address, proxies={"http": chain.url}, timeout=60)

    query = f"{QUERY}?q=model::Structure,rma::options[num_rows$eq'all']"
    for host in ("api.brain-map.org", "connectivity.brain-map.org"):
        assert get(f"http://{host}{query}").json() == chain.get(query).json()
    annotation = f"{DOWNLOADS}/annotation/ccf_2017/annotation_100.nrrd"
    received = get(f"http://download.alleninstitute.org{annotation}")
    assert (received.status_code, received.content) == (200, chain.get(annotation).content)
    # It forwards nothing.
    assert get(f"http://example.org{query}").status_code == 421
    assert get("http://api.brain-map.org/v1/status").status_code == 421


# -- files ---------------------------------------------------------------------------------------------------------


def test_files_have_validators_and_ranges(chain: Chain) -> None:
    whole = chain.get(DENSITY)
    etag, size = whole.headers["ETag"], len(whole.content)
    assert (whole.headers["Content-Length"], whole.headers["Accept-Ranges"]) == (str(size), "bytes")
    unchanged = chain.get(DENSITY, **{"If-None-Match": f'"x", {etag}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    part = chain.get(DENSITY, **{"Range": "bytes=100-199", "If-Range": etag})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{size}"
    assert chain.get(DENSITY, Range="bytes=-7").content == whole.content[-7:]
    beyond = chain.get(DENSITY, Range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    other = chain.get(DENSITY, **{"Range": "bytes=100-199", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)
    head = requests.head(chain.url + DENSITY, timeout=60)
    assert (head.headers["Content-Length"], head.content) == (str(size), b"")


def test_bytes_and_validators_outlive_the_server(chain: Chain) -> None:
    paths = (DENSITY, f"/grid_data/download/{FIRST}?include=density", f"{QUERY}?q=model::ApiConnectivity")
    with serving(chain.a) as url:
        for path in paths:
            other, ours = requests.get(url + path, timeout=60), chain.get(path)
            assert (other.content, other.headers["ETag"]) == (ours.content, ours.headers["ETag"])
            assert chain.get(path, **{"If-None-Match": other.headers["ETag"]}).status_code == 304
