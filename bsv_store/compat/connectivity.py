"""``fetch_connectivity_data``: Brain Street View's signature and return values, from the shared store."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from bsv_store.acquisition.fill import fetch_damaged
from bsv_store.averaging.grouping.bins import make_bins
from bsv_store.averaging.grouping.grouping import CoordinateGrouping
from bsv_store.averaging.inputs import Inputs, check_recipe_inputs, gather_inputs
from bsv_store.catalog.selection.resolve import resolve_nonempty
from bsv_store.catalog.structures import find_structures
from bsv_store.catalog.volume_use import record_use
from bsv_store.compat import bsv_rules as bsv
from bsv_store.compat.averaging import Individuals, group_means
from bsv_store.compat.experiments import read_experiments, read_injections
from bsv_store.compat.fetching import fetch_missing
from bsv_store.compat.metadata import metadata_file, print_summary, write_metadata
from bsv_store.compat.pooled import injection_rows, injection_tables
from bsv_store.compat.request import Request, checked_request
from bsv_store.datasets.compute import DamagedInputsError, not_replaced
from bsv_store.errors import InputError, MissingDataError
from bsv_store.store.opening import open_store
from bsv_store.text import listed, number_of
from bsv_store.volumes.grid import ARRAY_AXES

if TYPE_CHECKING:
    from bsv_store.averaging.grouping.facts import ExperimentFacts
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import MissingPolicy

_Answer = tuple[NDArray[np.float64], dict[str, list[Any]], NDArray[np.float64] | None, dict[str, Any]]


def fetch_connectivity_data(
    experiment_ids: Sequence[int],
    save_location: str | Path,
    file_name: str,
    normalization_method: str,
    subtract_other_hemisphere: bool,
    grouping_method: str = "",
    allen_atlas_path: str = "",
    load_all: bool = False,
    input_regions: Sequence[str] | str | None = None,
    region_groups: Sequence[int] | int | None = None,
    export_metadata: bool = True,
    reload: bool = False,
    atlas_type: str = "allen",
    atlas_resolution: int = 10,
    grouping_bins: int = 5,
    *,
    bsv_rules: bool = False,
    store: Store | None = None,
    offline: bool = False,
    missing: MissingPolicy = "error",
    include_excluded: bool = False,
    api_url: str | None = None,
) -> _Answer:
    """Mean projection density by group, injection rows, individual volumes, and information on the experiments.

    The mean is that of the recipe ``Recipe(selection=Selection(ids=experiment_ids), dtype="float64", ...)``; no dataset
    is written.

    Parameters
    ----------
    experiment_ids : sequence of int
        Duplicates count once. Withdrawn experiments are used; experiments on the exclusion list are an error.
    save_location : path
        If this folder holds a Brain Street View cache, missing data are adopted from it. The metadata CSV is written
        there, and the folder is created for it if necessary. '' means no folder: no cache, no CSV.
    file_name : str
        The CSV is ``<file_name>_metadata.csv``; '' means connectivity_data.
    normalization_method : {'none', 'injectionVolume', 'injectionIntensity'}
        The last two are the same: divide by the injection volume (mm3).
    subtract_other_hemisphere : bool
        On the injected side, subtract the mirror image; set the other side to zero.
    grouping_method : {'', 'AP', 'DV', 'ML'}
        Axis of the injection coordinate to bin by; '' means one group.
    allen_atlas_path, atlas_resolution
        Ignored: the annotation is not needed.
    load_all : bool
        Also return every processed volume: 9.6 MB each.
    input_regions, region_groups : sequences, optional
        Acronyms, and a group number for each; override ``grouping_method``.
    export_metadata : bool
        Write the CSV.
    reload : bool
        Also download what the store has.
    grouping_bins : int
        Number of bins of equal width.
    bsv_rules : bool
        Compute as Brain Street View does, errors included.
    store : Store, optional
        By default the one that ``open_store()`` finds.
    offline : bool
        Open no connection.
    missing : {'error', 'leave_out'}
        What to do about experiments whose volume, injection volume or injected hemisphere is missing. Those left out
        are listed in ``region_info['left_out']``. Under ``bsv_rules`` missing data are treated as Brain Street View
        does.
    include_excluded : bool
        Also use experiments on the exclusion list.
    api_url : str, optional
        Base URL of the Allen API.

    Returns
    -------
    combined : ndarray of float64, shape (ap, dv, ml, groups)
    injection_info : dict of str to list
        The unionize rows inside the injections, pooled by column. They are read from the store on first access; if
        they have been replaced by then, a StoreError is raised.
    individual : ndarray of float64, shape (ap, dv, ml, n_ids), or None
        In call order; zero for those left out or missing.
    region_info : dict
        experimentIDs, primaryStructure_ID, _abbreviation, _AP, _DV, _ML (um; NaN if unknown, 0 under ``bsv_rules``),
        group_centers, grouping_axis, group_edges, group_sizes (number of volumes averaged), left_out (reason by id).

    Raises
    ------
    UnknownExperimentError, UnknownStructureError
        If the catalog does not have an experiment or region; before anything is downloaded.
    MissingDataError
        If inputs are missing and ``missing`` is 'error'.
    DamagedFileError
        If the file of a volume is damaged, and it is ``offline`` or could not be fetched again.
    RecipeError, InputError
        If an argument is not valid.
    """
    if reload and offline:
        raise InputError("reload and offline cannot be combined", hint="Reloading needs a connection.")
    request = checked_request(
        experiment_ids,
        normalization_method=normalization_method,
        subtract_other_hemisphere=subtract_other_hemisphere,
        grouping_method=grouping_method,
        grouping_bins=grouping_bins,
        input_regions=input_regions,
        region_groups=region_groups,
        atlas_type=atlas_type,
        missing=missing,
        include_excluded=include_excluded,
        bsv_rules=bsv_rules,
    )
    if request.repeated:
        warnings.warn(f"{request.repeated} experiment ids are repeated; each counts once", stacklevel=2)
    folder = Path(save_location) if save_location else None
    with nullcontext(store) if store is not None else open_store() as opened:
        _check_names(opened, request, bsv_rules=bsv_rules)
        # Checked before any work, since the folder may not be writable.
        metadata = metadata_file(folder, file_name) if export_metadata and folder is not None else None
        failures = fetch_missing(opened, request, folder=folder, offline=offline, reload=reload, api_url=api_url)
        call = _Call(opened, request, failures, bsv_rules=bsv_rules, reload=reload, offline=offline, api_url=api_url)
        return call.answer(metadata, load_all=load_all)


def _check_names(store: Store, request: Request, *, bsv_rules: bool) -> None:
    with store.database.reading() as connection:
        resolve_nonempty(connection, request.recipe.selection)
        if request.regions and not bsv_rules:
            find_structures(connection, [acronym for acronym, _ in request.regions])


@dataclass(frozen=True, slots=True)
class _Found:
    """The data of the catalog for a call, read in one transaction.

    Attributes
    ----------
    seen : list of ExperimentFacts
        The facts for region_info; under ``bsv_rules`` those that Brain Street View has.
    warnings : tuple of str
    """

    inputs: Inputs
    experiments: list[ExperimentFacts]
    seen: list[ExperimentFacts]
    injections: dict[int, tuple[float, float]]
    tables: dict[int, str]
    warnings: tuple[str, ...]


class _Call:
    """A call whose missing data have been fetched.

    Parameters
    ----------
    failures : mapping of int to str
        Experiments whose data could not be adopted or downloaded, and why.
    """

    def __init__(
        self,
        store: Store,
        request: Request,
        failures: Mapping[int, str],
        *,
        bsv_rules: bool,
        reload: bool,
        offline: bool,
        api_url: str | None,
    ) -> None:
        self._store = store
        self._offline = offline
        self._api_url = api_url
        self._request = request
        self._failures = failures
        self._bsv_rules = bsv_rules
        # The store still has the old data, but new data were requested.
        self._unusable = {i: f"could not be downloaded again: {why}" for i, why in failures.items()} if reload else {}

    def answer(self, metadata: Path | None, *, load_all: bool) -> _Answer:
        """The return values of the call; the CSV is written where its path is given."""
        request = self._request
        fetched: set[int] = set()
        while True:
            found = self._read(self._unusable, with_injections=metadata is not None)
            individuals = Individuals(request.recipe, request.experiment_ids) if load_all else None
            record_use(self._store.database, found.inputs.files())
            try:
                means = group_means(self._store.files, found.inputs, individuals)
                break
            except DamagedInputsError as error:
                if self._offline or not error.damaged.keys().isdisjoint(fetched):
                    raise
                fetched |= error.damaged.keys()
                self._fetch_again(error)
        print_summary(found.experiments)
        for warning in found.warnings:
            warnings.warn(warning, stacklevel=3)
        if self._bsv_rules:
            bsv.divide_by_group_size(means, found.inputs)
        if metadata is not None:
            unknown = bsv.UNKNOWN_COORDINATE if self._bsv_rules else ""
            write_metadata(metadata, found.experiments, found.injections, unknown=unknown)
        pooled = injection_rows(self._store.url or self._store.path, request.experiment_ids, found.tables)
        individual = None if individuals is None else individuals.array()
        return np.moveaxis(means, 0, -1), pooled, individual, self._region_info(found)

    def _fetch_again(self, error: DamagedInputsError) -> None:
        recipe = self._request.recipe
        reasons = fetch_damaged(
            self._store.database,
            self._store.files,
            sorted(error.damaged),
            kinds=recipe.kinds,
            spacing_um=recipe.spacing_um,
            api_url=self._api_url,
        )
        if reasons:
            raise not_replaced(error, reasons) from error

    def _read(self, unusable: Mapping[int, str], *, with_injections: bool) -> _Found:
        ids = self._request.experiment_ids
        with self._store.database.reading() as connection:
            tables = injection_tables(connection, ids)
            experiments = read_experiments(connection, ids)
            injections = read_injections(connection, ids) if with_injections else {}
            if not self._bsv_rules:
                return _Found(self._gather(connection, unusable), experiments, experiments, injections, tables, ())
            check_recipe_inputs(connection, self._request.recipe, ids)
            seen = [each if each.experiment_id in tables else bsv.without_facts(each) for each in experiments]
            inputs, unnormalized = bsv.gather_inputs(connection, self._request, seen)
        notes = [f"experiment {experiment_id} {reason}" for experiment_id, reason in unusable.items()]
        notes += [
            f"experiment {experiment_id} has no injection volume: as in Brain Street View, it is averaged without being"
            " normalized, together with others that are"
            for experiment_id in unnormalized
        ]
        return _Found(inputs, experiments, seen, injections, tables, tuple(notes))

    def _gather(self, connection: Connection, unusable: Mapping[int, str]) -> Inputs:
        recipe = self._request.recipe
        if self._unusable and recipe.missing == "error":
            count = number_of(len(self._unusable), "experiment")
            raise MissingDataError(
                f"{count} could not be downloaded again: {_listed(self._failures)}",
                hint="Call with reload=False to use the data in the store, or with missing='leave_out'.",
            )
        try:
            return gather_inputs(connection, recipe, unusable=unusable)
        except MissingDataError as error:
            if not self._failures:
                raise
            raise MissingDataError(f"{error.message} ({_listed(self._failures)})", hint=error.hint) from error

    def _region_info(self, found: _Found) -> dict[str, Any]:
        inputs, experiments = found.inputs, found.seen
        unknown = bsv.UNKNOWN_COORDINATE if self._bsv_rules else np.nan
        coordinates = {
            axis: np.array([_or(each.coordinate(axis), unknown) for each in experiments], np.float64)
            for axis in ARRAY_AXES
        }
        sizes = Counter(member.group for member in inputs.members)
        return {
            "experimentIDs": list(self._request.experiment_ids),
            "primaryStructure_ID": np.array([each.primary_structure_id for each in experiments], np.int64),
            "primaryStructure_abbreviation": [each.primary_structure for each in experiments],
            **{f"primaryStructure_{axis}": values for axis, values in coordinates.items()},
            **_bins(inputs, experiments),
            "group_sizes": [sizes[group.number] for group in inputs.groups],
            "left_out": {left.experiment_id: self._reason(left.experiment_id, left.reason) for left in inputs.left_out},
        }

    def _reason(self, experiment_id: int, reason: str) -> str:
        failure = self._failures.get(experiment_id)
        return reason if failure is None or failure in reason else f"{reason} ({failure})"


def _bins(inputs: Inputs, experiments: Sequence[ExperimentFacts]) -> dict[str, Any]:
    """The parts of region_info on grouping by coordinate."""
    grouping = inputs.recipe.grouping
    if not isinstance(grouping, CoordinateGrouping):
        return {"group_centers": None, "grouping_axis": None, "group_edges": None}
    centers = [np.nan if group.center_um is None else group.center_um for group in inputs.groups]
    grouped = {experiment_id for group in inputs.groups for experiment_id in group.experiment_ids}
    coordinates = (each.coordinate(grouping.axis) for each in experiments if each.experiment_id in grouped)
    # The edges of all bins; groups have only the edges of bins with experiments.
    bins = make_bins(grouping, [value for value in coordinates if value is not None])
    return {
        "group_centers": np.array(centers, np.float64),
        "grouping_axis": grouping.axis,
        "group_edges": None if bins is None else np.array(bins.edges, np.float64),
    }


def _or(coordinate: float | None, unknown: float) -> float:
    return unknown if coordinate is None else coordinate


def _listed(reasons: Mapping[int, str]) -> str:
    return listed((f"{experiment_id}: {reason}" for experiment_id, reason in reasons.items()), separator="; ")
