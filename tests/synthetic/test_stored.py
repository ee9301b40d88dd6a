"""Synthetic experiments in the brain of a store."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store import create_store, open_store
from bsv_store.catalog.ingest import ingest_structures
from bsv_store.catalog.records import Ontology, StructureRecord
from bsv_store.errors import MissingDataError, NotFoundUpstreamError
from bsv_store_cli.commands import demo
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, ontology
from bsv_store_synthetic.__main__ import main
from bsv_store_synthetic.anatomy import InventedAnatomy
from bsv_store_synthetic.ontology import Tree
from bsv_store_synthetic.stored import StoredAnatomy, atlas_in
from tests.cli.running import Runner

if TYPE_CHECKING:
    from bsv_store import Store

INVENTED = SyntheticAtlas(experiments=2)
FIRST = INVENTED.experiment_ids[0]


@pytest.fixture(scope="module")
def with_brain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the structures and the annotation of the invented brain."""
    folder = tmp_path_factory.mktemp("brain") / "store"
    with SyntheticServer(INVENTED) as server, create_store(folder) as store:
        store.sync_structures(api_url=server.url)
        store.sync_annotation(download_url=server.url)
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    with create_store(tmp_path / "empty") as store:
        yield store


def test_the_same_brain_gives_the_same_experiments(with_brain: Path) -> None:
    with atlas_in(with_brain, experiments=2) as atlas:
        assert atlas.anatomy.identity != INVENTED.anatomy.identity
        assert atlas.ontology.structures == INVENTED.ontology.structures
        np.testing.assert_array_equal(atlas.annotation, INVENTED.annotation)
        np.testing.assert_array_equal(atlas.volume(FIRST), INVENTED.volume(FIRST))
        assert atlas.experiment(FIRST) == INVENTED.experiment(FIRST)
        assert atlas.unionize(FIRST) == INVENTED.unionize(FIRST)


def test_its_server_offers_the_annotation_of_the_store(with_brain: Path, empty: Store) -> None:
    with atlas_in(with_brain, experiments=1) as atlas, SyntheticServer(atlas) as server:
        empty.sync_structures(api_url=server.url)
        empty.sync_experiments(api_url=server.url)
        empty.sync_annotation(download_url=server.url)
        with pytest.raises(NotFoundUpstreamError):
            empty.sync_template(download_url=server.url)
    np.testing.assert_array_equal(empty.atlas.annotation(), INVENTED.annotation)


class _WithSmallStructure(InventedAnatomy):
    """The invented brain with a measured structure that no voxel belongs to."""

    small = StructureRecord(
        id=4_000_009_999,
        acronym="VISp6b",
        name="Primary visual area, layer 6b",
        parent_structure_id=ontology.invented().structure("VISp").id,
        graph_order=9_999,
        color_hex_triplet="008890",
        structure_set_ids=(ontology.PSU_SET,),
    )

    @property
    def tree(self) -> Tree:
        known = ontology.invented().ontology
        records = [*known.structures]
        records.insert(records.index(ontology.invented().structure("VISp5")) + 1, self.small)
        ordered = (dataclasses.replace(record, graph_order=order) for order, record in enumerate(records))
        return Tree(Ontology(tuple(ordered), known.structure_set_names))

    @property
    def labels(self) -> tuple[StructureRecord, ...]:
        return ontology.invented().leaves()


def test_a_table_is_complete_without_a_structure_too_small_for_a_voxel(empty: Store) -> None:
    """Allen's annotation has such structures, whose siblings fill the parent."""
    atlas = SyntheticAtlas(experiments=1, anatomy=_WithSmallStructure())
    with SyntheticServer(atlas) as server:
        empty.sync_structures(api_url=server.url)
        empty.sync_experiments(api_url=server.url)
        assert empty.sync_unionizes([FIRST], api_url=server.url).fetched == (FIRST,)
    found = empty.catalog.matrix([FIRST], rows="experiments", targets="VISp6b", hemisphere="both")
    assert found.to_numpy().tolist() == [[0.0]]


def test_a_store_without_annotation_is_refused_with_the_command(with_brain: Path, empty: Store) -> None:
    with pytest.raises(MissingDataError, match="no annotation at 100 um") as caught:
        StoredAnatomy(empty)
    assert "bsv-store sync annotation" in str(caught.value.hint)


def test_a_brain_without_the_needed_structures_is_refused(with_brain: Path) -> None:
    class Lacking(StoredAnatomy):
        def _has_voxels(self, acronym: str, present: set[int]) -> bool:
            return acronym not in ("LGd", "cc") and super()._has_voxels(acronym, present)

    with open_store(with_brain) as store, pytest.raises(MissingDataError, match="no voxel in LGd, cc") as caught:
        Lacking(store)
    assert "sync structures" in str(caught.value.hint)


def test_voxels_of_withdrawn_structures_are_refused(with_brain: Path, tmp_path: Path) -> None:
    """Otherwise they would be counted in other structures."""
    records = ontology.invented().ontology
    gone = ontology.invented().structure("CA1")
    kept = Ontology(tuple(r for r in records.structures if r.id != gone.id), records.structure_set_names)
    shutil.copytree(with_brain, tmp_path / "store")
    with open_store(tmp_path / "store") as store:
        ingest_structures(store.database, kept, source="test", upstream_date=date(2999, 1, 1), allow_shrinking=True)
        with pytest.raises(MissingDataError, match=f"lacks structures that its annotation has: {gone.id}"):
            StoredAnatomy(store)


def test_the_demo_and_the_server_refuse_a_store_before_they_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with create_store(tmp_path / "bare"):
        pass
    run, code = Runner(capsys, monkeypatch), MissingDataError("x").exit_code
    run("demo", "--keep", tmp_path / "demo", "--anatomy", tmp_path / "bare").refused(code, "bsv-store sync annotation")
    assert not (tmp_path / "demo").exists()
    assert main(["--anatomy", str(tmp_path / "bare")]) == code
    assert "bsv-store sync annotation" in capsys.readouterr().err


@pytest.mark.long
def test_experiments_in_allens_brain(data: Path, empty: Store, tmp_path: Path) -> None:
    cache = data / "allensdk_cache"
    with create_store(tmp_path / "allen") as allen:
        allen.ingest_structures(cache / "structures.json")
        allen.ingest_annotation(cache / "annotation" / "ccf_2017" / "annotation_25.nrrd")
    with atlas_in(tmp_path / "allen", experiments=24) as atlas, SyntheticServer(atlas) as server:
        empty.sync_structures(api_url=server.url)
        empty.sync_experiments(api_url=server.url)
        assert "100.0 % of 24 injection coordinates" in empty.sync_annotation(download_url=server.url).summary()
        tables = empty.sync_unionizes(atlas.experiment_ids, api_url=server.url)
        assert tables.fetched == atlas.experiment_ids
        report = empty.fetch(atlas.experiment_ids, api_url=server.url)
        assert report.fetched == atlas.experiment_ids
    targets = empty.search.targets_of([FIRST], limit=8)["structure"].tolist()
    assert {"LP", "LGd", "SCs", "VISl"} & set(targets)


def test_what_the_demo_prints_works_in_other_folders(
    with_brain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_fill_store", lambda annotation_um: None)
    monkeypatch.setattr(demo, "_use_store", lambda folder: None)
    (tmp_path / "brain").symlink_to(with_brain, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    shown = Runner(capsys, monkeypatch)("demo", "--keep", "kept", "--anatomy", "brain").succeeded().out
    assert f"export BSV_STORE={tmp_path / 'kept' / 'store'}\n" in shown
    assert f"bsv-store --store {tmp_path / 'kept' / 'store'} serve\n" in shown
    assert f"browser: {tmp_path / 'kept' / 'report.html'}\n" in shown
    assert f"Figures: {tmp_path / 'kept' / 'slices.png'}, " in shown
    assert f"--anatomy {tmp_path / 'brain'} &\n" in shown
