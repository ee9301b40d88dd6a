"""The synthetic atlas as the source of the routes of the Allen API."""

from __future__ import annotations

from collections.abc import Sequence

from bsv_store.catalog.records import ExperimentRecord, Ontology
from bsv_store.catalog.tables.unionize_rows import RowCondition
from bsv_store.server.allen import rma
from bsv_store.server.allen.files import Voxels, ZipMember
from bsv_store.server.allen.rma import Paging
from bsv_store.server.allen.source import UnionizePage
from bsv_store.server.allen.wire import UNIONIZE_TYPES
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import wire, wire_volumes
from bsv_store_synthetic.atlas import SyntheticAtlas

_ID = "section_data_set_id"


class AtlasSource:
    """The data of a synthetic atlas, computed on demand.

    Parameters
    ----------
    atlas : SyntheticAtlas
    """

    def __init__(self, atlas: SyntheticAtlas) -> None:
        self._atlas = atlas

    def ontology(self) -> Ontology:
        """See `AllenSource.ontology`."""
        return self._atlas.ontology

    def experiments(self) -> Sequence[ExperimentRecord]:
        """See `AllenSource.experiments`."""
        return [wire.record_of(self._atlas.experiment(i)) for i in self._atlas.experiment_ids]

    def unionizes(
        self, conditions: Sequence[RowCondition], order: Sequence[tuple[str, bool]], paging: Paging
    ) -> UnionizePage:
        """See `AllenSource.unionizes`."""
        on_id = [each for each in conditions if each.column == _ID]
        ids = [i for i in self._atlas.experiment_ids if all(each.holds(i) for each in on_id)]
        every = (row for i in ids for row in wire.unionize_rows(self._atlas, i))
        found = rma.selected(every, conditions, order)
        page = found[paging.start : None if paging.limit is None else paging.start + paging.limit]
        columns = {name: [row[name] for row in page] for name in UNIONIZE_TYPES}
        return UnionizePage(columns, len(found) if paging.is_counted else len(page))

    def volume(self, experiment_id: int, kind: VolumeKind, spacing_um: int) -> Voxels | None:
        """See `AllenSource.volume`."""
        if experiment_id not in self._atlas or spacing_um not in wire_volumes.NRRD_SPACINGS_UM:
            return None
        return wire_volumes.repeated(
            self._identity(experiment_id, kind), spacing_um, lambda: self._atlas.volume(experiment_id, kind)
        )

    def zip_member(self, experiment_id: int, member: ZipMember) -> Voxels | None:
        """See `AllenSource.zip_member`."""
        if experiment_id not in self._atlas:
            return None
        if member == "density":
            return self.volume(experiment_id, "projection_density", 100)
        if member == "energy":
            return self.volume(experiment_id, "projection_energy", 100)
        return wire_volumes.repeated(
            self._identity(experiment_id, member), 100, lambda: wire_volumes.intensity(self._atlas, experiment_id)
        )

    def annotation(self, spacing_um: int) -> Voxels | None:
        """See `AllenSource.annotation`."""
        return self._atlas.anatomy.annotation_voxels(spacing_um)

    def template(self, spacing_um: int) -> Voxels | None:
        """See `AllenSource.template`."""
        return self._atlas.anatomy.template_voxels(spacing_um)

    def _identity(self, experiment_id: int, name: str) -> str:
        return f"{self._atlas.anatomy.identity} {self._atlas.seed} {experiment_id} {name}"
