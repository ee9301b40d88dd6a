"""Averages in which experiments are weighted by the share of their injection inside their source."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from bsv_store import Selection, by_coordinate, by_region, create_store, crossed
from bsv_store.catalog.database import schema
from bsv_store.catalog.ingest import ingest_unionizes
from bsv_store.catalog.records import ROOT_STRUCTURE_ID, UNIONIZE_FIELDS, UnionizeTable
from bsv_store.datasets.weights import members_with_weights, weight_words
from bsv_store.errors import DamagedCatalogError, DamagedFileError, MissingDataError
from bsv_store.reports.html_page import sections
from bsv_store.reports.html_page.facts import page_facts
from tests.averaging.reference import Member, statistics
from tests.databases import sqlite_first
from tests.datasets.test_region_summary import blocks
from tests.datasets.world import BY_ID, IDS, VISL, VISP, VISPM, add_annotation, add_volume, ask, fill, voxels
from tests.stores import store_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsv_store import DatasetVersion, Store

VIS = 669
# Shares of the injection volume by experiment and structure. The primary structure of experiment 5 is VISpm, but no
# part of its injection lies in it.
SHARES: Mapping[int, Mapping[int, float]] = {
    1: {VISP: 1.0, VIS: 1.0},
    2: {VISP: 0.75, VISL: 0.25, VIS: 1.0},
    3: {VISP: 0.1, VIS: 0.5},
    4: {VISL: 0.5, VISP: 0.5, VIS: 1.0},
    5: {VIS: 0.25},
}
PRIMARY = {1: 1.0, 2: 0.75, 3: 0.1, 4: 0.5}
OVERLAP: dict[str, Any] = {"weight_by": "injection_overlap"}


def add_shares(store: Store, shares: Mapping[int, Mapping[int, float]]) -> None:
    """Store the rows inside the injections, of the root and of these structures."""
    rows: list[tuple[int, int, int, float]] = []
    for each, own in sorted(shares.items()):
        fact = BY_ID[each]
        sides = ((1, fact.left), (2, fact.right), (3, fact.volume))
        rows += [(each, ROOT_STRUCTURE_ID, side, volume) for side, volume in sides if volume > 0]
        rows += [(each, structure, 3, share * fact.volume) for structure, share in own.items()]
    rows.sort()
    names = ("experiment_id", "structure_id", "hemisphere_id", "projection_volume")
    values: list[dict[str, Any]] = [
        {**dict(zip(names, row, strict=True)), "id": 100 * row[0] + number, "is_injection": True}
        for number, row in enumerate(rows)
    ]
    columns = {name: np.array([row.get(name, 0) for row in values], dtype=dtype) for _, name, dtype in UNIONIZE_FIELDS}
    table = UnionizeTable(columns, frozenset({"injection"}))
    # The rows have no date, so that they replace others only on request.
    ingest_unionizes(store.database, table, source="test", kind="file", replace=True)


def _fill(store: Store) -> None:
    fill(store, unionizes=())
    add_shares(store, SHARES)
    add_annotation(store, blocks())


weighted = store_with(_fill)


def forget_weights(store: Store) -> None:
    """Make the rows of all versions those from before schema revision 0021."""
    with store.database.writing() as connection:
        connection.execute(text("UPDATE dataset_member SET weight = NULL"))


# The AP planes that are compared.
PLANES = slice(45, 50)


def members(weights: Mapping[int, float], groups: Mapping[int, int] | None = None, **options: Any) -> list[Member]:
    """The experiments in the form of the reference implementation."""
    return [
        Member(
            voxels(each)[PLANES],
            0 if groups is None else groups[each],
            BY_ID[each].volume if options.get("normalize") else 1.0,
            BY_ID[each].injected,
            np.full(voxels(each)[PLANES].shape, weight),
            options.get("exclude"),
        )
        for each, weight in weights.items()
    ]


def check(version: DatasetVersion, expected: list[Member]) -> None:
    rule = version.recipe.hemisphere_rule
    for group in version.groups:
        found = statistics(expected, group.number, rule)
        for name in version.recipe.statistics:
            own = version.statistic(name, group=group.number)[PLANES]
            np.testing.assert_allclose(own, found[name], rtol=1e-9, atol=1e-15)


ALL: dict[str, Any] = {"statistics": ("mean", "sum", "sd", "sem", "min", "max", "n"), "dtype": "float64"}


@pytest.mark.parametrize("rule", ["none", "subtract_contralateral", "flip_to_right"])
def test_statistics_are_those_of_numpy(weighted: Store, rule: Any) -> None:
    version = ask(weighted, normalize="injection_volume", hemisphere_rule=rule, **OVERLAP, **ALL)
    check(version, members(PRIMARY, normalize=True))
    assert version.weights() == pytest.approx(PRIMARY)


def test_sums_of_the_injected_sides_are_weighted_too(weighted: Store) -> None:
    version = ask(weighted, hemisphere_rule="subtract_contralateral", dtype="float64", **OVERLAP)
    check(version, members(PRIMARY))


def test_injection_sites_can_be_left_out_too(weighted: Store) -> None:
    inside: NDArray[np.float32] = np.zeros(voxels(1).shape, np.float32)
    inside[48:60] = 1
    for each in PRIMARY:
        add_volume(weighted, each, kind="injection_fraction", array=inside)
    selection = Selection(ids=list(PRIMARY))
    check(ask(weighted, selection, exclude_injection=True, **OVERLAP, **ALL), members(PRIMARY, exclude=inside[PLANES]))


def test_in_groups_by_region_the_source_is_the_regions_of_the_group(weighted: Store) -> None:
    regions = by_region({"primary": "VISp", "visual": ["VISl", "VISpm", "VIS"]})
    version = ask(weighted, grouping=regions, dtype="float64", **OVERLAP)
    expected = {1: 1.0, 2: 0.75, 3: 0.1, 4: 1.0, 5: 0.25}
    assert version.weights() == pytest.approx(expected)
    check(version, members(expected, {1: 0, 2: 0, 3: 0, 4: 1, 5: 1}))
    both = ask(weighted, grouping=crossed(by_coordinate("AP", bins=1), regions), **OVERLAP)
    assert both.weights() == pytest.approx(expected)
    assert "by the share of its injection volume inside the regions of its group." in version.cite().methods


def test_weights_have_the_same_bits_on_every_database(weighted: Store) -> None:
    # Added one after the other these are more than 0.6; databases add in different ways.
    shares = {VISP: 0.1, VISL: 0.2, VISPM: 0.3}
    add_shares(weighted, {5: {VIS: 1.0, **shares}})
    parts = [share * BY_ID[5].volume for share in shares.values()]
    version = ask(weighted, Selection(ids=[5]), by_region({"three": ["VISp", "VISl", "VISpm"]}), **OVERLAP)
    assert version.weights() == {5: math.fsum(parts) / BY_ID[5].volume}


def test_weights_are_those_of_rankings(weighted: Store) -> None:
    shares = weighted.search.sources("VISp").set_index("experiment_id").injection_overlap
    version = ask(weighted, Selection(injected_in="VISp"), **OVERLAP)
    assert version.weights() == pytest.approx(shares[list(version.weights())].to_dict())


def test_experiments_without_weight_are_left_out(weighted: Store) -> None:
    version = ask(weighted, **OVERLAP)
    assert [(each.experiment_id, each.reason) for each in version.left_out] == [
        (5, "no part of the injection volume lies inside its source, so its weight is 0")
    ]
    unknown = r"inside its source is not known \(no unionize rows\): .*6, 7"
    with pytest.raises(MissingDataError, match=unknown) as caught:
        ask(weighted, Selection(ids=IDS), **OVERLAP)
    assert "Sync the unionize tables: bsv-store sync unionizes --ids 6,7" in str(caught.value.hint)
    with pytest.raises(MissingDataError, match="all 2 selected experiments are left out; 5: ") as caught:
        ask(weighted, Selection(ids=[5, 6]), missing="leave_out", **OVERLAP)
    assert caught.value.hint == "Sync the unionize tables: bsv-store sync unionizes --ids 6"
    with pytest.raises(MissingDataError, match="left out; 5: ") as caught:
        ask(weighted, Selection(ids=[5]), **OVERLAP)
    assert caught.value.hint == "Nothing is missing that can be fetched. Select other experiments."
    lenient = ask(weighted, Selection(ids=IDS), missing="leave_out", **OVERLAP)
    assert [each.experiment_id for each in lenient.left_out] == [5, 6, 7]


def test_a_weighted_average_is_another_version_and_answers_again(weighted: Store) -> None:
    plain, version = ask(weighted), ask(weighted, **OVERLAP)
    assert plain.fingerprint != version.fingerprint
    assert (version.number, ask(weighted, **OVERLAP).was_computed, ask(weighted).number) == (2, False, 1)
    assert "weight_by" not in plain.recipe.to_dict()
    assert plain.weights() == dict.fromkeys((1, 2, 3, 4, 5), 1.0)
    assert version.rules[-1] == "weighted by injection overlap"
    assert (
        "Each experiment was weighted by the share of its injection volume inside its primary injection structure."
        in version.cite().methods
    )
    assert "The weighted mean of the 4 experiments was computed for each voxel." in version.cite().methods
    assert "weighted" not in plain.cite().methods


def test_a_changed_overlap_makes_a_version_stale(weighted: Store) -> None:
    plain, version = ask(weighted, name="plain"), ask(weighted, **OVERLAP)
    add_shares(weighted, {2: {VISP: 0.5, VISL: 0.5, VIS: 1.0}})
    assert not weighted.datasets.stale("plain")[0].is_stale
    (report,) = weighted.datasets.stale("test")
    (change,) = report.members.changed
    assert (change.experiment_id, change.reason) == (2, "weight 0.5 instead of 0.7500000000000001")
    again = ask(weighted, **OVERLAP)
    assert again.number == 2
    assert weighted.datasets.diff(version, again).members == report.members
    (part,) = weighted.datasets.diff(plain, version).recipe
    assert (part.part, part.first, part.second) == ("weight_by", '"none"', '"injection_overlap"')
    assert ask(weighted, name="plain").fingerprint == plain.fingerprint


def test_a_version_is_rebuilt_with_the_recorded_weights(weighted: Store) -> None:
    version = ask(weighted, **OVERLAP)
    before = version.path.read_bytes()
    add_shares(weighted, {2: {VISP: 0.5, VIS: 1.0}})
    assert weighted.datasets.rebuild("test").is_identical
    # The catalog has them too.
    version.path.unlink()
    assert weighted.datasets.stale("test")[0].members.changed[0].experiment_id == 2
    assert weighted.datasets.rebuild("test").was_restored
    assert version.path.read_bytes() == before


def test_weights_are_rows_of_the_members(weighted: Store) -> None:
    version = ask(weighted, **OVERLAP)
    ask(weighted, name="plain")
    query = "SELECT experiment_id, weight FROM dataset_member WHERE version_id = :id ORDER BY 1"
    rows = weighted.sql(query, {"id": 1}).set_index("experiment_id")["weight"]
    assert rows.dropna().to_dict() == version.weights()
    assert list(rows[rows.isna()].index) == [5]
    assert weighted.sql(query, {"id": 2})["weight"].isna().all()
    members = weighted.dataset("test").members
    assert members.set_index("experiment_id")["weight"].dropna().to_dict() == version.weights()
    assert weighted.dataset("plain").members["weight"].isna().all()


def test_a_deleted_version_is_restored_with_its_weights(weighted: Store) -> None:
    version = ask(weighted, **OVERLAP)
    weighted.datasets.delete("test@1")
    weighted.admin.untrash("test@1")
    assert weighted.dataset("test").experiments == version.experiments


@sqlite_first
@pytest.mark.parametrize("weight", ["0.5", "NULL"])
def test_a_damaged_weight_is_noticed(weighted: Store, weight: str) -> None:
    ask(weighted, **OVERLAP)
    with weighted.database.writing() as connection:
        connection.execute(text(f"UPDATE dataset_member SET weight = {weight} WHERE experiment_id = 2"))
    with pytest.raises(DamagedCatalogError, match="members of test@1 are not the ones"):
        weighted.dataset("test")
    report = weighted.admin.verify(deep=True)
    assert ("version/test@1", "inconsistent_rows") in {(each.object, each.kind) for each in report.findings}


def test_versions_from_before_the_column_have_the_weights_in_their_file(weighted: Store) -> None:
    version = ask(weighted, **OVERLAP)
    schema.downgrade(weighted.database, "0020")
    schema.upgrade(weighted.database)
    assert weighted.sql("SELECT weight FROM dataset_member")["weight"].isna().all()
    assert weighted.dataset("test").weights() == version.weights()
    assert not ask(weighted, **OVERLAP).was_computed
    assert not weighted.datasets.stale("test")[0].is_stale
    assert weighted.datasets.rebuild("test").is_identical
    assert weighted.admin.verify(deep=True).is_intact
    listed = members_with_weights(weighted.dataset("test")).set_index("experiment_id")["weight"]
    assert listed.dropna().to_dict() == version.weights()
    # Only the file has the weights, if those of now are others.
    before = version.path.read_bytes()
    add_shares(weighted, {2: {VISP: 0.5, VIS: 1.0}})
    version.path.unlink()
    with pytest.raises(MissingDataError, match="the weights that the version was computed with have changed"):
        weighted.datasets.rebuild("test")
    # The file is not needed to report a change.
    assert weighted.datasets.stale("test")[0].reasons[0].startswith("bin edges, centers, masks, weights")
    add_shares(weighted, SHARES)
    assert weighted.datasets.rebuild("test").was_restored
    assert version.path.read_bytes() == before


def test_weights_in_a_file_are_read_and_checked_without_the_voxels(weighted: Store) -> None:
    version = ask(weighted, **OVERLAP)
    forget_weights(weighted)
    version = weighted.dataset("test")
    content = version.path.read_bytes()
    with h5py.File(version.path) as file:
        chunk = file["mean"].id.get_chunk_info(0).byte_offset
    add_shares(weighted, {2: {VISP: 0.5, VIS: 1.0}})
    version.path.write_bytes(content[: chunk + 9] + bytes([content[chunk + 9] ^ 1]) + content[chunk + 10 :])
    assert version.weights() == pytest.approx(PRIMARY)
    (change,) = weighted.datasets.stale("test")[0].members.changed
    assert change.reason == "weight 0.5 instead of 0.7500000000000001"
    with pytest.raises(DamagedFileError, match="test@1"):
        version.statistic("mean")
    version.path.write_bytes(content.replace(b'"weights":[1.0,', b'"weights":[0.9,'))
    with pytest.raises(DamagedFileError, match=r"the inputs in .* have changed") as caught:
        version.weights()
    assert "dataset rebuild test@1" in str(caught.value.hint)


def test_damaged_rows_of_the_source_are_noticed(weighted: Store) -> None:
    with weighted.database.writing() as connection:
        change = "UPDATE unionize SET projection_volume = 0.01 WHERE experiment_id = 2 AND structure_id = :id"
        assert connection.execute(text(change), {"id": VISP}).rowcount == 1
    ask(weighted)
    with pytest.raises(DamagedCatalogError, match="unionize"):
        ask(weighted, **OVERLAP)


def test_statistics_over_animals_have_the_weights(weighted: Store) -> None:
    version = ask(weighted, **OVERLAP)
    own = weighted.datasets.animal_regions(version, structures="VISp", hemisphere="both")["mean"].to_numpy()
    frame = weighted.datasets.regions(version, structures="VISp", hemisphere="both", over_animals=True)
    weight = np.array(list(PRIMARY.values()))
    mean = np.average(own, weights=weight)
    freedom = weight.sum() - (weight**2).sum() / weight.sum()
    sd = np.sqrt((weight * (own - mean) ** 2).sum() / freedom)
    sem = sd * np.sqrt((weight**2).sum()) / weight.sum()
    (row,) = frame.to_dict("records")
    assert (row["mean"], row["sd"], row["sem"], row["n"]) == (*map(pytest.approx, (mean, sd, sem)), 4)
    # Every animal has all voxels, so the mean of the voxels is the same.
    assert weighted.datasets.regions(version, structures="VISp", hemisphere="both")["mean"][0] == pytest.approx(mean)


@sqlite_first
def test_tables_by_structure_name_the_weights(weighted: Store) -> None:
    for version, name in ((ask(weighted), "none"), (ask(weighted, **OVERLAP), "injection_overlap")):
        for over_animals in (False, True):
            options: dict[str, Any] = {"hemisphere": "both", "over_animals": over_animals}
            frame = weighted.datasets.regions(version, structures="VISp", limit=1, **options)
            parts = weighted.datasets.subregions(version, "VISp", bins={"AP": 2}, **options)
            assert (frame.attrs["weight_by"], parts.attrs["weight_by"]) == (name, name)


@sqlite_first
def test_the_range_of_the_weights_is_named(weighted: Store) -> None:
    regions = by_region(["VIS"])
    texts = [weight_words(ask(weighted, **each)) for each in ({}, OVERLAP)]
    alike = weight_words(ask(weighted, Selection(ids=[1, 2]), grouping=regions, **OVERLAP))
    assert [*texts, alike] == ["", "weighted by injection overlap: 0.1 to 1", "weighted by injection overlap: 1"]


@sqlite_first
def test_the_methods_do_not_state_the_divisor_of_a_plain_sd(weighted: Store) -> None:
    plain, version = (ask(weighted, statistics=("mean", "sd"), **each) for each in ({}, OVERLAP))
    assert "standard deviation (n - 1)" in plain.cite().methods
    for words in (
        version.cite().methods,
        str(sections.recipe_words(page_facts(weighted, version, with_figures=False))),
    ):
        assert ("(n - 1)" in words, "with reliability weights" in words) == (False, True)


@sqlite_first
def test_statistics_over_animals_are_accurate_with_a_small_weight(weighted: Store) -> None:
    add_shares(weighted, {1: {VISP: 1.0, VIS: 1.0}, 2: {VISP: 1e-15, VIS: 1.0}})
    version = ask(weighted, Selection(ids=[1, 2]), **OVERLAP)
    first, second = weighted.datasets.animal_regions(version, structures="VISp", hemisphere="both")["mean"]
    sd = weighted.datasets.regions(version, structures="VISp", hemisphere="both", over_animals=True)["sd"][0]
    # With two animals, the weights cancel.
    assert sd == pytest.approx(abs(first - second) / np.sqrt(2), rel=1e-6)


def test_the_report_shows_the_weights(weighted: Store) -> None:
    version = ask(weighted, **OVERLAP)
    assert "4 experiments, weighted by injection overlap. Selected:" in sections.question(version)
    facts = page_facts(weighted, version, with_figures=False)
    table = str(sections.members(facts))
    # A column on the right may be outside of the window.
    assert table.index("Group") < table.index("Weight") < table.index("Structure")
    assert ">0.1<" in table
    row = {"group_label": "all", "structure_id": VISP, "structure": "VISp", "name": "area", "both": 0.5, "voxels": 3}
    targets = pd.DataFrame([row])
    targets.attrs.update({"annotation": "blocks", "weight_by": version.recipe.weight_by})
    named = "Means of projection density (fraction of voxel), weighted by injection overlap, over structures"
    assert named in str(sections.targets(replace(facts, targets=targets)))
    plain = page_facts(weighted, ask(weighted), with_figures=False)
    assert "Weight" not in str(sections.members(plain))


def test_exports_and_bundles_contain_the_weights(weighted: Store, tmp_path: Path) -> None:
    version = ask(weighted, **OVERLAP)
    bundle = tmp_path / "weighted.bsv.zip"
    version.export(bundle)
    with create_store(tmp_path / "other") as other:
        imported = other.datasets.import_bundle(bundle)
        assert imported.fingerprint == version.fingerprint
        assert other.dataset("test").experiments == version.experiments
    table = tmp_path / "members.csv"
    version.export(table)
    lines = [line.split(",") for line in table.read_text().splitlines()]
    assert (lines[0][1], lines[0][-1]) == ("experiment_id", "weight")
    found = {int(line[1]): float(line[-1]) if line[-1] else None for line in lines[1:]}
    assert found == {**{each: pytest.approx(weight) for each, weight in PRIMARY.items()}, 5: None}
