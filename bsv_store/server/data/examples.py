"""Addresses of examples for the page about the API, with names of what the store has, so that each link works."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import BsvStoreError, DamagedCatalogError, MissingDataError
from bsv_store.server.data.experiments import experiment_row
from bsv_store.server.data.listed_versions import listed_versions

if TYPE_CHECKING:
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.server.data.operation import Described
    from bsv_store.store.store import Store

Need = Literal["nothing", "ontology", "experiment", "unionizes", "volume", "annotation", "version", "regions", "table"]
"""What the store must have for an example.

``unionizes`` is an experiment with its whole unionize table, ``volume`` one with its projection density at 100 um,
``regions`` an average with an annotation at its spacing, and ``table`` a comparison by structure.
"""

_EXPERIMENTS: Final[Mapping[Need, Selection]] = {
    "experiment": Selection(),
    "unionizes": Selection(with_unionizes=True),
    "volume": Selection(with_volume="projection_density"),
}
_POINT: Final = "8000,1500,8500"
_ID_NEEDED = re.compile(r"[0-9]+|.*[^A-Za-z0-9-].*", re.DOTALL)
# Opening one takes milliseconds, and only the newest are likely to be of interest.
_VERSIONS: Final = 20

Values = Mapping[str, str]

# By the name of the operation. Operations that are not listed need nothing.
NEEDS: Final[Mapping[str, Need | None]] = {
    "structure": "ontology",
    "experiment": "experiment",
    "matrix": "unionizes",
    "signal": "unionizes",
    "rank_structures": "unionizes",
    "search_sources": "unionizes",
    "search_targets": "unionizes",
    "search_targets_of": "unionizes",
    "search_sources_of": "unionizes",
    "search_correlation": "unionizes",
    "search_point": "volume",
    "volume": "volume",
    "image_info": "volume",
    "image_range": "volume",
    "image_precomputed_experiment": "volume",
    "voxel_counts": "annotation",
    "image_position": "annotation",
    "image_outlines": "annotation",
    "version": "version",
    "members": "version",
    "stale": "version",
    "lineage": "version",
    "cite": "version",
    "diff": "version",
    "regions": "regions",
    "image_precomputed_version": "regions",
    "comparison": "table",
    # It reads the volumes of all members.
    "animal_regions": None,
}
# Optional parameters without which an address is refused, or returns too much for an example.
ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "matrix": ("selection", "targets"),
    "signal": ("selection",),
    "rank_structures": ("selection",),
    "search_targets_of": ("selection",),
    "search_point": ("selection",),
    "voxel_counts": ("structures",),
    "image_info": ("experiment",),
    "image_range": ("experiment",),
    "image_outlines": ("at_um",),
    "regions": ("structures",),
    "allen_query": ("q",),
}


class Examples:
    """The examples of one state of a store.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._values: dict[Need, Values] = {"nothing": {}}
        structures = store.atlas.ontology().structures
        if not structures:
            return
        root = _name(structures[0].acronym, structures[0].id)
        self._values["ontology"] = {"structure": root}
        if _has_annotation(store, 100):
            self._values["annotation"] = {"structure": root, "structures": root, "at_um": "6600"}
        for need, wanted in _EXPERIMENTS.items():
            if ids := store.select(wanted):
                with suppress(DamagedCatalogError):
                    # A damaged experiment is not used as an example.
                    self._values[need] = _of_experiment(store, ids[0])
        self._add_versions(store, root)

    def query(self, operation: Described) -> dict[str, str] | None:
        """The parameters of an example, including those in the path; None if the store does not have its data."""
        need = NEEDS.get(operation.name, "nothing")
        if need is None or (values := self._values.get(need)) is None:
            return None
        wanted = ALSO.get(operation.name, ())
        found = {}
        for each in operation.parameters:
            if each.name in operation.path_names or each.is_required or each.name in wanted:
                value = values.get(each.name, each.example)
                if value is None:
                    return None
                found[each.name] = str(value)
        return found

    def _add_versions(self, store: Store, root: str) -> None:
        newest = listed_versions(store).sort_values("created_at", ascending=False, kind="stable")
        for row in newest.head(_VERSIONS).itertuples():
            try:
                version = store.dataset(f"{row.name}@{row.number}")
            except BsvStoreError:
                # Deleted meanwhile, or damaged.
                continue
            values = {"ref": version.ref, "version": version.ref, "other": version.ref}
            self._values.setdefault("version", values)
            if version.recipe.structure_comparison is not None:
                self._values.setdefault("table", values)
            elif _is_average(version) and _has_annotation(store, version.recipe.spacing_um):
                more = {"structures": root, "statistic": "mean", "group": "0"}
                self._values.setdefault("regions", {**values, **more})


def _of_experiment(store: Store, experiment_id: int) -> Values:
    (row,) = experiment_row(store, experiment_id).itertuples()
    structure = _name(row.primary_structure, row.primary_structure_id)
    identifier = str(experiment_id)
    return {
        **dict.fromkeys(("experiment_id", "experiment", "selection"), identifier),
        **dict.fromkeys(("structures", "target", "targets"), structure),
        **{"point": _POINT, "kind": "projection_density", "spacing_um": "100"},
    }


def _name(acronym: str, identifier: int) -> str:
    """The acronym, or the id if the acronym has a meaning in an address: a comma, a slash, only digits."""
    return str(identifier) if _ID_NEEDED.fullmatch(acronym) else acronym


def _is_average(version: DatasetVersion) -> bool:
    return version.recipe.has_voxels and version.recipe.voxel_comparison is None


def _has_annotation(store: Store, spacing_um: int) -> bool:
    try:
        store.atlas.recorded_annotation(spacing_um=spacing_um)
    except MissingDataError:
        return False
    return True
