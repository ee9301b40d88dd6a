"""The values that are compared by structure, one row for each animal, and their test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.members import Member
from bsv_store.catalog.search.projection_profile import targets_to_rank
from bsv_store.catalog.search.signal import read_signal
from bsv_store.catalog.structures import find_structures
from bsv_store.catalog.tables.frames import uncovered_among
from bsv_store.catalog.unionize_seals import check_unionizes
from bsv_store.catalog.without_unionizes import DOWNLOAD_TABLES
from bsv_store.errors import FormatError, InputError, MissingDataError, UnknownStructureError
from bsv_store.statistics.features import TwoGroupTest, compare_features
from bsv_store.text import MAX_ID, listed_ids, shown

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.averaging.comparison.structure_comparison import StructureComparison
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import MeasuredHemisphere

_MAX_TEXT = 1_000
TEST_ARRAYS: Final = tuple(
    each.name for each in fields(TwoGroupTest) if each.name not in ("n_a", "n_b", "permutations", "exact")
)
"""The fields of `TwoGroupTest` that are arrays."""


@dataclass(frozen=True, slots=True)
class ComparedStructure:
    """A structure of a comparison, as it is recorded."""

    id: int
    acronym: str
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class StructureValues:
    """The values of the members of a comparison by structure.

    Attributes
    ----------
    structures : tuple of ComparedStructure
        In graph order.
    members : tuple of Member
        Ascending by experiment id; ``array_sha256`` is the hash of the row of values, little-endian float64.
    values : ndarray of float64, shape (members, hemispheres * structures)
        The structures of the first hemisphere, then those of the others.
    """

    structures: tuple[ComparedStructure, ...]
    members: tuple[Member, ...]
    values: NDArray[np.float64]


def features(
    comparison: StructureComparison, structures: Sequence[ComparedStructure]
) -> list[tuple[MeasuredHemisphere, ComparedStructure]]:
    """The hemisphere and the structure of each column of the values."""
    return [(side, each) for side in comparison.hemisphere for each in structures]


def compared_structures(
    connection: Connection, comparison: StructureComparison, experiment_ids: Sequence[int]
) -> tuple[ComparedStructure, ...]:
    """The structures that a comparison of these experiments tests, in graph order.

    Raises
    ------
    InputError
        If there is none.
    UnknownStructureError
        If the ontology does not have a structure.
    """
    rows = targets_to_rank(
        connection,
        experiment_ids,
        targets=comparison.targets,
        structure_set=comparison.structure_set,
        within=comparison.within,
        include_sources=comparison.include_sources,
        include_fiber_tracts=comparison.include_fiber_tracts,
    )
    if not rows:
        raise InputError("there are no structures to compare", hint="Name others, or a larger region for within.")
    return tuple(ComparedStructure(row.id, row.acronym, row.name) for row in rows)


def read_values(
    connection: Connection,
    comparison: StructureComparison,
    structures: Sequence[ComparedStructure],
    group_of: Mapping[int, int],
) -> StructureValues:
    """The values of experiments whose unionize tables are in the store.

    Parameters
    ----------
    group_of : mapping of int to int
        Number of the group of each experiment.

    Raises
    ------
    DamagedCatalogError
        If a row of the unionize tables that is read differs from what was stored.
    UnknownStructureError
        If the ontology does not have a structure.
    """
    rows = find_structures(connection, [each.id for each in structures])
    ids = sorted(group_of)
    check_unionizes(connection, [row.id for row in rows], "projection", experiment_ids=ids)
    values = np.hstack(
        [
            read_signal(connection, ids, rows, measure=comparison.measure, hemisphere=side).values
            for side in comparison.hemisphere
        ]
    )
    members = tuple(
        Member(each, group_of[each], divisor=1.0, array_sha256=row_hash(row))
        for each, row in zip(ids, values, strict=True)
    )
    return StructureValues(tuple(structures), members, values)


def recorded_values(
    connection: Connection,
    comparison: StructureComparison,
    structures: Sequence[ComparedStructure],
    members: Sequence[Member],
) -> StructureValues:
    """The values of recorded members, which must be those that were compared.

    Parameters
    ----------
    members : sequence of Member
        Those in a group.

    Raises
    ------
    MissingDataError
        If the store does not have the unionize tables, or has other values.
    """
    group_of = {each.experiment_id: each.group or 0 for each in members}
    absent = uncovered_among(connection, list(group_of), "projection")
    # An experiment that the catalog does not have has no table.
    unknown = sorted(set(group_of) - set(_known(connection, list(group_of))))
    if absent or unknown:
        raise MissingDataError(
            "the unionize tables that the version was computed from are not in the store: "
            f"{listed_ids(sorted({*absent, *unknown}))}",
            hint=DOWNLOAD_TABLES,
        )
    try:
        found = read_values(connection, comparison, structures, group_of)
    except UnknownStructureError as error:
        raise MissingDataError(
            f"structures that the version was computed with are not in the store: {error.message}", hint=error.hint
        ) from error
    recorded = {each.experiment_id: each.array_sha256 for each in members}
    replaced = [each.experiment_id for each in found.members if each.array_sha256 != recorded[each.experiment_id]]
    if replaced:
        raise MissingDataError(
            f"the unionize tables that the version was computed from have been replaced: {listed_ids(replaced)}",
            hint="The version cannot be rebuilt. `bsv-store dataset stale` lists what has changed.",
        )
    return found


def _known(connection: Connection, ids: Sequence[int]) -> list[int]:
    from sqlalchemy import select

    from bsv_store.catalog.database.id_lists import id_in
    from bsv_store.catalog.database.models import Experiment

    return list(connection.scalars(select(Experiment.id).where(id_in(connection, Experiment.id, ids))))


def row_hash(values: NDArray[np.float64]) -> str:
    """SHA-256 of the values of an animal, little-endian float64."""
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<f8").data).hexdigest()


def compare_values(
    comparison: StructureComparison,
    values: NDArray[np.float64],
    in_a: NDArray[np.bool_],
    covariates: NDArray[np.float64] | None,
    progress: Progress | None = None,
) -> TwoGroupTest:
    """The test of each column of the values; NaN, except for means and difference, where no animal has signal.

    Parameters
    ----------
    values : ndarray of float64, shape (animals, features)
    in_a : ndarray of bool, shape (animals,)
        Which of the animals are in the first group.
    covariates : ndarray of float64, shape (animals, covariates), optional
        In the order of the values.

    Raises
    ------
    InputError
        If no animal has signal in any of the structures, or SciPy is not installed.
    """
    has_signal = (values != 0).any(axis=0)
    if not has_signal.any():
        raise InputError("none of the structures has signal in any of the animals", hint="Compare other structures.")
    found = compare_features(
        values[in_a][:, has_signal],
        values[~in_a][:, has_signal],
        statistic=comparison.test,
        effect_size=comparison.effect_size,
        permutations=comparison.permutations,
        bootstrap=comparison.bootstrap,
        confidence=comparison.confidence,
        seed=comparison.seed,
        covariates=None if covariates is None else np.concatenate([covariates[in_a], covariates[~in_a]]),
        progress=progress,
    )
    arrays = {}
    for name in TEST_ARRAYS:
        without_signal = 0.0 if name in ("mean_a", "mean_b", "difference") else np.nan
        arrays[name] = np.full(values.shape[1], without_signal)
        arrays[name][has_signal] = getattr(found, name)
    return TwoGroupTest(**arrays, n_a=found.n_a, n_b=found.n_b, permutations=found.permutations, exact=found.exact)


def structures_to_json(structures: Sequence[ComparedStructure]) -> list[list[int | str]]:
    """The structures in the form of the inputs of a version."""
    return [[each.id, each.acronym, each.name] for each in structures]


def structures_from_json(value: Any, comparison: StructureComparison | None) -> tuple[ComparedStructure, ...]:
    """The structures from the result of `structures_to_json`.

    Raises
    ------
    FormatError
        If the form is not valid, or there are structures without a comparison by structure.
    """
    if comparison is None and value is None:
        return ()
    if comparison is None or not isinstance(value, list) or not value:
        raise FormatError("the inputs must have structures if, and only if, they are compared by structure")
    found = tuple(_structure(each) for each in value)
    if len({each.id for each in found}) != len(found):
        raise FormatError("a structure occurs more than once")
    if comparison.targets is not None and not {each.id for each in found} <= set(comparison.targets):
        raise FormatError("the structures are not those of the recipe")
    return found


def _structure(value: Any) -> ComparedStructure:
    match value:
        case [int(identifier), str(acronym), str(name)] if type(identifier) is int and 0 < identifier <= MAX_ID:
            if all(0 < len(text) <= _MAX_TEXT and text.isprintable() for text in (acronym, name)):
                return ComparedStructure(identifier, acronym, name)
    raise FormatError(f"a structure must have an id, an acronym and a name, got {shown(value)}")
