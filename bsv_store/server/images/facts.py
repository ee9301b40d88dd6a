"""Facts about versions and experiments that a viewer needs, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bsv_store.averaging.hemisphere import half_names
from bsv_store.server.images.sources import (
    array_unit,
    names_version,
    version_by,
    volume_by,
)
from bsv_store.vocabulary import COMPARISON_MAPS, PLANES, STATISTICS, VOLUME_KINDS
from bsv_store.volumes.grid import ARRAY_AXES, EXTENT_UM, Grid

if TYPE_CHECKING:
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.store.store import Store


def source_facts(store: Store, query: Mapping[str, str]) -> dict[str, Any]:
    """Facts about the version or the volume that a request names.

    Raises
    ------
    InputError, UnknownDatasetError, UnknownExperimentError, MissingDataError
        If a parameter is not valid, or the store does not have what is named.
    """
    return _of_version(version_by(store, query)[0]) if names_version(query) else _of_volume(store, query)


def _of_version(version: DatasetVersion) -> dict[str, Any]:
    recipe = version.recipe
    names = (*recipe.statistics, *recipe.maps)
    return {
        "version": version.ref,
        "content": version.content_sha256,
        "fingerprint": version.fingerprint,
        "title": f"{VOLUME_KINDS[recipe.kind].words[0].upper()}{VOLUME_KINDS[recipe.kind].words[1:]}",
        "quantity": version.quantity,
        "rules": list(version.rules),
        "tags": list(version.tags),
        "experiments": len(version.experiments) - len(version.left_out),
        "groups": [{"number": group.number, "label": group.label, "n": group.n} for group in version.groups],
        "arrays": [
            {
                "name": name,
                "words": (COMPARISON_MAPS[name] if name in COMPARISON_MAPS else STATISTICS[name]).words,
                "unit": array_unit(version, name),
                "has_groups": name not in COMPARISON_MAPS,
                "is_probability": name in COMPARISON_MAPS and COMPARISON_MAPS[name].is_probability,
            }
            for name in names
        ],
        "halves": list(half_names(recipe.hemisphere_rule)),
        **_grid_facts(version.grid),
    }


def _of_volume(store: Store, query: Mapping[str, str]) -> dict[str, Any]:
    experiment_id, kind, spacing_um = volume_by(query)
    there = store.volumes.of_experiment(experiment_id)
    if "spacing_um" not in query and "kind" not in query and there and (kind.name, spacing_um) not in there:
        # What the store has of the experiment, rather than an error.
        name, spacing_um = there[0]
        kind = VOLUME_KINDS[name]
    file = store.volumes.recorded(experiment_id, kind=kind.name, spacing_um=spacing_um)
    row = store.experiments([experiment_id]).iloc[0]
    line, structure = row["transgenic_line"], row["primary_structure"]
    return {
        "experiment": experiment_id,
        "kind": kind.name,
        "content": file.layout.array_sha256,
        "title": f"Experiment {experiment_id}",
        "injection": f"injection in {structure or 'an unknown structure'}, "
        f"{line if isinstance(line, str) and line else 'wild type'}",
        "quantity": f"{kind.words} ({kind.unit})",
        "unit": kind.unit,
        "rules": ["hemispheres as imaged"],
        "volumes": [{"kind": each, "words": VOLUME_KINDS[each].words, "spacing_um": um} for each, um in there],
        "halves": ["left", "right"],
        **_grid_facts(file.layout.grid),
    }


def _grid_facts(grid: Grid) -> dict[str, Any]:
    return {
        "spacing_um": grid.spacing_um,
        "shape": list(grid.shape),
        "extent_um": list(EXTENT_UM),
        "planes": {
            row.name: {
                "across": ARRAY_AXES.index(row.across),
                "right": ARRAY_AXES.index(row.right),
                "down": ARRAY_AXES.index(row.down),
            }
            for row in PLANES.values()
            if row.name in ("coronal", "sagittal", "horizontal")
        },
    }
