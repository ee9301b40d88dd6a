"""Check the catalog against its seals: either the rows that an average reads, or all rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from bsv_store.catalog import seals
from bsv_store.catalog.database.models import (
    Exclusion,
    Experiment,
    UnionizeCoverage,
    UnionizeSeal,
)
from bsv_store.catalog.ingest.hemisphere import experiments_with_wrong_sides
from bsv_store.catalog.ingest.revisions import damaged_revisions, damaged_snapshots
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.selection.in_store import reads_sides, unionizes_read, volumes_read
from bsv_store.catalog.sent_rows import sent_rows
from bsv_store.catalog.unionize_seals import check_unionizes, checked_tables, damaged_halves
from bsv_store.errors import BsvStoreError, DamagedCatalogError
from bsv_store.html import card, table
from bsv_store.progress import shown_progress
from bsv_store.text import listed, number_of

if TYPE_CHECKING:
    from sqlalchemy import TableClause

    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.database.models import Base
    from bsv_store.catalog.selection.criteria import Criteria
    from bsv_store.progress import Progress

# Experiments whose unionize tables are checked in one transaction, which takes about a third of a second.
_CHECKED_TOGETHER = 20

# Tables that selections, groupings and averages read, except the large one; the second part only for unionize rows.
_SMALL_TABLES = (
    "exclusion",
    "experiment",
    "experiment_injection_structure",
    "experiment_line",
    "seal",
    "structure",
    "structure_ancestor",
    "structure_set",
    "structure_set_member",
    "transgenic_line",
    "volume",
)
_UNIONIZE_TABLES = ("unionize_coverage", "unionize_seal")


def check_selecting(
    connection: Connection,
    leaves: Collection[Criteria],
    *,
    accepts_sent_rows: bool = False,
    experiment_ids: Collection[int] | None = None,
) -> None:
    """Check all rows that decide which experiments are selected and in which group they are.

    Unselected experiments are checked too, because damage can remove an experiment from a selection.

    Parameters
    ----------
    leaves : collection of Criteria
        The parts of the selections, which may depend on unionize rows and on what the store has.
    accepts_sent_rows : bool
        Whether, in a copy of a server's catalog, injected hemispheres may be compared with the rows that were sent with
        it. The seals of these rows are in the copy only after all unionize rows were downloaded.
    experiment_ids : collection of int, optional
        The experiments that the selection names, if it has no other criterion. The rows of others cannot change it.

    Raises
    ------
    DamagedCatalogError
        If a row differs from what was stored, is missing, or was added by another program.
    """
    _check_tables(connection, _SMALL_TABLES)
    seals.check_schema_seal(connection)
    seals.check_experiments(connection, experiment_ids)
    seals.check_lines(connection)
    seals.check_ontology(connection)
    seals.check_rows(connection, Exclusion)
    for volumes in sorted(volumes_read(leaves)):
        seals.check_volumes(connection, [volumes.kind], volumes.spacing_um)
    read = unionizes_read(connection, leaves)
    sent = sent_rows(connection) if accepts_sent_rows and not any(read.values()) else None
    if reads_sides(leaves) and sent is None:
        read["injection"].add(ROOT_STRUCTURE_ID)
    if any(read.values()):
        _check_tables(connection, _UNIONIZE_TABLES)
    for part, structures in read.items():
        if structures:
            check_unionizes(connection, structures, part)
    if reads_sides(leaves):
        _check_sides(connection, sent=sent)


def check_selected(
    connection: Connection,
    experiment_ids: Collection[int],
    *,
    leaves: Collection[Criteria],
    kinds: Collection[str],
    spacing_um: int,
    reads_injection: bool = True,
    accepts_sent_rows: bool = False,
) -> None:
    """Check the rows of selected experiments that determine their hemispheres, divisors and volumes.

    Parameters
    ----------
    experiment_ids : collection of int
    leaves : collection of Criteria
        The parts of the selections. `check_selecting` was called with them, and with ``accepts_sent_rows``, before.
    kinds : collection of VolumeKind
        Kinds of volumes that are read; empty if none is.
    spacing_um : int
    reads_injection : bool
        Whether hemispheres or divisors of these experiments are read, not only their volumes.
    accepts_sent_rows : bool
        As for `check_selecting`; not if divisors are read.

    Raises
    ------
    DamagedCatalogError
        If a row differs from what was stored, is missing, or was added by another program.
    """
    if kinds:
        seals.check_volumes(connection, kinds, spacing_um, experiment_ids=experiment_ids)
    # The root is read for divisors and injected hemispheres. If the selection depends on these, all were checked.
    if reads_injection and not reads_sides(leaves):
        has_checked = any(unionizes_read(connection, leaves).values())
        sent = sent_rows(connection) if accepts_sent_rows and not has_checked else None
        if sent is None and not has_checked:
            _check_tables(connection, _UNIONIZE_TABLES)
        _check_injections(connection, experiment_ids, sent)


def check_side(connection: Connection, experiment_id: int) -> None:
    """Check the rows from which the injected hemisphere of one experiment is known.

    Without checks of whole tables, which take longer than reading a volume: a row that an index does not find, or finds
    wrongly, differs from its seal.

    Raises
    ------
    DamagedCatalogError
        If a row differs from what was stored, is missing, or was added by another program.
    """
    _check_injections(connection, [experiment_id], sent_rows(connection))


def _check_injections(connection: Connection, experiment_ids: Collection[int], sent: TableClause | None) -> None:
    """Check the root's rows of experiments, unless they were sent with a copy of a catalog, and the hemispheres."""
    if sent is None:
        check_unionizes(connection, [ROOT_STRUCTURE_ID], "injection", experiment_ids=experiment_ids)
    _check_sides(connection, experiment_ids, sent=sent)


def _check_tables(connection: Connection, tables: Iterable[str]) -> None:
    """Check the pages and indexes of tables, on SQLite.

    Raises
    ------
    DamagedCatalogError
    """
    if connection.dialect.name == "sqlite":
        for table in tables:
            _check_sqlite(connection, table)


def _check_sides(
    connection: Connection, experiment_ids: Collection[int] | None = None, *, sent: TableClause | None = None
) -> None:
    """Compare the injected hemispheres, by default of all experiments, with the rows from which they are derived.

    These are the unionize rows, or those that were sent with a copy of a server's catalog.
    """
    with seals.damaged_values("experiment"):
        wrong = experiments_with_wrong_sides(connection, experiment_ids, rows=sent)
    seals.refuse("experiment", [str(each) for each in wrong])


def _check_sqlite(connection: Connection, table: str | None = None) -> None:
    """Check the pages and indexes of a table, by default of all tables.

    Raises
    ------
    DamagedCatalogError
    """
    pragma = "PRAGMA integrity_check" if table is None else f"PRAGMA integrity_check({table})"
    found = [str(row[0]) for row in connection.exec_driver_sql(pragma)]
    if found != ["ok"]:
        what = "" if table is None else f" in the table {table}"
        raise DamagedCatalogError(f"the catalog is damaged{what}: {listed(found)}", hint=seals.VERIFY_HINT)


# -- everything -------------------------------------------------------------------------------------------------------


VOLUMES = "volumes"
"""The part of the catalog with the rows of volumes."""


@dataclass(frozen=True, slots=True)
class CatalogDamage:
    """Damage in one part of the catalog."""

    what: str
    problem: str


@dataclass(frozen=True, slots=True)
class CatalogCheck:
    """The result of checking the catalog.

    Attributes
    ----------
    damage : tuple of CatalogDamage
        Empty if there is no damage.
    experiments, unionize_tables : int
        Numbers of experiments and of halves of unionize tables that were checked.
    sealed_since : datetime.datetime or None
        Aware UTC. Time when all rows were sealed as they were: at the creation of the store or its last upgrade.
        Earlier damage cannot be detected.
    """

    damage: tuple[CatalogDamage, ...]
    experiments: int
    unionize_tables: int
    sealed_since: datetime | None

    def _repr_html_(self) -> str:
        facts = [
            ("Experiments", f"{self.experiments:,}"),
            ("Halves of unionize tables", f"{self.unionize_tables:,}"),
            ("Sealed since", None if self.sealed_since is None else f"{self.sealed_since:%Y-%m-%d %H:%M} UTC"),
        ]
        damage = table(["what", "problem"], [[each.what, each.problem] for each in self.damage])
        found = "The catalog is intact" if self.is_intact else number_of(len(self.damage), "damaged part")
        return card(found, damage, kind="check of the catalog", facts=facts)

    @property
    def is_intact(self) -> bool:
        """Whether there is no damage."""
        return not self.damage


def verify_catalog(database: Database, *, progress: Progress | None = None) -> CatalogCheck:
    """Check everything in the catalog that is sealed; see `Catalog.verify`."""
    watched = shown_progress(progress)
    damage: list[CatalogDamage] = []
    # Short transactions, because on SQLite others cannot write while one reads. Each check is consistent in itself.
    for check in catalog_checks(database.is_sqlite):
        with database.reading() as connection:
            damage += check(connection)
    with database.reading() as connection:
        ids, tables = _experiments_with_tables(connection, damage)
        since = seals.epoch(connection)
        count = len(seals.stored_seals(connection, "experiment"))
    watched.start(len(ids), "checking unionize tables")
    try:
        for start in range(0, len(ids), _CHECKED_TOGETHER):
            together = ids[start : start + _CHECKED_TOGETHER]
            with database.reading() as connection:
                for identifier in together:
                    damage += _found("unionize tables", partial(_damaged_table, identifier), connection)
            watched.advance(len(together))
    finally:
        watched.finish()
    return CatalogCheck(tuple(damage), count, tables, since)


def _check_rows(model: type[Base], connection: Connection) -> None:
    seals.check_rows(connection, model)


# What is sealed, except unionize tables: the name, the tables, and the check, which raises an error.
_SEALED: tuple[tuple[str, frozenset[str], Callable[[Connection], None]], ...] = (
    ("schema", frozenset(), seals.check_schema_seal),
    (
        "experiments",
        frozenset({"experiment", "experiment_line", "experiment_injection_structure", "transgenic_line"}),
        seals.check_experiments,
    ),
    ("lines", frozenset({"transgenic_line"}), seals.check_lines),
    (
        "ontology",
        frozenset({"structure", "structure_ancestor", "structure_set", "structure_set_member"}),
        seals.check_ontology,
    ),
    *(
        (model.__tablename__, frozenset({model.__tablename__}), partial(_check_rows, model))
        for model in seals.SEALED_BY_ID
    ),
    (VOLUMES, frozenset({"volume"}), seals.check_volumes),
)


def catalog_checks(is_sqlite: bool) -> list[Callable[[Connection], list[CatalogDamage]]]:
    """The checks of everything that is sealed, except unionize tables; each may have a transaction of its own."""
    checks: list[Callable[[Connection], list[CatalogDamage]]] = []
    if is_sqlite:
        checks.append(partial(_refused, "pages", _check_sqlite))
    checks += [partial(_refused, what, check) for what, _, check in _SEALED]
    checks.append(partial(_refused, "sides", _check_sides))
    finding: list[tuple[str, Callable[[Connection], Iterable[str]]]] = [
        ("records of lists", damaged_revisions),
        ("lists", damaged_snapshots),
        ("seals", _epoch),
    ]
    return [*checks, *(partial(_found, what, check) for what, check in finding)]


def damage_before_upgrade(connection: Connection, changed: Collection[str]) -> list[CatalogDamage]:
    """The damage in a catalog at an earlier revision of the schema.

    Parameters
    ----------
    connection : Connection
    changed : collection of str
        Tables with other columns than in this version. What is in them cannot be checked.
    """
    damage: list[CatalogDamage] = []
    if connection.dialect.name == "sqlite":
        damage += _refused("pages", _check_sqlite, connection)
    for what, tables, check in _SEALED:
        if not tables & set(changed):
            damage += _refused(what, check, connection)
    if not {"unionize", "unionize_coverage", "unionize_seal"} & set(changed):
        for identifier in _experiments_with_tables(connection, damage)[0]:
            damage += _found("unionize tables", partial(_damaged_table, identifier), connection)
    return damage


def _epoch(connection: Connection) -> list[str]:
    return [] if seals.epoch(connection) is not None else ["the time when all rows were sealed is missing"]


@dataclass(frozen=True, slots=True)
class TableProblems:
    """What is wrong with the unionize table of an experiment.

    Attributes
    ----------
    damage : tuple of str
        The damaged halves, or why they cannot be read.
    contradictions : tuple of str
        Contradictions inside a table that is as it was stored.
    """

    damage: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()


def unionize_problems(
    database: Database, experiment_ids: Collection[int], *, parents: Mapping[int, int | None]
) -> dict[int, TableProblems]:
    """The problems of the unionize tables of experiments, by experiment; tables without one are absent.

    Parameters
    ----------
    database : Database
    experiment_ids : collection of int
    parents : mapping of int to int or None
        The parent of each structure.
    """
    try:
        with database.reading() as connection:
            found = checked_tables(connection, experiment_ids, parents=parents)
    except DamagedCatalogError as error:
        if len(experiment_ids) == 1:
            return {key: TableProblems(damage=(error.message,)) for key in experiment_ids}
        # At least one of them cannot be read: check each alone.
        alone = [unionize_problems(database, [one], parents=parents) for one in experiment_ids]
        return {key: each for found_alone in alone for key, each in found_alone.items()}
    return {
        **{key: TableProblems(contradictions=words) for key, words in found.contradictions.items()},
        **{key: TableProblems(damage=tuple(parts)) for key, parts in found.damaged.items()},
    }


def _damaged_table(experiment_id: int, connection: Connection) -> list[str]:
    return [f"{experiment_id} ({part})" for part in damaged_halves(connection, experiment_id)]


def _experiments_with_tables(connection: Connection, damage: list[CatalogDamage]) -> tuple[list[int], int]:
    """The ids of all experiments that have, or should have, unionize rows; and the number of sealed halves."""
    found: set[int] = set()
    tables = 0
    try:
        for model in (Experiment.id, UnionizeCoverage.experiment_id, UnionizeSeal.experiment_id):
            found.update(connection.scalars(select(model)))
        tables = len(connection.execute(select(UnionizeSeal.experiment_id)).all())
    except (DBAPIError, ValueError, TypeError) as error:
        damage.append(CatalogDamage("unionize tables", str(error)))
    return sorted(found), tables


def _refused(what: str, check: Callable[[Connection], None], connection: Connection) -> list[CatalogDamage]:
    """The damage found by a check that raises an error."""

    def problems(connection: Connection) -> list[str]:
        check(connection)
        return []

    return _found(what, problems, connection)


def _found(what: str, check: Callable[[Connection], Iterable[str]], connection: Connection) -> list[CatalogDamage]:
    """The damage found by a check that returns or raises it."""
    try:
        return [CatalogDamage(what, problem) for problem in check(connection)]
    except BsvStoreError as error:
        return [CatalogDamage(what, error.message)]
    except (DBAPIError, ValueError, TypeError, KeyError) as error:
        return [CatalogDamage(what, f"cannot be read: {error}")]
