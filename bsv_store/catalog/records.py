"""Records that the readers of files and replies pass to the catalog: plain, checked, frozen values.

``formats`` creates them from any of the wire formats, and ``catalog.ingest`` stores them. Neither imports the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import TYPE_CHECKING, Any

from bsv_store.html import card
from bsv_store.vocabulary import UNIONIZE_PARTS, ExperimentSourceKind, UnionizePart

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT_STRUCTURE_ID = 997
RETINA_STRUCTURE_ID = 304325711
"""A structure below the root, but outside the brain: it has no voxels; its experiments were injected into an eye."""

# Metadata of fields.
_LISTED_AS = "listed_as"


@dataclass(frozen=True, slots=True)
class StructureRecord:
    """One structure of the ontology."""

    id: int
    acronym: str
    name: str
    parent_structure_id: int | None
    graph_order: int
    color_hex_triplet: str
    """Six hexadecimal digits, upper case, leading zeros kept."""
    structure_set_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ontology:
    """A complete ontology, which is one tree; parents come before their children.

    Attributes
    ----------
    structures : tuple of StructureRecord
        In graph order; the first is the root.
    structure_set_names : mapping of int to str
        Names of structure sets where the source has them.
    has_structure_sets : bool
        False if the source format does not contain set membership.
    """

    structures: tuple[StructureRecord, ...]
    structure_set_names: Mapping[int, str] = field(default_factory=dict)
    has_structure_sets: bool = True

    def _repr_html_(self) -> str:
        facts = [
            ("Structures", f"{len(self.structures):,}"),
            ("Root", self.structures[0].acronym),
            ("Structure sets", None if self.has_structure_sets else "not in this source"),
        ]
        return card("Ontology", kind="structures as ingested", facts=facts)


@dataclass(frozen=True, slots=True)
class LineRecord:
    """A transgenic line of an experiment list."""

    name: str
    allen_id: int | None = None
    type_name: str | None = None
    """'driver', 'reporter', 'wild type'; None if unknown."""
    description: str | None = None
    stock_number: str | None = None


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """An experiment of one list. Coordinates are um, volumes mm3; None means that the list has no value.

    A field of a plain type is the column of table ``experiment`` with the same name.
    """

    id: int
    primary_structure_id: int
    primary_structure_acronym: str
    specimen_name: str | None = None
    product_id: int | None = None
    strain: str | None = field(default=None, metadata={_LISTED_AS: "strain"})
    sex: str | None = field(default=None, metadata={_LISTED_AS: "gender"})
    injection_volume: float | None = None
    injection_ap: int | None = None
    injection_dv: int | None = None
    injection_ml: int | None = None
    projection_volume: float | None = None
    """The list's ``sum``: projection volume outside the injection in both hemispheres, mm3."""
    injection_structure_ids: tuple[int, ...] = ()
    """Sorted; the order has no meaning upstream."""
    lines: tuple[LineRecord, ...] = ()
    """Sorted by name; empty for wild type."""
    storage_directory: str | None = field(default=None, metadata={_LISTED_AS: "storage_directory"})


LISTED_TEXTS: Mapping[str, str] = {
    each.name: each.metadata[_LISTED_AS] for each in fields(ExperimentRecord) if _LISTED_AS in each.metadata
}
"""The optional texts of a record that have one name in all lists: that name, by field."""


@dataclass(frozen=True, slots=True)
class ExperimentList:
    """A complete experiment list: one snapshot of one kind.

    Attributes
    ----------
    kind : ExperimentSourceKind
    experiments : tuple of ExperimentRecord
        Sorted by id, unique: rows of one id that differ only by line are merged into one record with all lines.
    rows : int
        Rows of the source, duplicates included.
    upstream_date : datetime.date or None
        Date of the list upstream, if known.
    """

    kind: ExperimentSourceKind
    experiments: tuple[ExperimentRecord, ...]
    rows: int
    upstream_date: date | None = None


# API field, column, NumPy dtype: the 19 fields of ProjectionStructureUnionize in the order of the table's columns.
UNIONIZE_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("section_data_set_id", "experiment_id", "i8"),
    ("structure_id", "structure_id", "i8"),
    ("hemisphere_id", "hemisphere_id", "i8"),
    ("is_injection", "is_injection", "?"),
    ("id", "id", "i8"),
    ("sum_pixels", "sum_pixels", "f8"),
    ("sum_projection_pixels", "sum_projection_pixels", "f8"),
    ("sum_pixel_intensity", "sum_pixel_intensity", "f8"),
    ("sum_projection_pixel_intensity", "sum_projection_pixel_intensity", "f8"),
    ("projection_density", "projection_density", "f8"),
    ("projection_intensity", "projection_intensity", "f8"),
    ("projection_energy", "projection_energy", "f8"),
    ("volume", "volume", "f8"),
    ("projection_volume", "projection_volume", "f8"),
    ("normalized_projection_volume", "normalized_projection_volume", "f8"),
    ("max_voxel_density", "max_voxel_density", "f8"),
    ("max_voxel_x", "max_voxel_x", "i8"),
    ("max_voxel_y", "max_voxel_y", "i8"),
    ("max_voxel_z", "max_voxel_z", "i8"),
)
UNIONIZE_COLUMNS: tuple[str, ...] = tuple(column for _, column, _ in UNIONIZE_FIELDS)


@dataclass(frozen=True, slots=True)
class UnionizeTable:
    """Unionize rows of one or more experiments, by column.

    Attributes
    ----------
    columns : mapping of str to ndarray, shape (n_rows,)
        Keys are ``UNIONIZE_COLUMNS``; dtypes as in ``UNIONIZE_FIELDS``. Sorted by (experiment_id, structure_id,
        hemisphere_id, is_injection), keys unique, every number finite.
    parts : frozenset of UnionizePart
        The halves of each experiment's table that the source has completely.
    """

    columns: Mapping[str, NDArray[Any]]
    parts: frozenset[UnionizePart]

    def __len__(self) -> int:
        return len(self.columns["experiment_id"])

    @property
    def experiment_ids(self) -> tuple[int, ...]:
        """Distinct experiment ids, ascending."""
        import numpy as np

        return tuple(int(value) for value in np.unique(self.columns["experiment_id"]))

    def of_parts(self, parts: Collection[UnionizePart]) -> UnionizeTable:
        """The table restricted to these halves."""
        kept = self.parts & frozenset(parts)
        import numpy as np

        wanted = np.isin(self.columns["is_injection"], [UNIONIZE_PARTS[part].is_injection for part in kept])
        return UnionizeTable({name: values[wanted] for name, values in self.columns.items()}, kept)
