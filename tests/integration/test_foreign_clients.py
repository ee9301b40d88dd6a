"""The synthetic server and a store's mirror under clients that we did not write, and their caches in our store.

What they read is compared with what the atlas says of itself, not with what our own client reads.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Selection, create_store, open_store
from bsv_store.compat import fetch_connectivity_data
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, wire
from tests.server.serving import serving

from .environments import ALLENSDK, BRAIN_STREET_VIEW, Environment, bsv_catalog

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("foreign")]

ATLAS = SyntheticAtlas(experiments=12)
# The first is wild type, the second not; both have rows that the other has not.
IDS = (ATLAS.experiment_ids[0], ATLAS.experiment_ids[3])
VISP = ATLAS.structure("VISp").id
KINDS: tuple[VolumeKind, ...] = ("projection_density", "injection_density", "injection_fraction", "data_mask")


@dataclass(frozen=True)
class Visit:
    """What a client downloaded, and its cache."""

    cache: Path
    results: Path
    found: dict[str, Any]

    def array(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(self.results / f"{name}.npy")
        return array


def fill(store: Store) -> None:
    """Everything that the clients ask for, in a store."""
    with SyntheticServer(ATLAS) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(IDS, api_url=server.url)
        store.sync_annotation(spacing_um=100, download_url=server.url)
        for kind in KINDS:
            store.fetch(IDS, kind=kind, api_url=server.url)
        store.fetch(IDS[:1], spacing_um=50, api_url=server.url)
        store.fetch(IDS[:1], kind="injection_density", spacing_um=25, api_url=server.url)


@contextmanager
def upstream(name: str, folder: Path) -> Iterator[str]:
    """The address of the synthetic server, or of the application over a store that was filled from it."""
    if name == "synthetic":
        with SyntheticServer(ATLAS) as server:
            yield server.url
            assert server.errors == []
        return
    with create_store(folder / "store") as store:
        fill(store)
    with open_store(folder / "store", read_only=True) as store, serving(store) as url:
        yield url


UPSTREAMS = ["synthetic", "store"]


def visit(environment: Environment, script: str, folder: Path, upstream_name: str, *, url_wanted: bool) -> Visit:
    """Run a client against the synthetic server, or a store, in place of Allen's.

    Addresses that a client does not let one choose are plain http, so that the server can stand in as their proxy.
    """
    if not environment.is_there:
        pytest.skip(f"{environment.client} has no environment here: `make test-integration` makes it, or says why not")
    cache, results = folder / "cache", folder / "results"
    cache.mkdir()
    results.mkdir()
    with upstream(upstream_name, folder) as url:
        settings = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        settings |= {"http_proxy": url, "no_proxy": "127.0.0.1"}
        arguments = [*([url] if url_wanted else []), cache, results, *IDS]
        done = subprocess.run(
            [environment.python, Path(__file__).with_name(script), *map(str, arguments)],
            cwd=folder,
            env=settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return Visit(cache, results, json.loads((results / "results.json").read_text()))


def rows_of(experiment_id: int) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in ATLAS.unionize(experiment_id)]


def by_id(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def check_store(store: Store, *, kinds: tuple[VolumeKind, ...], parts: tuple[bool, ...]) -> None:
    """The store holds the atlas's volumes and unionize rows of the experiments, and nothing else of them."""
    for i in IDS:
        for kind in kinds:
            np.testing.assert_array_equal(store.volume(i, kind=kind), ATLAS.volume(i, kind))
    stored = store.sql("SELECT * FROM unionize").rename(columns={"experiment_id": "section_data_set_id"})
    expected = by_id([row for i in IDS for row in rows_of(i) if row["is_injection"] in parts])
    found = by_id([{name: row[name] for name in expected[next(iter(expected))]} for row in stored.to_dict("records")])
    assert found == expected


# -- AllenSDK -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=UPSTREAMS)
def allensdk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    return visit(ALLENSDK, "allensdk_client.py", tmp_path_factory.mktemp("allensdk"), request.param, url_wanted=True)


def test_allensdk_reads_the_structures(allensdk: Visit) -> None:
    nodes = by_id(allensdk.found["structures"])
    assert nodes.keys() == {record.id for record in ATLAS.structures}
    for record in ATLAS.structures:
        node = nodes[record.id]
        assert (node["acronym"], node["name"], node["graph_order"]) == (record.acronym, record.name, record.graph_order)
        assert sorted(node["structure_set_ids"]) == sorted(record.structure_set_ids)
        assert "".join(f"{part:02X}" for part in node["rgb_triplet"]) == record.color_hex_triplet
        parents = node["structure_id_path"][-2:-1]
        assert parents == ([] if record.parent_structure_id is None else [record.parent_structure_id])


def test_allensdk_reads_the_experiments(allensdk: Visit) -> None:
    experiments = by_id(allensdk.found["experiments"])
    assert set(experiments) == set(ATLAS.experiment_ids)
    for i, found in experiments.items():
        ours = ATLAS.experiment(i)
        assert found["structure_id"] == ours.primary_structure_id
        assert found["structure_abbrev"] == ours.primary_structure_acronym
        assert tuple(found["injection_structures"]) == ours.injection_structure_ids
        assert found["injection_volume"] == ours.injection_volume
        assert (found["injection_x"], found["injection_y"], found["injection_z"]) == (
            ours.injection_ap,
            ours.injection_dv,
            ours.injection_ml,
        )
        assert (found["specimen_name"], found["gender"], found["strain"]) == (ours.specimen_name, ours.sex, ours.strain)
        names: list[str | None] = [line.name for line in ours.lines]
        assert found["transgenic_line"] in (names or [None])


def test_allensdk_and_we_tell_wild_types_apart_alike(allensdk: Visit) -> None:
    wild = {i for i in ATLAS.experiment_ids if not ATLAS.experiment(i).lines}
    assert set(allensdk.found["wild type"]) == wild
    assert set(allensdk.found["cre"]) == set(ATLAS.experiment_ids) - wild


def test_allensdk_reads_the_unionize_tables(allensdk: Visit) -> None:
    expected = by_id([row for i in IDS for row in rows_of(i)])
    assert by_id(allensdk.found["api unionizes"]) == expected
    found = by_id(allensdk.found["unionizes"])
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key]["experiment_id"] == row["section_data_set_id"]
        for name in row.keys() - {"section_data_set_id"}:
            # Its table goes through a CSV file, and to us through JSON with 15 digits.
            assert found[key][name] == pytest.approx(row[name], rel=1e-12, abs=1e-14), name
    (injected,) = allensdk.found["api injected"]
    assert injected["projection_volume"] == ATLAS.experiment(IDS[0]).injection_volume


def test_allensdk_makes_a_matrix_of_them(allensdk: Visit) -> None:
    assert allensdk.found["matrix"]["rows"] == list(IDS)
    expected = [
        [
            sum(
                row["projection_volume"]
                for row in rows_of(i)
                if row["structure_id"] == 997 and row["hemisphere_id"] == side and not row["is_injection"]
            )
            for side in (1, 2)
        ]
        for i in IDS
    ]
    np.testing.assert_allclose(allensdk.found["matrix"]["matrix"], expected, rtol=1e-12)


def test_allensdks_searches_find_what_the_atlas_says(allensdk: Visit) -> None:
    wild_in_visp = {
        i
        for i in ATLAS.experiment_ids
        if ATLAS.experiment(i).is_wild_type and VISP in ATLAS.experiment(i).injection_structure_ids
    }
    assert set(allensdk.found["api sources"]) == wild_in_visp
    rows = [row for i in ATLAS.experiment_ids for row in wire.connectivity_rows(ATLAS.experiment(i))]
    assert allensdk.found["api experiments"] == rows
    # It hands the text of a failure on as if it were rows.
    assert allensdk.found["api refused"].startswith("invalid service parameter")


@pytest.mark.parametrize("kind", KINDS)
def test_allensdk_reads_the_volumes(allensdk: Visit, kind: VolumeKind) -> None:
    for i in IDS:
        np.testing.assert_array_equal(allensdk.array(f"{kind}-100-{i}"), ATLAS.volume(i, kind))


def test_allensdk_reads_finer_volumes(allensdk: Visit) -> None:
    fine = allensdk.array(f"projection_density-50-{IDS[0]}")
    np.testing.assert_array_equal(fine[::2, 1::2, ::2], ATLAS.volume(IDS[0]))
    finest = allensdk.array(f"injection_density-25-{IDS[0]}")
    assert finest.dtype == np.float64
    np.testing.assert_array_equal(finest[::4, 3::4, 1::4], ATLAS.volume(IDS[0], "injection_density"))


def test_allensdk_reads_the_annotation(allensdk: Visit) -> None:
    np.testing.assert_array_equal(allensdk.array("annotation-100"), ATLAS.annotation)


def test_the_cache_that_allensdk_wrote_fills_a_store(allensdk: Visit, store: Store) -> None:
    report = store.adopt(allensdk.cache)
    assert report.refused == ()
    assert (report.layout, report.unionizes, report.volumes) == ("allensdk", 2, 10)
    assert report.structures is not None
    assert report.structures.added == len(ATLAS.structures)
    assert store.select() == ATLAS.experiment_ids
    assert store.select(Selection(line="wild-type")) == tuple(
        i for i in ATLAS.experiment_ids if ATLAS.experiment(i).is_wild_type
    )
    check_store(store, kinds=KINDS, parts=(True, False))
    fine = store.volume(IDS[0], kind="injection_density", spacing_um=25)
    np.testing.assert_array_equal(fine[::4, ::4, ::4], ATLAS.volume(IDS[0], "injection_density"))


# -- Brain Street View --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=UPSTREAMS)
def street_view(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    if BRAIN_STREET_VIEW.is_there:
        bsv_catalog().write_text(wire.web_csv(ATLAS))
    return visit(BRAIN_STREET_VIEW, "bsv_client.py", tmp_path_factory.mktemp("bsv"), request.param, url_wanted=False)


def test_brain_street_view_finds_the_experiments(street_view: Visit) -> None:
    all_of_them = [ATLAS.experiment(i) for i in ATLAS.experiment_ids]
    in_visp = {e.id for e in all_of_them if e.primary_structure_id == VISP}
    wild = {e.id for e in all_of_them if e.is_wild_type}
    either = {VISP, ATLAS.structure("MOp").id}
    assert set(street_view.found["VISp"]) == in_visp
    assert set(street_view.found["wild type in VISp"]) == in_visp & wild
    assert set(street_view.found["VISp or MOp, also secondary"]) == {
        e.id for e in all_of_them if either & {e.primary_structure_id, *e.injection_structure_ids}
    }


def test_brain_street_view_reads_the_injections(street_view: Visit) -> None:
    expected = [row for i in IDS for row in rows_of(i) if row["is_injection"]]
    found = street_view.found["injections"]
    for name in expected[0]:
        assert found[name] == [row[name] for row in expected], name
    assert found["experimentID"] == [row["section_data_set_id"] for row in expected]
    primaries = [ATLAS.experiment(i) for i in IDS]
    assert street_view.found["regions"]["primaryStructure_ID"] == [e.primary_structure_id for e in primaries]
    assert street_view.found["regions"]["primaryStructure_ML"] == [e.injection_ml for e in primaries]


def test_brain_street_view_reads_the_volumes(street_view: Visit) -> None:
    # It takes every injection for one on the right.
    halves = []
    for i in IDS:
        volume = ATLAS.volume(i).astype(np.float64) / ATLAS.experiment(i).injection_volume
        difference = volume - volume[:, :, ::-1]
        difference[:, :, :57] = 0
        halves.append(difference)
    combined = street_view.array("combined")[..., 0]
    np.testing.assert_allclose(combined, sum(halves) / 2, rtol=0, atol=1e-14 * np.abs(combined).max())


def test_the_cache_that_brain_street_view_wrote_is_adopted(
    street_view: Visit, store: Store, server: SyntheticServer
) -> None:
    store.sync_structures(api_url=server.url)
    store.sync_experiments(api_url=server.url)
    report = store.adopt(street_view.cache)
    assert report.refused == ()
    assert (report.layout, report.unionizes, report.volumes) == ("bsv", 2, 2)
    check_store(store, kinds=("projection_density",), parts=(True,))


def test_our_function_of_the_same_name_gives_the_same_from_its_cache(
    street_view: Visit, store: Store, server: SyntheticServer, capsys: pytest.CaptureFixture[str]
) -> None:
    store.sync_structures(api_url=server.url)
    store.sync_experiments(api_url=server.url)
    server.requests.clear()
    combined, injections, _, _ = fetch_connectivity_data(
        IDS,
        street_view.cache,
        "ours",
        "injectionVolume",
        True,
        bsv_rules=True,
        store=store,
        offline=True,
        export_metadata=False,
    )
    theirs = street_view.array("combined").reshape(combined.shape)
    np.testing.assert_allclose(combined, theirs, rtol=0, atol=1e-14 * np.abs(theirs).max())
    assert injections["projection_volume"] == street_view.found["injections"]["projection_volume"]
    assert server.requests.total == 0
    capsys.readouterr()


@pytest.fixture
def atlas() -> SyntheticAtlas:
    return ATLAS
