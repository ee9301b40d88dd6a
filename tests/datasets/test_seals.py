"""Damage of the catalog: an average is either right or refused, whatever bit was flipped."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import sqlite3
import struct
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import text

from bsv_store import Selection, by_coordinate, by_region, create_store, crossed, open_store
from bsv_store.averaging.inputs import gather_inputs
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.database import schema
from bsv_store.catalog.ingest import ingest_unionizes
from bsv_store.catalog.records import ROOT_STRUCTURE_ID, UNIONIZE_FIELDS, UnionizeTable
from bsv_store.catalog.seals import DERIVED_COLUMNS
from bsv_store.errors import BsvStoreError, DamagedCatalogError, LeftOutWarning
from bsv_store.volumes.grid import Grid
from tests.databases import both_databases, sqlite_first
from tests.datasets.world import (
    BY_ID,
    FACTS,
    IDS,
    MOP,
    VISP,
    add_annotation,
    add_unionizes,
    add_volume,
    ask,
    change_experiments,
    fill,
)
from tests.sealing import sealed_changes
from tests.stores import store_with

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store import DatasetVersion, Store
    from bsv_store.vocabulary import MissingPolicy

pytestmark = both_databases

RECIPE = Recipe(
    selection=Selection(projecting_to="MOp", target_threshold=0.05, injected_hemisphere="right")
    | Selection(ids=[3, 5]),
    grouping=crossed(by_coordinate("AP", edges=[3000, 8200, 9400]), by_region(["VIS", "MOp"])),
    normalize="injection_volume",
    hemisphere_rule="flip_to_right",
    missing="leave_out",
)


def add_projections(store: Store) -> None:
    """Rows outside the injection: two structures and those that contain them, in both hemispheres and their sum."""
    rows: list[dict[str, Any]] = []
    for fact in FACTS:
        for structure in (8, VISP, 669, MOP, ROOT_STRUCTURE_ID):
            for hemisphere in (1, 2, 3):
                values: dict[str, Any] = dict.fromkeys((column for _, column, _ in UNIONIZE_FIELDS), 0.0)
                values |= {"experiment_id": fact.id, "structure_id": structure, "hemisphere_id": hemisphere}
                values |= {"is_injection": False, "id": len(rows) + 1_000}
                values |= {"projection_volume": 0.5, "normalized_projection_volume": fact.id * structure % 100 / 100}
                rows.append(values)
    columns = {name: np.array([row[name] for row in rows], dtype) for _, name, dtype in UNIONIZE_FIELDS}
    ingest_unionizes(store.database, UnionizeTable(columns, frozenset({"projection"})), source="test", kind="file")


def fill_whole(store: Store) -> None:
    fill(store)
    add_projections(store)


def fill_averaged(store: Store) -> None:
    fill_whole(store)
    average(store)


whole = store_with(fill_whole)
averaged = store_with(fill_averaged)
"""With the version test@1."""


def average(store: Store, name: str = "test") -> DatasetVersion:
    return store.aggregate(
        RECIPE.selection,
        group_by=RECIPE.grouping,
        name=name,
        normalize=RECIPE.normalize,
        hemisphere_rule=RECIPE.hemisphere_rule,
        missing=RECIPE.missing,
    )


def test_a_filled_store_is_intact(whole: Store) -> None:
    found = whole.catalog.verify()
    assert found.damage == ()
    assert (found.experiments, found.unionize_tables) == (len(IDS), 2 * len(IDS))
    assert found.sealed_since is not None
    assert len(average(whole).experiments) > len(average(whole).left_out)


def test_every_way_of_writing_seals_what_it_writes(whole: Store) -> None:
    whole.catalog.exclude([1, 2], "one reason")
    whole.catalog.exclude([1], "another reason", replace=True)
    whole.catalog.lift_exclusion([2])
    whole.catalog.save_selection("mine", Selection(ids=[4, 5]))
    whole.catalog.save_selection("mine", Selection(ids=[5, 6]), replace=True)
    change_experiments(whole, FACTS[:-1])
    change_experiments(whole, FACTS)
    add_volume(whole, 1, seed=1)
    add_volume(whole, 1, kind="data_mask", array=np.ones((132, 80, 114), np.float32))
    fill(whole)
    assert whole.catalog.verify().damage == ()


def test_a_store_of_an_earlier_revision_is_sealed_by_the_upgrade(whole: Store) -> None:
    before = average(whole).fingerprint
    schema.downgrade(whole.database, "0011")
    schema.upgrade(whole.database)
    assert whole.catalog.verify().damage == ()
    assert average(whole, "again").fingerprint == before
    # Without another revision, an upgrade seals nothing again.
    with whole.database.writing() as connection:
        connection.execute(text("UPDATE experiment SET sex = 'F' WHERE id = 1"))
    schema.upgrade(whole.database)
    assert not whole.catalog.verify().is_intact


TARGETED = {
    "flipped exponent of an injection volume": (
        "UPDATE unionize SET projection_volume = projection_volume * 65536"
        " WHERE structure_id = 997 AND hemisphere_id = 3 AND is_injection AND experiment_id = 3"
    ),
    "coordinate": "UPDATE experiment SET injection_ap = injection_ap + 64 WHERE id = 3",
    "primary structure": "UPDATE experiment SET primary_structure_id = 985 WHERE id = 3",
    "secondary structure": "UPDATE experiment_injection_structure SET structure_id = 985 WHERE experiment_id = 3",
    "line of an experiment": "DELETE FROM experiment_line WHERE experiment_id = 3",
    "name of a line": "UPDATE transgenic_line SET name = 'Rbp4-Cre_KL101'",
    "withdrawn": "UPDATE experiment SET withdrawn = true WHERE id = 4",
    "side": "UPDATE experiment SET injected_hemisphere = 'left' WHERE id = 4",
    "injection volume of a side": "UPDATE experiment SET injection_volume_left = 0.3 WHERE id = 4",
    "deleted rows of the root": "DELETE FROM unionize WHERE structure_id = 997 AND is_injection AND experiment_id = 3",
    "deleted rows of a target": "DELETE FROM unionize WHERE structure_id = 985 AND experiment_id = 3",
    "deleted table": "DELETE FROM unionize WHERE experiment_id = 3",
    "row of a target": "UPDATE unionize SET normalized_projection_volume = 0 WHERE structure_id = 985",
    "added row of a target": (
        "UPDATE unionize SET structure_id = 985 WHERE structure_id = 385 AND hemisphere_id = 1 AND NOT is_injection"
        " AND NOT EXISTS (SELECT 1 FROM unionize AS o WHERE o.structure_id = 985 AND o.hemisphere_id = 1"
        " AND o.experiment_id = unionize.experiment_id AND o.is_injection = unionize.is_injection)"
    ),
    "coverage": "DELETE FROM unionize_coverage WHERE experiment_id = 3 AND part = 'projection'",
    "ancestor": "DELETE FROM structure_ancestor WHERE descendant_id = 385 AND ancestor_id = 669",
    "acronym": "UPDATE structure SET acronym = 'VIT' WHERE id = 669",
    "deleted volume": "DELETE FROM volume WHERE experiment_id = 3",
    "hash of a volume": "UPDATE volume SET array_sha256 = 'x' WHERE experiment_id = 3",
    "path of a volume": (
        "UPDATE volume SET path = 'x', file_xxh3 = (SELECT file_xxh3 FROM volume WHERE experiment_id = 4)"
        " WHERE experiment_id = 3"
    ),
    "exclusion": (
        "INSERT INTO exclusion (experiment_id, reason, excluded_by, excluded_at)"
        " VALUES (4, 'x', 'y', CURRENT_TIMESTAMP)"
    ),
    "deleted seal": "DELETE FROM seal WHERE scope = 'experiment' AND key = '3'",
    "changed seal": "UPDATE seal SET hash = '0' WHERE scope = 'volume'",
    "deleted seal of rows": "DELETE FROM unionize_seal WHERE experiment_id = 3",
}


@pytest.mark.parametrize("statement", TARGETED.values(), ids=TARGETED)
def test_rows_that_another_program_changed_are_refused(averaged: Store, statement: str) -> None:
    with averaged.database.writing() as connection:
        changed = connection.execute(text(statement)).rowcount
    if changed == 0:
        # The statement of the added row has nothing to do in this small world: make room for it first.
        with sealed_changes(averaged.database) as connection:
            connection.execute(text("DELETE FROM unionize WHERE structure_id = 985 AND hemisphere_id = 1"))
        with averaged.database.writing() as connection:
            assert connection.execute(text(statement)).rowcount > 0
    for name in ("another", "another"):
        with pytest.raises(DamagedCatalogError, match="the catalog is damaged"):
            average(averaged, name)
    assert not averaged.catalog.verify().is_intact
    if "dele" not in statement.lower() or "volume" in statement:
        with pytest.raises(DamagedCatalogError, match="the catalog is damaged"):
            averaged.datasets.rebuild("test@1")
    assert averaged.datasets.list()[0].versions == 1


@pytest.mark.parametrize("damage", [each for each in TARGETED if each != "added row of a target"])
def test_a_stack_of_volumes_refuses_rows_that_another_program_changed(averaged: Store, damage: str) -> None:
    with averaged.database.writing() as connection:
        assert connection.execute(text(TARGETED[damage])).rowcount > 0
    with pytest.raises(DamagedCatalogError, match="the catalog is damaged"):
        averaged.volumes.stack(
            RECIPE.selection, normalize="injection_volume", hemisphere_rule="flip_to_right", missing="leave_out"
        )


READS: dict[str, Callable[[Store], object]] = {
    "stack": lambda store: store.volumes.stack(RECIPE.selection),
    "normalized stack": lambda store: store.volumes.stack([3, 4], normalize="injection_volume"),
    "mirrored stack": lambda store: store.volumes.stack([3, 4], hemisphere_rule="flip_to_right"),
    "mirrored volume": lambda store: store.volumes.read(4, hemisphere_rule="flip_to_right"),
    "exported volume": lambda store: store.volumes.export(4, "4.nrrd", hemisphere_rule="flip_to_right"),
    "signal": lambda store: store.atlas.signal([3, 4], "VIS"),
    "normalized signal": lambda store: store.atlas.signal([3, 4], "VIS", normalize="injection_volume"),
    "ipsilateral signal": lambda store: store.atlas.signal([3, 4], "VIS", hemisphere="ipsilateral"),
    "subregions": lambda store: store.atlas.subregions([3, 4], "VIS", bins={"ML": 2}),
    "centroids": lambda store: store.volumes.injection_centroids([3, 4]),
}
_OF_ONE_VOLUME = {"mirrored volume", "exported volume"}
# The selection of the recipe depends on the injected hemisphere.
_OF_THE_INJECTION = {"stack", "normalized stack", "mirrored stack", "normalized signal", "ipsilateral signal"}


@sqlite_first
@pytest.mark.parametrize(
    ("damage", "refused"),
    [
        ("withdrawn", READS.keys() - _OF_ONE_VOLUME),
        ("row of a target", {"stack"}),
        ("injection volume of a side", _OF_THE_INJECTION | _OF_ONE_VOLUME),
        ("deleted rows of the root", _OF_THE_INJECTION),
        ("hash of a volume", READS.keys() - _OF_ONE_VOLUME),
    ],
)
def test_what_is_read_from_volumes_refuses_damaged_rows_on_which_it_depends(
    whole: Store, damage: str, refused: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    add_annotation(whole, np.full(Grid(100).shape, 669, np.uint32))
    for each in (3, 4):
        add_volume(whole, each, kind="injection_density")
    for read in READS.values():
        read(whole)
    Path("4.nrrd").unlink()
    with whole.database.writing() as connection:
        assert connection.execute(text(TARGETED[damage])).rowcount > 0

    def is_refused(read: Callable[[Store], object]) -> bool:
        try:
            read(whole)
        except DamagedCatalogError:
            return True
        return False

    assert {name for name, read in READS.items() if is_refused(read)} == refused


def test_a_fraction_in_a_column_of_integers_is_refused(whole: Store) -> None:
    if not whole.database.is_sqlite:
        pytest.skip("Postgres does not allow it")
    statement = "UPDATE unionize SET max_voxel_x = max_voxel_x + 0.5 WHERE structure_id = 997 AND experiment_id = 3"
    with whole.database.writing() as connection:
        assert connection.execute(text(statement)).rowcount > 0
    with pytest.raises(DamagedCatalogError, match="the catalog is damaged"):
        average(whole)
    assert not whole.catalog.verify().is_intact


_COLUMNS = ", ".join(column for _, column, _ in UNIONIZE_FIELDS)
_ADDED_INJECTION = (
    f"INSERT INTO unionize ({_COLUMNS}) SELECT {re.sub('structure_id', str(VISP), _COLUMNS, count=1)} FROM unionize"
    " WHERE structure_id = 997 AND hemisphere_id = 3 AND is_injection AND experiment_id = 1"
)
# For one of the experiments that are not selected.
_OTHER_SIDE = (
    "UPDATE unionize SET projection_volume = 99 WHERE structure_id = 997 AND is_injection AND hemisphere_id = 2"
    " AND experiment_id = {}"
)
OF_CRITERIA: dict[str, tuple[dict[str, Any], str]] = {
    "injection overlap": ({"injected_in": "VISp", "min_injection_overlap": 0.0}, _ADDED_INJECTION),
    "injection outside": ({"max_injection_outside_primary": 1.0}, _ADDED_INJECTION),
    "laterality": (
        {"min_laterality_index": -1.0},
        "UPDATE unionize SET projection_volume = 9 WHERE structure_id = 997 AND NOT is_injection AND hemisphere_id = 1",
    ),
    "volume": ({"with_volume": "data_mask"}, "DELETE FROM volume WHERE kind = 'data_mask' AND experiment_id = 1"),
    "table": (
        {"with_unionizes": True},
        "DELETE FROM unionize_coverage WHERE experiment_id = 1 AND part = 'projection'",
    ),
    "side": ({"injected_hemisphere": "right"}, _OTHER_SIDE.format(3)),
    "both sides": ({"bilateral": False}, _OTHER_SIDE.format(4)),
    "side of the target": (
        {
            "projecting_to": "MOp",
            "target_hemisphere": "contralateral",
            "target_measure": "normalized_projection_volume",
            "target_threshold": 0.8,
        },
        _OTHER_SIDE.format(2),
    ),
    "derived side": (
        {"injected_hemisphere": "right"},
        "UPDATE experiment SET injected_hemisphere = 'right' WHERE injected_hemisphere = 'left'",
    ),
}


@pytest.mark.parametrize(("criteria", "statement"), OF_CRITERIA.values(), ids=OF_CRITERIA)
def test_rows_that_decide_a_criterion_are_checked(whole: Store, criteria: dict[str, Any], statement: str) -> None:
    for each in (1, 2):
        add_volume(whole, each, kind="data_mask")
    selection = Selection(**criteria)
    assert whole.aggregate(selection, name="test").members.experiment_id.iloc[0] == 1
    with whole.database.writing() as connection:
        assert connection.execute(text(statement)).rowcount > 0
    with pytest.raises(DamagedCatalogError, match="the catalog is damaged"):
        whole.aggregate(selection, name="another")
    # Rows that the selection does not depend on are not read.
    whole.aggregate(Selection(ids=[1]), name="by-id")


OF_ONE_EXPERIMENT = (
    _OTHER_SIDE.format(2),
    "DELETE FROM unionize WHERE structure_id = 997 AND is_injection AND experiment_id = 2",
    "UPDATE experiment SET injected_hemisphere = 'left' WHERE id = 2",
    "UPDATE volume SET file_sha256 = 'x' WHERE experiment_id = 2",
    "DELETE FROM volume WHERE experiment_id = 2",
)


@pytest.mark.parametrize("statement", OF_ONE_EXPERIMENT)
def test_rows_of_unselected_experiments_are_checked_only_if_a_criterion_reads_them(
    whole: Store, statement: str
) -> None:
    with whole.database.writing() as connection:
        assert connection.execute(text(statement)).rowcount > 0
    with pytest.raises(DamagedCatalogError, match="the catalog is damaged"):
        whole.aggregate(Selection(ids=[1, 2]), name="both", normalize="injection_volume", missing="leave_out")
    assert whole.aggregate(Selection(ids=[1]), name="one", normalize="injection_volume").members.experiment_id[0] == 1
    if "volume SET" in statement or "FROM volume" in statement:
        with pytest.raises(DamagedCatalogError, match="volumes"):
            whole.aggregate(Selection(ids=[1]) & Selection(with_volume="projection_density"), name="with-volume")


@sqlite_first
def test_volumes_of_named_experiments_depend_on_no_row_of_another(whole: Store) -> None:
    for damage in ("withdrawn", "line of an experiment", "secondary structure", "hash of a volume"):
        with whole.database.writing() as connection:
            assert connection.execute(text(TARGETED[damage])).rowcount > 0
    assert whole.volumes.stack([1, 2], normalize="injection_volume").shape[0] == 2
    for named in ([1, 3], [1, 4], Selection(ids=[1]) | Selection(ids=[3]), Selection(ids=[1], line="wild-type")):
        with pytest.raises(DamagedCatalogError, match="experiments"):
            whole.volumes.stack(named, missing="leave_out")


STRAY = {
    "divisor": (Selection(ids=[1, 7]), 997, True),
    "target": (Selection(projecting_to="MOp"), MOP, False),
}


@pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")
@pytest.mark.parametrize(("selection", "structure", "is_injection"), STRAY.values(), ids=STRAY)
def test_rows_of_a_table_that_the_store_does_not_have_are_refused(
    whole: Store, selection: Selection, structure: int, is_injection: bool
) -> None:
    part = "injection" if is_injection else "projection"
    with sealed_changes(whole.database) as connection:
        connection.execute(text("DELETE FROM unionize WHERE experiment_id = 7"))
        connection.execute(text("DELETE FROM unionize_coverage WHERE experiment_id = 7"))
        columns = ", ".join(f"{name} = NULL" for name in DERIVED_COLUMNS)
        connection.execute(text(f"UPDATE experiment SET {columns} WHERE id = 7"))
    average = partial(whole.aggregate, selection, normalize="injection_volume", missing="leave_out")
    average(name="test")
    columns = re.sub("experiment_id", "7", _COLUMNS, count=1)
    with whole.database.writing() as connection:
        added = connection.execute(
            text(
                f"INSERT INTO unionize ({_COLUMNS}) SELECT {columns} FROM unionize WHERE experiment_id = 6"
                f" AND structure_id = {structure} AND is_injection = {is_injection} AND hemisphere_id = 3"
            )
        )
        assert added.rowcount == 1
    with pytest.raises(DamagedCatalogError, match="unionize tables"):
        average(name="another")
    assert [each.problem for each in whole.catalog.verify().damage] == [f"7 ({part})"]


@pytest.mark.filterwarnings("ignore:with 3 and 3 experiments")
@pytest.mark.parametrize("missing", ["leave_out", "error"])
def test_a_comparison_of_structures_does_not_leave_out_a_table_whose_record_is_lost(
    whole: Store, missing: MissingPolicy
) -> None:
    def compare() -> pd.DataFrame:
        groups = Selection(ids=[1, 2, 3]), Selection(ids=[4, 5, 6])
        return whole.compare_structures(*groups, targets=["MOp"], permutations=20, bootstrap=20, missing=missing)

    assert len(compare()) == 1
    with whole.database.writing() as connection:
        statement = "DELETE FROM unionize_coverage WHERE experiment_id = 3 AND part = 'projection'"
        assert connection.execute(text(statement)).rowcount == 1
    with pytest.raises(DamagedCatalogError, match="unionize tables"):
        compare()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE unionize SET max_voxel_density = 0.5 WHERE structure_id = 385 AND experiment_id = 2",
        "UPDATE unionize_coverage SET content_sha256 = 'x' WHERE experiment_id = 2 AND part = 'injection'",
        "UPDATE experiment_revision SET payload = '{}' WHERE experiment_id = 2",
        "UPDATE experiment_revision SET kind = 'csv' WHERE experiment_id = 2",
        "DELETE FROM snapshot_member WHERE revision_id = 1",
        "UPDATE source_snapshot SET upstream_date = '2030-01-01' WHERE what = 'experiments'",
        "UPDATE structure SET name = 'x' WHERE id = 669",
        "UPDATE named_selection SET selection = '{}'",
    ],
)
def test_verify_finds_what_an_average_does_not_read(whole: Store, statement: str) -> None:
    whole.catalog.save_selection("mine", Selection(ids=[1]))
    with whole.database.writing() as connection:
        assert connection.execute(text(statement)).rowcount > 0
    found = whole.catalog.verify()
    assert not found.is_intact
    assert len(found.damage) == 1


def test_damaged_rows_are_never_sealed_again(whole: Store) -> None:
    whole.catalog.exclude([1], "x")
    whole.catalog.save_selection("mine", Selection(ids=[4]))
    damage = (
        "UPDATE structure SET name = 'x' WHERE id = 669",
        "UPDATE experiment_revision SET payload = replace(payload, '8500', '8600') WHERE experiment_id = 3",
        "UPDATE exclusion SET reason = 'y'",
        "UPDATE named_selection SET note = 'y'",
    )
    with whole.database.writing() as connection:
        for statement in damage:
            assert connection.execute(text(statement)).rowcount > 0
    before = len(whole.catalog.verify().damage)
    for write in (
        lambda: fill(whole),
        lambda: change_experiments(whole, FACTS[:3]),
        lambda: whole.catalog.lift_exclusion([1]),
        lambda: whole.catalog.save_selection("mine", Selection(ids=[2]), replace=True),
    ):
        with pytest.raises(DamagedCatalogError):
            write()
    assert len(whole.catalog.verify().damage) == before


@sqlite_first
def test_a_damaged_unionize_table_is_repaired_by_ingesting_it_again(whole: Store) -> None:
    right = average(whole)
    with whole.database.writing() as connection:
        connection.execute(
            text("UPDATE unionize SET projection_volume = projection_volume * 2 WHERE experiment_id = 3")
        )
        connection.execute(text("DELETE FROM unionize WHERE experiment_id = 5 AND hemisphere_id = 1"))
    with pytest.raises(DamagedCatalogError, match="unionize tables") as caught:
        average(whole, "again")
    assert "bsv-store sync unionizes --refresh --ids 3" in str(caught.value.hint)
    add_projections(whole)
    add_unionizes(whole, IDS)
    assert whole.catalog.verify().damage == ()
    assert average(whole, "again").content_sha256 == right.content_sha256
    # The rows are the same, so nothing was replaced.
    assert whole.catalog.unionize_history(IDS) == []
    snapshots = len(whole.catalog.snapshots())
    add_projections(whole)
    assert len(whole.catalog.snapshots()) == snapshots


@sqlite_first
def test_a_new_list_repairs_damaged_experiments(whole: Store) -> None:
    """The current experiments are derived from the lists, which have hashes of their own."""
    with whole.database.writing() as connection:
        connection.execute(text("UPDATE experiment SET injection_ap = 1 WHERE id = 3"))
    assert not whole.catalog.verify().is_intact
    change_experiments(whole, FACTS[:-1])
    assert whole.catalog.verify().damage == ()


# -- flipped bits -------------------------------------------------------------------------------------------------

# Tables whose pages matter to an average, with their indexes.
MATTERING = (
    "experiment",
    "exclusion",
    "experiment_injection_structure",
    "experiment_line",
    "structure",
    "structure_ancestor",
    "transgenic_line",
    "unionize",
    "unionize_coverage",
    "volume",
)


@pytest.fixture(scope="module")
def damageable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled SQLite store with small pages, so that flips hit many of them."""
    folder = tmp_path_factory.mktemp("damage") / "store"
    with create_store(folder) as store:
        fill(store)
        add_projections(store)
    with contextlib.closing(sqlite3.connect(folder / "catalog.db")) as connection:
        connection.execute("PRAGMA page_size = 1024")
        connection.execute("VACUUM")
    return folder


def pages(catalog: Path) -> tuple[int, list[int]]:
    """The page size, and the numbers of the pages of the tables that matter."""
    with contextlib.closing(sqlite3.connect(catalog)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        marks = ",".join("?" * len(MATTERING))
        query = f"SELECT rootpage FROM sqlite_master WHERE tbl_name IN ({marks}) AND rootpage > 0"
        roots = [row[0] for row in connection.execute(query, MATTERING)]
    content = catalog.read_bytes()
    found: list[int] = []
    while roots:
        number = roots.pop()
        found.append(number)
        page = content[(number - 1) * size : number * size]
        if page[0] in (2, 5):
            (cells,) = struct.unpack(">H", page[3:5])
            places = struct.unpack(f">{cells}H", page[12 : 12 + 2 * cells])
            roots += [struct.unpack(">I", page[place : place + 4])[0] for place in places]
            roots.append(struct.unpack(">I", page[8:12])[0])
    return size, sorted(found)


def outcome(folder: Path) -> tuple[str, bytes] | None:
    """The average that is computed from a copy of the store; None if it is refused with an error of ours."""
    try:
        # A warning about a damaged row is not enough.
        with warnings.catch_warnings(), open_store(folder) as store:
            warnings.simplefilter("ignore", LeftOutWarning)
            version = average(store, "flipped")
            return version.fingerprint, version.mean.tobytes()
    except BsvStoreError:
        return None


def flips(damageable: Path, count: int, seed: int, *, everywhere: bool) -> Iterator[tuple[int, int]]:
    """Positions of bits: on the pages that matter, or anywhere."""
    size, mattering = pages(damageable / "catalog.db")
    total = (damageable / "catalog.db").stat().st_size
    generator = random.Random(seed)
    for _ in range(count):
        if everywhere:
            yield generator.randrange(total), generator.randrange(8)
        else:
            yield (generator.choice(mattering) - 1) * size + generator.randrange(size), generator.randrange(8)


def silent_flips(damageable: Path, tmp_path: Path, count: int, seed: int, *, everywhere: bool = False) -> list[str]:
    """The flips after which another average is computed without an error."""
    right = outcome(Path(shutil.copytree(damageable, tmp_path / "right")))
    assert right is not None
    silent, refused = [], 0
    copy = Path(shutil.copytree(damageable, tmp_path / "copy"))
    for place, bit in flips(damageable, count, seed, everywhere=everywhere):
        content = bytearray((damageable / "catalog.db").read_bytes())
        content[place] ^= 1 << bit
        (copy / "catalog.db").write_bytes(content)
        (copy / "catalog.db-journal").unlink(missing_ok=True)
        found = outcome(copy)
        refused += found is None
        if found not in (None, right):
            silent.append(f"byte {place}, bit {bit}")
        shutil.rmtree(copy / "datasets" / "flipped", ignore_errors=True)
    # Most flips hit rows or free space; a campaign that nothing notices would prove nothing.
    assert everywhere or refused >= count // 10
    return silent


def test_each_value_of_an_experiment_row_is_sealed(damageable: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(damageable, tmp_path / "copy"))
    with contextlib.closing(sqlite3.connect(copy / "catalog.db")) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(experiment)")]
    for name in names:
        shutil.copy(damageable / "catalog.db", copy / "catalog.db")
        with contextlib.closing(sqlite3.connect(copy / "catalog.db")) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("PRAGMA ignore_check_constraints = ON")
            other = "8" if name.endswith("_id") or name == "id" else "'other'"
            connection.execute(f"UPDATE experiment SET {name} = {other} WHERE id = 3")
            connection.commit()
        with open_store(copy) as store, store.database.reading() as reader, pytest.raises(DamagedCatalogError):
            gather_inputs(reader, RECIPE)


def test_the_divisor_of_every_experiment_is_as_stored(whole: Store) -> None:
    members = {member.experiment_id: member for member in average(whole).experiments if member.group is not None}
    assert members
    assert {key: member.divisor for key, member in members.items()} == {key: BY_ID[key].volume for key in members}


def test_another_answer_is_not_affected(whole: Store) -> None:
    """A recorded answer needs no rows: it stays the one that was computed from whole ones."""
    first = ask(whole, Selection(ids=IDS))
    with whole.database.writing() as connection:
        connection.execute(text("DELETE FROM unionize_seal WHERE experiment_id = 3"))
    assert ask(whole, Selection(ids=IDS)).ref == first.ref
