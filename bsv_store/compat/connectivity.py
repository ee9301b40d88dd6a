"""``fetch_connectivity_data``: Brain Street View's signature and return values, from the shared store."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.acquisition.presence import check_known
from bsv_store.averaging.grouping.facts import is_known
from bsv_store.averaging.hemisphere import process_volume
from bsv_store.averaging.inputs import MemberInput
from bsv_store.averaging.kernel.accumulator import GroupAccumulator
from bsv_store.averaging.passes import Pass, add_all
from bsv_store.catalog.structures import ancestry
from bsv_store.compat.groups import Groups, make_groups
from bsv_store.compat.inputs import SPACING_UM, Facts, bring_missing, read_facts
from bsv_store.compat.metadata import metadata_file, print_summary, write_metadata
from bsv_store.compat.pooled import injection_rows, injection_tables
from bsv_store.compat.request import Request, checked_request
from bsv_store.datasets.compute import damaged_inputs
from bsv_store.errors import InputError, MissingDataError, RecipeError
from bsv_store.store.opening import open_store
from bsv_store.text import listed
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import read_array

if TYPE_CHECKING:
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import HemisphereRule, Side

_NAMED = 10


def fetch_connectivity_data(
    experiment_ids: Sequence[int],
    save_location: str | Path,
    file_name: str,
    normalization_method: str,
    subtract_other_hemisphere: bool,
    grouping_method: str = "",
    allen_atlas_path: str = "",
    load_all: bool = False,
    input_regions: Sequence[str] | None = None,
    region_groups: Sequence[int] | None = None,
    export_metadata: bool = True,
    reload: bool = False,
    atlas_type: str = "allen",
    atlas_resolution: int = 10,
    grouping_bins: int = 5,
    *,
    bsv_rules: bool = False,
    store: Store | None = None,
    offline: bool = False,
    missing: str = "error",
    api_url: str | None = None,
) -> tuple[NDArray[np.float64], dict[str, list[Any]], NDArray[np.float64] | None, dict[str, Any]]:
    """Average projection density by group, injection rows, individual volumes, and what is known of the experiments.

    Parameters
    ----------
    experiment_ids : sequence of int
        Each counts once.
    save_location : path
        If it holds a Brain Street View cache, what the store lacks is adopted from it. The metadata CSV goes there; a
        folder that is missing is made for it, and for nothing else. '' means no folder: no cache, no CSV.
    file_name : str
        The CSV is ``<file_name>_metadata.csv``; '' means connectivity_data.
    normalization_method : {'none', 'injectionVolume', 'injectionIntensity'}
        The last two are one: divide by the injection volume (mm3).
    subtract_other_hemisphere : bool
        On the injected side, the volume minus its mirror image; zero on the other.
    grouping_method : {'', 'AP', 'DV', 'ML'}
    allen_atlas_path, atlas_resolution
        Taken and not needed: nothing here reads the annotation.
    load_all : bool
        Also return every processed volume: 9.6 MB each.
    input_regions, region_groups : sequences, optional
        Acronyms, and the number of the group of each; overrides ``grouping_method``.
    export_metadata : bool
        Write the CSV.
    reload : bool
        Fetch again what the store has.
    grouping_bins : int
    bsv_rules : bool
        Compute as Brain Street View does, with what it gets wrong.
    store : Store, optional
        By default the one that ``open_store()`` finds.
    offline : bool
        Open no connection; what is missing is then missing.
    missing : {'error', 'leave_out'}
        What becomes of experiments whose volume, injection rows or injected side are not to be had. Those left out
        are in ``region_info['left_out']``. A volume file that is damaged is an error in any case. Under ``bsv_rules``
        Brain Street View's own way holds instead.
    api_url : str, optional

    Returns
    -------
    combined : ndarray of float64, shape (ap, dv, ml, groups)
    injection_info : dict of str to list
        The unionize rows inside the injections, pooled by column. They are read from the store when first looked at;
        if somebody has replaced them by then, that is a StoreError.
    individual : ndarray of float64, shape (ap, dv, ml, n_ids), or None
        In call order; zero for those left out or missing.
    region_info : dict
        experimentIDs, primaryStructure_ID, _abbreviation, _AP, _DV, _ML (um; NaN where not known, 0 under
        ``bsv_rules``), group_centers, grouping_axis, group_edges, group_sizes (volumes that went in), left_out.

    Raises
    ------
    UnknownExperimentError
        If the catalog lacks an experiment; before any work.
    MissingDataError
        If inputs are missing and ``missing`` is 'error'.
    RecipeError, InputError
        On an unknown method, or lists that do not fit.
    """
    if reload and offline:
        raise InputError("reload and offline contradict each other", hint="Reloading needs a connection.")
    if missing not in ("error", "leave_out"):
        raise RecipeError(f"missing cannot be {missing!r}", hint="It is 'error' or 'leave_out'.")
    request = checked_request(
        experiment_ids,
        normalization_method=normalization_method,
        subtract_other_hemisphere=subtract_other_hemisphere,
        grouping_method=grouping_method,
        grouping_bins=grouping_bins,
        input_regions=input_regions,
        region_groups=region_groups,
        atlas_type=atlas_type,
    )
    folder = Path(save_location) if save_location else None
    if store is None:
        with open_store() as opened:
            call = _Call(opened, request, bsv_rules=bsv_rules, missing=missing)
            return call.run(folder, file_name, load_all, export_metadata, reload, offline, api_url)
    call = _Call(store, request, bsv_rules=bsv_rules, missing=missing)
    return call.run(folder, file_name, load_all, export_metadata, reload, offline, api_url)


class _Call:
    """One call: gathers, groups, computes, reports."""

    def __init__(self, store: Store, request: Request, *, bsv_rules: bool, missing: str) -> None:
        self.store = store
        self.request = request
        self.bsv_rules = bsv_rules
        self.missing = missing

    def run(
        self,
        folder: Path | None,
        file_name: str,
        load_all: bool,
        export_metadata: bool,
        reload: bool,
        offline: bool,
        api_url: str | None,
    ) -> tuple[NDArray[np.float64], dict[str, list[Any]], NDArray[np.float64] | None, dict[str, Any]]:
        """The return values of the call."""
        ids = self.request.experiment_ids
        check_known(self.store.database, ids)
        # Before any work: a folder that cannot be made would otherwise cost all of it.
        metadata = metadata_file(folder, file_name) if export_metadata and folder is not None else None
        reasons = bring_missing(self.store, ids, folder=folder, offline=offline, reload=reload, api_url=api_url)
        with self.store.database.reading() as connection:
            tables = injection_tables(connection, ids)
            facts = read_facts(connection, ids, tables)
            tree = ancestry(connection) if self.request.regions else {}
        print_summary(facts)
        usable, left_out = self._usable(facts, reasons, reload=reload)
        groups = make_groups(self.request, usable, tree, bsv_rules=self.bsv_rules)
        left_out |= groups.left_out
        combined, individual, sizes = self._compute(usable, groups, load_all)
        if metadata is not None:
            write_metadata(metadata, facts, bsv_rules=self.bsv_rules)
        info = self._region_info(usable if self.bsv_rules else facts, groups, sizes, left_out)
        return combined, injection_rows(self.store.path, ids, tables), individual, info

    def _usable(
        self, facts: Sequence[Facts], reasons: Mapping[int, str], *, reload: bool
    ) -> tuple[list[Facts], dict[int, str]]:
        """The experiments that can go in, and why the others cannot."""
        if self.bsv_rules:
            for experiment_id, reason in reasons.items() if reload else ():
                warnings.warn(f"experiment {experiment_id} could not be fetched again: {reason}", stacklevel=5)
            return [_as_bsv_sees(item) for item in facts], {}
        left_out = {}
        for item in facts:
            lacking = self._lacking(item)
            if lacking is None and reload and item.experiment_id in reasons:
                lacking = "what the store has could not be fetched again"
            if lacking is not None:
                upstream = reasons.get(item.experiment_id)
                left_out[item.experiment_id] = f"{lacking} ({upstream})" if upstream else lacking
        if left_out and self.missing == "error":
            named = listed((f"{i}: {reason}" for i, reason in left_out.items()), limit=_NAMED, separator="; ")
            raise MissingDataError(
                f"{len(left_out)} of {len(facts)} experiments lack what the average needs: {named}",
                hint="Bring it: bsv-store fetch, bsv-store sync unionizes. Or call with missing='leave_out'.",
            )
        usable = [item for item in facts if item.experiment_id not in left_out]
        if not usable:
            raise MissingDataError("none of the experiments has what the average needs", hint="Bring it first.")
        return usable, left_out

    def _lacking(self, item: Facts) -> str | None:
        if item.volume is None:
            return "no projection density in the store"
        if self.request.normalize and not item.injection_volume:
            return "no injection volume" if item.has_summary else "no unionize rows in the store"
        if self.request.subtract and item.injected_hemisphere is None:
            return "the injected hemisphere is not known"
        return None

    def _compute(
        self, usable: Sequence[Facts], groups: Groups, load_all: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, list[int]]:
        grid = Grid(SPACING_UM)
        rule: HemisphereRule = "subtract_contralateral" if self.request.subtract else "none"
        facts = {item.experiment_id: item for item in usable}
        inputs: list[MemberInput] = []
        for group, members in enumerate(groups.members):
            for item in map(facts.__getitem__, members):
                if item.volume is not None:
                    divisor, side = self._divisor(item), self._side(item)
                    inputs.append(MemberInput(item.experiment_id, group, item.volume, divisor, side))
        accumulator = GroupAccumulator(grid, len(groups.members), hemisphere_rule=rule)
        work = Pass(range(len(groups.members)), (0, grid.shape[0]), tuple(inputs))
        damaged = add_all(accumulator, self.store.files, work)
        if damaged:
            raise damaged_inputs(damaged, can_leave_out=False)
        individual = self._individual(inputs, rule) if load_all else None
        sizes = [0] * len(groups.members)
        for member in inputs:
            sizes[member.group] += 1
        combined: NDArray[np.float64] = accumulator.finish("float64").mean.astype(np.float64, copy=False)
        if self.bsv_rules:
            # Brain Street View divides by the size of the group, downloads that failed included.
            for group, members in enumerate(groups.members):
                if members and sizes[group] < len(members):
                    combined[group] *= sizes[group] / len(members)
        return np.moveaxis(combined, 0, -1), individual, sizes

    def _individual(self, members: Sequence[MemberInput], rule: HemisphereRule) -> NDArray[np.float64]:
        """Each volume as it goes into the average, shape (ap, dv, ml, n_ids)."""
        places = {identifier: number for number, identifier in enumerate(self.request.experiment_ids)}
        result = np.zeros((*Grid(SPACING_UM).shape, len(places)))
        for member in members:
            result[..., places[member.experiment_id]] = process_volume(
                read_array(self.store.files, member.volume),
                divisor=member.divisor,
                hemisphere_rule=rule,
                injected=member.injected,
            )
        return result

    def _divisor(self, item: Facts) -> float:
        if not self.request.normalize:
            return 1.0
        if item.injection_volume:
            return item.injection_volume
        warnings.warn(
            f"experiment {item.experiment_id} has no injection volume: as in Brain Street View, it is averaged without"
            " being normalized, together with others that are",
            stacklevel=5,
        )
        return 1.0

    def _side(self, item: Facts) -> Side | None:
        if not self.request.subtract:
            return None
        # Brain Street View compares um with a voxel index, so that every injection counts as right.
        if self.bsv_rules or item.injected_hemisphere == "right":
            return "right"
        return "left"

    def _region_info(
        self, facts: Sequence[Facts], groups: Groups, sizes: list[int], left_out: Mapping[int, str]
    ) -> dict[str, Any]:
        unknown = 0.0 if self.bsv_rules else np.nan
        coordinates = {
            axis: np.array([_or(getattr(item, f"injection_{axis.lower()}"), unknown) for item in facts], np.float64)
            for axis in ("AP", "DV", "ML")
        }
        return {
            "experimentIDs": list(self.request.experiment_ids),
            "primaryStructure_ID": np.array([item.primary_structure_id for item in facts], np.int64),
            "primaryStructure_abbreviation": [item.primary_structure for item in facts],
            **{f"primaryStructure_{axis}": values for axis, values in coordinates.items()},
            "group_centers": None if groups.centers is None else np.array(groups.centers, np.float64),
            "grouping_axis": groups.axis,
            "group_edges": None if groups.edges is None else np.array(groups.edges, np.float64),
            "group_sizes": sizes,
            "left_out": dict(left_out),
        }


def _as_bsv_sees(item: Facts) -> Facts:
    """An experiment without injection rows has neither structure nor coordinate for Brain Street View."""
    if item.has_summary:
        return item
    return replace(
        item, primary_structure="", primary_structure_id=0, injection_ap=None, injection_dv=None, injection_ml=None
    )


def _or(coordinate: float | None, unknown: float) -> float:
    return float(coordinate) if coordinate is not None and is_known(coordinate) else unknown
