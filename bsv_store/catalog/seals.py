"""Seals: hashes of the rows that enter results, written by the code that writes the rows.

A seal is an XXH3 over the values of a row in a canonical form that is the same on both databases. It detects accidental
changes: flipped bits, lost rows, edits with other programs. Since each row has its own seal, missing and additional
rows are detected too. New rows are sealed from the values in memory. Before stored rows are sealed again, they are
checked, so that a damaged row is never sealed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    delete,
    insert,
    or_,
    select,
)

from bsv_store.catalog.canonical_rows import canonical_rows
from bsv_store.catalog.database.bulk import delete_rows, table_of, upsert_rows
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import (
    Base,
    Exclusion,
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    NamedSelection,
    Seal,
    SourceSnapshot,
    StoredVolume,
    Structure,
    StructureAncestor,
    StructureSet,
    StructureSetMember,
    TransgenicLine,
)
from bsv_store.errors import DamagedCatalogError
from bsv_store.text import ids_option, listed, number_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, SQLColumnExpression

    Hashes = dict[str, str]

VERIFY_HINT = (
    "Restore the database from a backup. `bsv-store catalog verify` lists all damage; no result is computed from it."
)
_UNIONIZE_HINT = (
    "Download the tables again: bsv-store sync unionizes --refresh {}\n"
    "`bsv-store catalog verify` lists all damage; no result is computed from it."
)

# The columns of an experiment that are derived from unionize rows; they are compared with these rows instead.
DERIVED_COLUMNS = ("injected_hemisphere", "hemisphere_source", "injection_volume_left", "injection_volume_right")
EXPERIMENT_COLUMNS = tuple(column.name for column in table_of(Experiment).columns if column.name not in DERIVED_COLUMNS)
_LINE_COLUMNS = tuple(column.name for column in table_of(TransgenicLine).columns if column.name != "id")
_VOLUME_COLUMNS = tuple(column.name for column in table_of(StoredVolume).columns if column.name != "id")

# Tables whose rows are sealed one by one, by their id.
_SCOPES: Mapping[type[Base], str] = {
    Exclusion: "exclusion",
    NamedSelection: "named_selection",
    SourceSnapshot: "snapshot",
}

_WORDS = {
    "experiment": "experiments",
    "exclusion": "exclusions",
    "line": "transgenic lines",
    "named_selection": "saved selections",
    "schema": "definitions of tables and views",
    "snapshot": "ingested lists",
    "structure": "structures",
    "structure_set": "structure sets",
    "unionize": "unionize tables",
    "volume": "volumes",
}


# -- canonical form ---------------------------------------------------------------------------------------------------


def hash_of(values: object) -> str:
    """The hash of values in canonical form: numbers, strings, None, and tuples and lists of them."""
    # Imported here, because short commands do not need it.
    import xxhash

    # repr() of Python's numbers and strings is unambiguous and round-trips.
    return xxhash.xxh3_128_hexdigest(repr(values).encode("utf-8", "surrogatepass"))


# -- reading and writing seals ----------------------------------------------------------------------------------------


def stored_seals(connection: Connection, scope: str, keys: Collection[str] | None = None) -> Hashes:
    """The seals of a scope by key, by default all."""
    query = select(Seal.key, Seal.hash).where(Seal.scope == scope)
    if keys is not None and len(keys) < _MAX_PARAMETERS:
        query = query.where(Seal.key.in_(keys))
    return {key: found for key, found in connection.execute(query).all() if keys is None or key in keys}


_MAX_PARAMETERS = 10_000


def write(connection: Connection, scope: str, hashes: Mapping[str, str], *, only_these: bool = False) -> None:
    """Write seals; with ``only_these``, delete all others of the scope."""
    before = stored_seals(connection, scope, None if only_these else hashes.keys())
    new = [(scope, key, value) for key, value in sorted(hashes.items()) if before.get(key) != value]
    if new:
        upsert_rows(connection, table_of(Seal), ("scope", "key", "hash"), new)
    if only_these and (gone := sorted(before.keys() - hashes.keys())):
        delete_rows(connection, table_of(Seal), ("scope", "key"), [(scope, key) for key in gone])


def differing(stored: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The keys of rows that differ from their seal, are missing, or do not have a seal."""
    return sorted(key for key in stored.keys() | found.keys() if stored.get(key) != found.get(key))


def refuse(scope: str, keys: Collection[str]) -> None:
    """Raise if any keys of damaged rows are given.

    Raises
    ------
    DamagedCatalogError
    """
    if keys:
        ids = sorted(key for key in keys if key.isdecimal())
        raise DamagedCatalogError(
            f"the catalog is damaged: {number_of(len(keys), 'row')} about {_WORDS[scope]} (changed, missing, or added"
            f" by another program): {listed(sorted(keys))}",
            hint=_UNIONIZE_HINT.format(ids_option(ids[:10])) if scope == "unionize" and ids else VERIFY_HINT,
        )


def _check_all(connection: Connection, scope: str, hashes: Mapping[str, str]) -> None:
    """Compare the hashes of all rows of a scope with their seals."""
    refuse(scope, differing(stored_seals(connection, scope), hashes))


@contextmanager
def damaged_values(scope: str) -> Iterator[None]:
    """Convert errors caused by values that are impossible in their column, as after a flipped bit.

    Raises
    ------
    DamagedCatalogError
    """
    try:
        yield
    except (ValueError, TypeError, OverflowError, KeyError, AttributeError) as error:
        raise DamagedCatalogError(
            f"the catalog is damaged ({_WORDS[scope]}): a value is not valid: {error}", hint=VERIFY_HINT
        ) from error


# -- experiments and lines --------------------------------------------------------------------------------------------


def seal_experiments(
    connection: Connection,
    columns: Sequence[str],
    experiments: Mapping[int, tuple[Sequence[Any], Collection[str], Collection[int]]],
) -> None:
    """Seal all experiments from the values that were written.

    Parameters
    ----------
    columns : sequence of str
        Names of the columns of the rows.
    experiments : mapping of int to tuple
        Row, names of lines and ids of injection structures, by experiment id.
    """
    order = [columns.index(name) for name in EXPERIMENT_COLUMNS]
    values = [[row[place] for place in order] for row, _, _ in experiments.values()]
    rows = canonical_rows(table_of(Experiment), EXPERIMENT_COLUMNS, values)
    write(
        connection,
        "experiment",
        {
            str(identifier): hash_of((row, sorted(lines), sorted(structures)))
            for row, (identifier, (_, lines, structures)) in zip(rows, experiments.items(), strict=True)
        },
        only_these=True,
    )


def seal_lines(connection: Connection) -> None:
    """Seal the transgenic lines, all of which have just been written."""
    write(connection, "line", hashes_of_lines(connection), only_these=True)


def check_experiments(connection: Connection, experiment_ids: Collection[int] | None = None) -> None:
    """Check experiments, by default all, with their lines and injection structures.

    Raises
    ------
    DamagedCatalogError
    """
    keys = None if experiment_ids is None else {str(each) for each in experiment_ids}
    found = hashes_of_experiments(connection, experiment_ids)
    refuse("experiment", differing(stored_seals(connection, "experiment", keys), found))


def check_lines(connection: Connection) -> None:
    """Check the transgenic lines.

    Raises
    ------
    DamagedCatalogError
    """
    _check_all(connection, "line", hashes_of_lines(connection))


def hashes_of_experiments(connection: Connection, experiment_ids: Collection[int] | None = None) -> Hashes:
    """The hashes of stored experiments, by default all, with their lines and injection structures."""

    def chosen(column: SQLColumnExpression[Any]) -> list[ColumnElement[bool]]:
        return [] if experiment_ids is None else [id_in(connection, column, experiment_ids)]

    table = table_of(Experiment)
    lines: dict[int, list[str]] = {}
    structures: dict[int, list[int]] = {}
    with damaged_values("experiment"):
        of_line = select(ExperimentLine.experiment_id, TransgenicLine.name).outerjoin(
            TransgenicLine, TransgenicLine.id == ExperimentLine.transgenic_line_id
        )
        for identifier, name in connection.execute(of_line.where(*chosen(ExperimentLine.experiment_id))).all():
            lines.setdefault(identifier, []).append(name)
        injected = ExperimentInjectionStructure
        touched = select(injected.experiment_id, injected.structure_id).where(*chosen(injected.experiment_id))
        for identifier, structure_id in connection.execute(touched).all():
            structures.setdefault(identifier, []).append(structure_id)
        columns = select(*(table.c[name] for name in EXPERIMENT_COLUMNS))
        rows = connection.execute(columns.where(*chosen(table.c.id))).all()
        place = EXPERIMENT_COLUMNS.index("id")
        found = {
            str(row[place]): hash_of((row, sorted(lines.pop(row[place], [])), sorted(structures.pop(row[place], []))))
            for row in canonical_rows(table, EXPERIMENT_COLUMNS, rows)
        }
    # Dependent rows of experiments that are missing.
    return found | {f"{identifier} (without experiment)": "" for identifier in {*lines, *structures}}


def hashes_of_lines(connection: Connection) -> Hashes:
    """The hashes of the stored transgenic lines."""
    table = table_of(TransgenicLine)
    with damaged_values("line"):
        rows = connection.execute(select(*(table.c[name] for name in _LINE_COLUMNS))).all()
        return {str(row[0]): hash_of(row) for row in canonical_rows(table, _LINE_COLUMNS, rows)}


# -- ontology ---------------------------------------------------------------------------------------------------------


def seal_ontology(connection: Connection) -> None:
    """Seal the structures and sets as they are stored. Call `check_ontology` before they are changed."""
    for scope, hashes in hashes_of_ontology(connection).items():
        write(connection, scope, hashes, only_these=True)


def check_ontology(connection: Connection) -> None:
    """Check the structures, their ancestors and their sets.

    Raises
    ------
    DamagedCatalogError
    """
    for scope, hashes in hashes_of_ontology(connection).items():
        _check_all(connection, scope, hashes)


def hashes_of_ontology(connection: Connection) -> dict[str, Hashes]:
    """The hashes of the stored structures, each with its ancestors, and of the sets with their members."""
    table = table_of(Structure)
    names = tuple(column.name for column in table.columns)
    ancestors: dict[int, list[tuple[int, int]]] = {}
    members: dict[int, list[int]] = {}
    with damaged_values("structure"):
        pairs = select(StructureAncestor.descendant_id, StructureAncestor.ancestor_id, StructureAncestor.distance)
        for child, ancestor, distance in connection.execute(pairs).all():
            ancestors.setdefault(child, []).append((distance, ancestor))
        rows = connection.execute(select(*(table.c[name] for name in names))).all()
        place = names.index("id")
        structures = {
            str(row[place]): hash_of((row, sorted(ancestors.pop(row[place], []))))
            for row in canonical_rows(table, names, rows)
        }
    with damaged_values("structure_set"):
        pairs_of_sets = select(StructureSetMember.structure_set_id, StructureSetMember.structure_id)
        for set_id, structure_id in connection.execute(pairs_of_sets).all():
            members.setdefault(set_id, []).append(structure_id)
        sets = {
            str(set_id): hash_of((set_id, name, sorted(members.pop(set_id, []))))
            for set_id, name in connection.execute(select(StructureSet.id, StructureSet.name))
        }
    structures |= {f"{identifier} (without structure)": "" for identifier in ancestors}
    sets |= {f"{identifier} (without set)": "" for identifier in members}
    return {"structure": structures, "structure_set": sets}


# -- volumes ----------------------------------------------------------------------------------------------------------


def seal_volumes(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Seal rows of volumes from the values that were written."""
    values = [[row[name] for name in _VOLUME_COLUMNS] for row in rows]
    write(connection, "volume", _hashes_of_volumes(canonical_rows(table_of(StoredVolume), _VOLUME_COLUMNS, values)))


def check_volumes(
    connection: Connection,
    kinds: Collection[str] | None = None,
    spacing_um: int | None = None,
    *,
    experiment_ids: Collection[int] | None = None,
) -> None:
    """Check the rows of all volumes of some kinds at one spacing; without both, of all volumes.

    Parameters
    ----------
    experiment_ids : collection of int, optional
        All experiments by default.

    Raises
    ------
    DamagedCatalogError
    """
    query = select(Seal.key, Seal.hash).where(Seal.scope == "volume")
    if kinds is not None:
        query = query.where(or_(*(Seal.key.endswith(f"/{kind}/{spacing_um}", autoescape=True) for kind in kinds)))
    wanted = None if experiment_ids is None else {str(each) for each in experiment_ids}
    stored = {
        key: found
        for key, found in connection.execute(query).all()
        if wanted is None or key.partition("/")[0] in wanted
    }
    refuse("volume", differing(stored, hashes_of_volumes(connection, kinds, spacing_um, experiment_ids=experiment_ids)))


def hashes_of_volumes(
    connection: Connection,
    kinds: Collection[str] | None = None,
    spacing_um: int | None = None,
    *,
    experiment_ids: Collection[int] | None = None,
) -> Hashes:
    """The hashes of the stored rows of volumes, by default of all."""
    table = table_of(StoredVolume)
    query = select(*(table.c[name] for name in _VOLUME_COLUMNS))
    if kinds is not None:
        query = query.where(table.c.kind.in_(kinds), table.c.spacing_um == spacing_um)
    if experiment_ids is not None:
        query = query.where(id_in(connection, table.c.experiment_id, experiment_ids))
    with damaged_values("volume"):
        rows = connection.execute(query).all()
        return _hashes_of_volumes(canonical_rows(table, _VOLUME_COLUMNS, rows))


def _hashes_of_volumes(rows: Iterable[tuple[Any, ...]]) -> Hashes:
    """The hashes of canonical rows of volumes."""
    experiment, kind, spacing = (_VOLUME_COLUMNS.index(name) for name in ("experiment_id", "kind", "spacing_um"))
    return {f"{row[experiment]}/{row[kind]}/{row[spacing]}": hash_of(row) for row in rows}


# -- rows with an id --------------------------------------------------------------------------------------------------


def seal_rows(connection: Connection, model: type[Base], ids: Collection[int]) -> None:
    """Seal rows that have just been written. Call `check_rows` before existing rows are changed."""
    write(connection, _SCOPES[model], hashes_of_rows(connection, model, ids))


def check_rows(connection: Connection, model: type[Base], ids: Collection[int] | None = None) -> None:
    """Check rows of a table, by default all.

    Raises
    ------
    DamagedCatalogError
    """
    scope = _SCOPES[model]
    keys = None if ids is None else {str(each) for each in ids}
    refuse(scope, differing(stored_seals(connection, scope, keys), hashes_of_rows(connection, model, ids)))


def hashes_of_rows(connection: Connection, model: type[Base], ids: Collection[int] | None = None) -> Hashes:
    """The hashes of the stored rows of a table, by default all."""
    table = table_of(model)
    names = tuple(column.name for column in table.columns)
    query = select(*(table.c[name] for name in names))
    if ids is not None:
        query = query.where(id_in(connection, table.c.id, ids))
    with damaged_values(_SCOPES[model]):
        rows = connection.execute(query).all()
        place = names.index("id")
        return {str(row[place]): hash_of(row) for row in canonical_rows(table, names, rows)}


def reseal_rows(connection: Connection, model: type[Base]) -> None:
    """Seal all rows of a table as they are stored."""
    write(connection, _SCOPES[model], hashes_of_rows(connection, model), only_these=True)


SEALED_BY_ID = tuple(_SCOPES)


# -- schema and epoch -------------------------------------------------------------------------------------------------


def seal_schema(connection: Connection) -> None:
    """Seal the definitions of tables, indexes, triggers and views (SQLite only; Postgres has system catalogs)."""
    write(connection, "schema", hashes_of_schema(connection), only_these=True)


def hashes_of_schema(connection: Connection) -> Hashes:
    """The hashes of the definitions; none on Postgres."""
    if connection.dialect.name != "sqlite":
        return {}
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
    with damaged_values("schema"):
        rows = connection.exec_driver_sql(query).all()
        # Statistics are tables that ANALYZE creates.
        return {str(row[1]): hash_of(tuple(row)) for row in rows if not str(row[1]).startswith("sqlite_stat")}


def check_schema_seal(connection: Connection) -> None:
    """Check the definitions of tables, indexes, triggers and views.

    Raises
    ------
    DamagedCatalogError
    """
    # Users may add their own views and indexes.
    stored, found = stored_seals(connection, "schema"), hashes_of_schema(connection)
    refuse("schema", differing(stored, {name: value for name, value in found.items() if name in stored}))


def set_epoch(connection: Connection, revision: str) -> None:
    """Record the current time as the time when all rows were sealed as they were."""
    connection.execute(delete(Seal).where(Seal.scope == "epoch"))
    values = {"scope": "epoch", "key": datetime.now(UTC).isoformat(timespec="seconds"), "hash": revision}
    connection.execute(insert(table_of(Seal)).values(values))


def epoch(connection: Connection) -> datetime | None:
    """The time when all rows were sealed as they were; None if it is not recorded."""
    found = connection.scalar(select(Seal.key).where(Seal.scope == "epoch"))
    try:
        return None if found is None else datetime.fromisoformat(found)
    except ValueError:
        return None
