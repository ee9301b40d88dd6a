"""A store as the source of the routes: another store, or any client of the Allen API, can read from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from bsv_store.catalog.records import UNIONIZE_FIELDS, ExperimentRecord, Ontology
from bsv_store.catalog.tables.unionize_rows import RowCondition
from bsv_store.errors import MissingDataError, UnknownExperimentError
from bsv_store.server.allen.files import ZIP_SPACING_UM, FileDtype, Voxels, ZipMember
from bsv_store.server.allen.rma import Paging, QueryRefusedError
from bsv_store.server.allen.source import UnionizePage

if TYPE_CHECKING:
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import TemplateDtype, VolumeKind

MAX_UNIONIZE_ROWS = 100_000
"""Maximum number of unionize rows in a reply: 38 experiments, 45 MB."""

_DTYPES: dict[TemplateDtype, FileDtype] = {"uint16": "u2", "float32": "f4"}
_COLUMNS = {name: column for name, column, _ in UNIONIZE_FIELDS}


class StoreSource:
    """The data of an open store.

    Withdrawn experiments are not listed, as in Allen's own list, but their unionize rows and volumes are found by id.
    The exclusion list of the store has no effect: it is a judgment of this lab, not a fact about Allen's data.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def ontology(self) -> Ontology:
        """See `AllenSource.ontology`."""
        return self._store.atlas.ontology()

    def experiments(self) -> Sequence[ExperimentRecord]:
        """See `AllenSource.experiments`."""
        return self._store.catalog.experiment_list()

    def unionizes(
        self, conditions: Sequence[RowCondition], order: Sequence[tuple[str, bool]], paging: Paging
    ) -> UnionizePage:
        """See `AllenSource.unionizes`."""
        limit = MAX_UNIONIZE_ROWS + 1 if paging.limit is None else min(paging.limit, MAX_UNIONIZE_ROWS + 1)
        found = self._store.catalog.unionize_rows(
            [RowCondition(_COLUMNS[each.column], each.operator, each.values) for each in conditions],
            order=[(_COLUMNS[name], descending) for name, descending in order],
            start=paging.start,
            limit=limit,
            count=paging.is_counted,
        )
        columns = {name: found.columns[column] for name, column in _COLUMNS.items()}
        size = len(columns["id"])
        if size > MAX_UNIONIZE_ROWS:
            raise QueryRefusedError(
                f"the reply would have more than {MAX_UNIONIZE_ROWS} rows: request fewer experiments or structures, or "
                "pages with num_rows and start_row"
            )
        return UnionizePage(columns, size if found.total is None else found.total)

    def volume(self, experiment_id: int, kind: VolumeKind, spacing_um: int) -> Voxels | None:
        """See `AllenSource.volume`."""
        volumes = self._store.volumes
        try:
            file = volumes.recorded(experiment_id, kind=kind, spacing_um=spacing_um)
        except (MissingDataError, UnknownExperimentError):
            return None
        return Voxels(file.layout.array_sha256, spacing_um, partial(volumes.ml_blocks, file))

    def zip_member(self, experiment_id: int, member: ZipMember) -> Voxels | None:
        """See `AllenSource.zip_member`. A store has no volumes of intensity."""
        kinds: dict[ZipMember, VolumeKind] = {"density": "projection_density", "energy": "projection_energy"}
        return self.volume(experiment_id, kinds[member], ZIP_SPACING_UM) if member in kinds else None

    def annotation(self, spacing_um: int) -> Voxels | None:
        """See `AllenSource.annotation`."""
        atlas = self._store.atlas
        try:
            file = atlas.recorded_annotation(spacing_um=spacing_um)
        except MissingDataError:
            return None
        return Voxels(file.array_sha256, spacing_um, partial(atlas.annotation_ml_blocks, file))

    def template(self, spacing_um: int) -> Voxels | None:
        """See `AllenSource.template`."""
        atlas = self._store.atlas
        try:
            file = atlas.recorded_template(spacing_um=spacing_um)
        except MissingDataError:
            return None
        return Voxels(file.array_sha256, spacing_um, partial(atlas.template_ml_blocks, file), _DTYPES[file.dtype])
