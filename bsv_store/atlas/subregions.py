"""The signal of single experiments in subdivisions of a structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bsv_store.atlas.annotation import annotation_facts, stored_annotation
from bsv_store.atlas.masks import StructureVoxels
from bsv_store.atlas.parcellation import Bins, Labels, Parcellation, parcellation
from bsv_store.atlas.signal import Regions, signal_in

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import MeasuredHemisphere, MissingPolicy, Normalization, VolumeKind
    from bsv_store.volumes.files import StoreFiles


def subregion_signal(
    database: Database,
    files: StoreFiles,
    selection: Selection,
    structures: StructureRef | Sequence[StructureRef] | None,
    *,
    bins: Bins | None,
    labels: Labels | None,
    label_names: Mapping[int, str] | Path | str | None,
    kind: VolumeKind,
    spacing_um: int,
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere],
    normalize: Normalization,
    missing: MissingPolicy,
    progress: Progress | None,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.atlas.Atlas.subregions`."""

    def regions() -> Regions:
        found = parcellation(
            database, files, structures, bins=bins, labels=labels, label_names=label_names, spacing_um=spacing_um
        )
        keys = {"label": np.array(found.numbers, np.int64), **arrays_of(found)}
        facts = {} if structures is None else annotation_facts(stored_annotation(database, spacing_um))
        return Regions(keys, StructureVoxels(found.labels, found.members), facts)

    return signal_in(
        database,
        files,
        selection,
        regions,
        kind=kind,
        spacing_um=spacing_um,
        hemisphere=hemisphere,
        normalize=normalize,
        missing=missing,
        progress=progress,
    )


def arrays_of(found: Parcellation) -> dict[str, np.ndarray]:
    """The columns of a parcellation as arrays."""
    return {
        name: np.array(values, object if name == "subregion" else np.float64) for name, values in found.columns.items()
    }
