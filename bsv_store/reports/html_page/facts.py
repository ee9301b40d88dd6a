"""Everything that a page shows, read from the store before any HTML is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import DamagedCatalogError, InputError, MissingDataError
from bsv_store.reports.html_page.figures import PageFigure, page_figures
from bsv_store.reports.html_page.quality import AnimalQuality, animal_quality

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from bsv_store.datasets.history.lineage import Lineage
    from bsv_store.datasets.history.stale import StaleReport
    from bsv_store.datasets.provenance import Provenance
    from bsv_store.datasets.share.citation import Citation
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.store.store import Store

# Of all groups together.
_MAX_TARGETS = 400
_FEWEST_TARGETS = 5
_EMPHASIZED_SOURCES = 2
_EMPHASIZED_TARGETS = 2


@dataclass(frozen=True, slots=True)
class PageFacts:
    """Everything that a page shows.

    Attributes
    ----------
    version : DatasetVersion
    experiments : pandas.DataFrame
        The rows of ``store.experiments()``, indexed by id, those left out included.
    figures : tuple of PageFigure
    targets : pandas.DataFrame or None
        The strongest structures of each group, with a column for each hemisphere; None without an annotation, and for a
        comparison by structure.
    targets_missing : str or None
        Why there are no targets.
    colors : mapping of int to str
        Allen's color of each structure, six hexadecimal digits.
    quality : tuple of AnimalQuality
    quality_missing : str or None
        Why no profiles were compared.
    citation, provenance, lineage
        As the methods of `Datasets` return them.
    stale : StaleReport or None
        The changes since the version was computed; None if they are not known.
    stale_missing : str or None
        Why they are not known.
    weights : mapping of int to float
        The weight of each member by experiment id; empty unless the recipe weights experiments.
    """

    version: DatasetVersion
    experiments: pd.DataFrame
    figures: tuple[PageFigure, ...]
    targets: pd.DataFrame | None
    targets_missing: str | None
    colors: Mapping[int, str]
    quality: tuple[AnimalQuality, ...]
    quality_missing: str | None
    citation: Citation
    provenance: Provenance
    lineage: Lineage
    stale: StaleReport | None
    stale_missing: str | None
    weights: Mapping[int, float]


def page_facts(store: Store, version: DatasetVersion, *, with_figures: bool = True) -> PageFacts:
    """Everything that the page of a version shows; without figures it does not need Matplotlib.

    Raises
    ------
    InputError
        If Matplotlib is not installed.
    DamagedFileError
        If the result file is missing or damaged.
    """
    ids = [member.experiment_id for member in version.experiments]
    experiments = store.experiments(Selection(ids=ids, include_excluded=True)).set_index("experiment_id")
    targets, targets_missing = _targets(store, version)
    quality, quality_missing = animal_quality(store, version, experiments)
    root = store.atlas.structure_tree("root") if targets is not None or not version.recipe.has_voxels else ()
    emphasized = _emphasized(version, experiments, targets) if with_figures else []
    return PageFacts(
        version,
        experiments,
        tuple(page_figures(store, version, emphasize=emphasized)) if with_figures else (),
        targets,
        targets_missing,
        {row.id: row.color_hex_triplet for row in root},
        quality,
        quality_missing,
        version.cite(),
        version.provenance(),
        store.datasets.lineage(version),
        *_stale(store, version),
        version.weights() if version.recipe.weight_by != "none" else {},
    )


def _stale(store: Store, version: DatasetVersion) -> tuple[StaleReport | None, str | None]:
    """The changes since the version was computed, or why they are not known: rows of the catalog are damaged."""
    try:
        return store.datasets.stale(version)[0], None
    except DamagedCatalogError as error:
        return None, error.message


def _emphasized(version: DatasetVersion, experiments: pd.DataFrame, targets: pd.DataFrame | None) -> list[str]:
    """The most frequent injected structures, and the strongest of the others over all groups."""
    if targets is None or targets.empty:
        return []
    drawn = set(targets["structure"])
    members = [each for group in version.groups for each in group.experiment_ids]
    injected = experiments.reindex(members)["primary_structure"].value_counts()
    sources = [name for name in injected.index if name in drawn]
    strength = targets.assign(_strength=targets["both"].abs()).groupby("structure")["_strength"].max()
    others = strength.drop(sources).sort_values(ascending=False, kind="stable")
    return [*sources[:_EMPHASIZED_SOURCES], *others.index[:_EMPHASIZED_TARGETS]]


def _targets(store: Store, version: DatasetVersion) -> tuple[pd.DataFrame | None, str | None]:
    """One row for each group and structure, with a column for each hemisphere, strongest first."""
    if not version.recipe.has_voxels:
        # Its own table takes their place.
        return None, None
    limit = max(_FEWEST_TARGETS, _MAX_TARGETS // len(version.groups))
    try:
        frame = store.datasets.regions(version)
    except (MissingDataError, InputError) as error:
        # Without an annotation, or without the structure set of the summary structures.
        return None, str(error)
    names = ["group", "group_label", "structure_id", "structure", "name"]
    sides = list(dict.fromkeys(frame["hemisphere"]))
    voxels = frame[frame["hemisphere"] == "both"].set_index(names)["voxels"]
    wide = frame.pivot(index=names, columns="hemisphere", values="mean")[sides].assign(voxels=voxels)
    strength = wide["both"].abs()
    ordered = wide.assign(_strength=strength).reset_index().sort_values(["group", "_strength"], ascending=[True, False])
    found = ordered[ordered["_strength"] > 0].groupby("group", sort=False).head(limit).drop(columns="_strength")
    found.attrs.update(frame.attrs)
    return found.reset_index(drop=True), None
