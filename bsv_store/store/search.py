"""``store.search``: the searches of the Allen web site, offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bsv_store.catalog.selection.selection import selection_or_all

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.vocabulary import (
        AnimalWeight,
        InjectionScope,
        Measure,
        MeasuredHemisphere,
        MissingPolicy,
        VolumeKind,
    )
    from bsv_store.volumes.files import StoreFiles


class Search:
    """Searches for experiments: ``store.search``.

    `targets_of` and `sources_of` rank structures. Every other search returns a DataFrame with one row per experiment,
    best first: the columns experiment_id, primary_structure, transgenic_line, product_id, injected_hemisphere,
    injection_volume (mm3), injection_ap, injection_dv, injection_ml (um), then the columns of the search. The keyword
    ``selection`` narrows a search to the selected experiments; by default all experiments are searched that are neither
    withdrawn nor on the exclusion list.

    Names that the catalog does not have raise `UnknownStructureError`, `UnknownExperimentError` or `SelectionError`.
    An experiment on the exclusion list that is named by id raises `ExcludedExperimentError`.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    """

    def __init__(self, database: Database, files: StoreFiles) -> None:
        self._database = database
        self._files = files

    def sources(
        self,
        structures: StructureRef | Sequence[StructureRef],
        *,
        selection: SelectionLike | None = None,
        injection: InjectionScope = "primary",
        domain: StructureRef | Sequence[StructureRef] | None = None,
        hemisphere: MeasuredHemisphere = "both",
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Experiments injected in the structures or their descendants, those with the most signal first.

        Columns: injection_overlap (share of the injection volume inside the structures, 0 to 1; NaN where the store
        does not have the unionize rows inside the injection site) and projection_volume (mm3 outside the injection
        site, in the domain; NaN where the store does not have the experiment's unionize table). Which experiments are
        found does not depend on unionize tables.

        Parameters
        ----------
        structures : str, int or sequence of them
            Acronyms (case matters) or ids.
        selection : Selection or experiment ids, optional
            Search these experiments only.
        injection : {'primary', 'any'}
            Whether the structure must be the primary injection structure, or may be a secondary one.
        domain : str, int or sequence of them, optional
            Structures in which the signal is measured; by default the whole brain.
        hemisphere : {'both', 'left', 'right', 'ipsilateral', 'contralateral'}
            Hemisphere in which the signal is measured.
        limit : int, optional
            Maximum number of rows to return.
        """
        from bsv_store.catalog.search.source import search_sources

        with self._database.reading() as connection:
            return search_sources(
                connection,
                structures,
                selection=selection_or_all(selection),
                injection=injection,
                domain=domain,
                hemisphere=hemisphere,
                limit=limit,
            )

    def targets(
        self,
        structures: StructureRef | Sequence[StructureRef],
        *,
        selection: SelectionLike | None = None,
        measure: Measure = "projection_volume",
        threshold: float = 0.0,
        hemisphere: MeasuredHemisphere = "both",
        limit: int | None = None,
        missing: MissingPolicy = "leave_out",
    ) -> pd.DataFrame:
        """Experiments that project to one of the target structures, the strongest first.

        Columns: target (acronym of the target with the most signal) and the measure there, outside the injection site.
        The experiments are those of ``Selection(projecting_to=structures, ...)``;
        ``frame.attrs["without_unionizes"]`` lists those that cannot be found because their unionize tables are not in
        the store, ``frame.attrs["without_hemisphere"]`` those for which ipsilateral and contralateral are not known.

        Parameters
        ----------
        structures : str, int or sequence of them
            Targets, as acronyms (case matters) or ids.
        selection : Selection or experiment ids, optional
            Search these experiments only.
        measure : Measure
        threshold : float
            The measure must exceed it.
        hemisphere : {'both', 'left', 'right', 'ipsilateral', 'contralateral'}
            Hemisphere of the target.
        limit : int, optional
            Maximum number of rows to return.
        missing : {'leave_out', 'error'}
            What to do about experiments whose unionize table is not in the store, or whose injected hemisphere is
            needed and not known: leave them out with a `MissingUnionizesWarning` or `UnknownHemisphereWarning`, or
            raise `MissingDataError`.
        """
        from bsv_store.catalog.search.target import search_targets

        with self._database.reading() as connection:
            return search_targets(
                connection,
                structures,
                selection=selection_or_all(selection),
                measure=measure,
                threshold=threshold,
                hemisphere=hemisphere,
                limit=limit,
                missing=missing,
            )

    def targets_of(
        self,
        selection: SelectionLike | None = None,
        *,
        targets: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        within: StructureRef | None = None,
        include_sources: bool = False,
        include_fiber_tracts: bool = False,
        measure: Measure = "normalized_projection_volume",
        hemisphere: MeasuredHemisphere = "both",
        weight_by: AnimalWeight = "none",
        limit: int | None = None,
        missing: MissingPolicy = "leave_out",
    ) -> pd.DataFrame:
        """The structures to which the selected experiments project, the strongest first.

        Each animal counts once. A structure without signal counts as 0. Signal inside the injection site is not
        included.

        Parameters
        ----------
        selection : Selection or experiment ids, optional
            By default all experiments that are neither withdrawn nor on the exclusion list.
        targets : str, int or sequence of them, optional
            Only these structures, as acronyms (case matters) or ids.
        structure_set : int, optional
            Structures of this set; by default 167587189, the summary structures. 687527670 has the major divisions.
        within : str or int, optional
            Only structures inside this one.
        include_sources : bool
            Include the primary injection structures of the experiments, and structures that contain them or lie inside
            them. Structures named by ``targets`` are always included.
        include_fiber_tracts : bool
            Include fiber tracts and ventricles. Structures named by ``targets`` are always included.
        measure : Measure
        hemisphere : {'both', 'ipsilateral', 'contralateral'}
            Hemisphere whose mean determines the order.
        weight_by : {'none', 'injection_overlap'}
            With 'injection_overlap' an animal's weight is the share of its injection volume inside its primary
            structure. Mean and standard error are then those of weighted averages (docs/averages.md), and animals of
            weight 0 do not count.
        limit : int, optional
            Maximum number of rows to return.
        missing : {'leave_out', 'error'}
            What to do about experiments whose unionize table is not in the store, or whose injected hemisphere is not
            known: leave them out with a `MissingUnionizesWarning` or `UnknownHemisphereWarning`, or raise
            `MissingDataError`.

        Returns
        -------
        pandas.DataFrame
            One row for each structure: structure (acronym), structure_id, structure_name; mean and sem of the measure
            over both hemispheres, ipsilateral_mean, ipsilateral_sem, contralateral_mean, contralateral_sem; n, the
            number of animals. The standard error is NaN for one animal. ``frame.attrs`` has the ``measure``, its
            ``unit``, ``weight_by``, and the ids of the experiments ``without_unionizes`` and ``without_hemisphere``
            that were left out.

        Raises
        ------
        InputError
            If Allen does not measure signal in one of the targets.
        MissingDataError
            If no experiment is left.
        """
        from bsv_store.catalog.search.projection_profile import ranked_targets

        with self._database.reading() as connection:
            return ranked_targets(
                connection,
                selection_or_all(selection),
                targets=targets,
                structure_set=structure_set,
                within=within,
                include_sources=include_sources,
                include_fiber_tracts=include_fiber_tracts,
                measure=measure,
                hemisphere=hemisphere,
                weight_by=weight_by,
                limit=limit,
                missing=missing,
            )

    def sources_of(
        self,
        target: StructureRef,
        *,
        selection: SelectionLike | None = None,
        sources: StructureRef | Sequence[StructureRef] | None = None,
        measure: Measure = "normalized_projection_volume",
        hemisphere: MeasuredHemisphere = "both",
        weight_by: AnimalWeight = "none",
        limit: int | None = None,
        missing: MissingPolicy = "leave_out",
    ) -> pd.DataFrame:
        """The structures that project to a target, the strongest first.

        Parameters
        ----------
        target : str or int
            Acronym (case matters) or id.
        selection : Selection or experiment ids, optional
            By default all experiments that are neither withdrawn nor on the exclusion list.
        sources : str, int or sequence of them, optional
            Pool the experiments by these structures. By default each primary injection structure is a source.
        measure : Measure
        hemisphere : {'both', 'ipsilateral', 'contralateral'}
            Hemisphere of the target whose mean determines the order.
        weight_by : {'none', 'injection_overlap'}
            With 'injection_overlap' an animal's weight is the share of its injection volume inside the source.
            Mean and standard error are then those of weighted averages (docs/averages.md), and animals of weight 0 do
            not count.
        limit : int, optional
            Maximum number of rows to return.
        missing : {'leave_out', 'error'}
            As for `targets_of`.

        Returns
        -------
        pandas.DataFrame
            The columns of `targets_of`, with one row for each source that has at least one animal.

        Raises
        ------
        InputError
            If Allen does not measure signal in the target.
        MissingDataError
            If no experiment is left.
        """
        from bsv_store.catalog.search.projection_profile import ranked_sources

        with self._database.reading() as connection:
            return ranked_sources(
                connection,
                target,
                selection=selection_or_all(selection),
                sources=sources,
                measure=measure,
                hemisphere=hemisphere,
                weight_by=weight_by,
                limit=limit,
                missing=missing,
            )

    def injections(
        self,
        point: Sequence[float],
        *,
        selection: SelectionLike | None = None,
        radius_um: float | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Experiments by the distance of their injection coordinate from a point, the nearest first.

        Column: distance_um. Experiments without an injection coordinate are not found.

        Parameters
        ----------
        point : (float, float, float)
            AP, DV, ML in um.
        selection : Selection or experiment ids, optional
            Search these experiments only.
        radius_um : float, optional
            Largest distance in um, included.
        limit : int, optional
            Maximum number of rows to return.

        Raises
        ------
        InputError
            If the point lies outside the CCF, or seems to be in mm.
        """
        from bsv_store.catalog.search.injection import search_injections

        with self._database.reading() as connection:
            return search_injections(
                connection, point, selection=selection_or_all(selection), radius_um=radius_um, limit=limit
            )

    def correlation(
        self,
        experiment_id: int,
        *,
        selection: SelectionLike | None = None,
        domain: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        measure: Measure = "projection_density",
        hemisphere: MeasuredHemisphere = "both",
        limit: int | None = None,
        missing: MissingPolicy = "leave_out",
    ) -> pd.DataFrame:
        """Experiments by the correlation of their projections with those of one experiment, the most similar first.

        Column: correlation (Pearson's r of the measure outside the injection site, over the structures of the set that
        lie in the domain; NaN if undefined). Allen does not publish its formula; this one may differ from it.
        ``frame.attrs["without_unionizes"]`` lists the experiments left out because their unionize tables are not in the
        store, ``frame.attrs["without_hemisphere"]`` those for which ipsilateral and contralateral are not known.

        Parameters
        ----------
        experiment_id : int
            The experiment to compare with; it is not in the result. It may be on the exclusion list only if
            ``selection`` has ``include_excluded``.
        selection : Selection or experiment ids, optional
            Search these experiments only.
        domain : str, int or sequence of them, optional
            Compare inside these structures only; by default everywhere.
        structure_set : int, optional
            Allen's id of a structure set; by default 167587189, the summary structures, which do not overlap.
        measure : Measure
        hemisphere : {'both', 'left', 'right', 'ipsilateral', 'contralateral'}
        limit : int, optional
            Maximum number of rows to return.
        missing : {'leave_out', 'error'}
            What to do about experiments whose unionize table is not in the store, or whose injected hemisphere is
            needed and not known: leave them out with a `MissingUnionizesWarning` or `UnknownHemisphereWarning`, or
            raise `MissingDataError`.

        Raises
        ------
        MissingDataError
            If the store does not have the unionize table of the experiment, or its injected hemisphere is needed and
            not known.
        InputError
            If fewer than two structures remain.
        """
        from bsv_store.catalog.search.correlation import search_correlation

        with self._database.reading() as connection:
            return search_correlation(
                connection,
                experiment_id,
                selection=selection_or_all(selection),
                domain=domain,
                structure_set=structure_set,
                measure=measure,
                hemisphere=hemisphere,
                limit=limit,
                missing=missing,
            )

    def point(
        self,
        point: Sequence[float],
        *,
        selection: SelectionLike | None = None,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Experiments by the value of their volume at a point, the largest first.

        Column: the kind of volume (NaN = no data at the point). Selected experiments whose volume is not in the
        store are left out with a `LeftOutWarning`; ``frame.attrs["without_volume"]`` lists them.

        Parameters
        ----------
        point : (float, float, float)
            AP, DV, ML in um; the value is that of the voxel that contains it.
        selection : Selection or experiment ids, optional
            Search these experiments only.
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        limit : int, optional
            Maximum number of rows to return.

        Raises
        ------
        MissingDataError
            If the store has none of the volumes.
        InputError
            If the point lies outside the CCF, or seems to be in mm.
        DamagedFileError
            If a stored volume differs from what was published.
        """
        from bsv_store.catalog.search.point import search_point

        return search_point(
            self._database,
            self._files,
            selection_or_all(selection),
            point,
            kind=kind,
            spacing_um=spacing_um,
            limit=limit,
        )
