"""``store.datasets``: datasets and their versions."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store import check
from bsv_store.datasets.version import DatasetVersion
from bsv_store.errors import ReadOnlyStoreError
from bsv_store.vocabulary import MISSING_POLICIES

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.atlas.parcellation import Bins, Labels
    from bsv_store.atlas.thresholds import ThresholdedVolume
    from bsv_store.averaging.stack import VolumeStack
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.datasets.history.compare import VersionDiff
    from bsv_store.datasets.history.lineage import Lineage
    from bsv_store.datasets.history.rebuild import RebuildReport
    from bsv_store.datasets.history.stale import StaleReport
    from bsv_store.datasets.listing import DatasetSummary
    from bsv_store.datasets.share.citation import Citation
    from bsv_store.datasets.table import VersionRecord
    from bsv_store.datasets.workers import Executor
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import (
        ClusterStatistic,
        Covariate,
        MeasuredHemisphere,
        MissingPolicy,
        Statistic,
        ThresholdRule,
        TwoSampleStatistic,
    )
    from bsv_store.volumes.files import StoreFiles


class Datasets:
    """Datasets and their versions: ``store.datasets``.

    A ``ref`` is a version itself or one of ``name@3``, ``name@tag``, ``name@latest``, or ``name`` for the latest. A
    version that the store does not have raises `UnknownDatasetError`; the hint suggests similar names.
    ``store.datasets["name@3"]`` is the same as ``store.dataset("name@3")``, and the Tab key completes it in notebooks.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    """

    def __init__(self, database: Database, files: StoreFiles) -> None:
        self._database = database
        self._files = files

    def __getitem__(self, ref: str) -> DatasetVersion:
        return self.get(ref)

    def _ipython_key_completions_(self) -> builtins.list[str]:
        """What the Tab key offers after ``store.datasets["``."""
        rows = self.versions()
        # A name alone means a numbered version.
        names = dict.fromkeys(rows["name"][rows["number"] > 0])
        tagged = [
            f"{name}@{tag}"
            for name, tags in zip(rows["name"], rows["tags"], strict=True)
            if tags
            for tag in tags.split(", ")
        ]
        return [*names, *rows["ref"], *tagged]

    # -- look up ----------------------------------------------------------------------------------------------------

    def list(self) -> tuple[DatasetSummary, ...]:
        """All datasets by name: number of versions, size, tags."""
        from bsv_store.datasets.listing import list_datasets

        return list_datasets(self._database)

    def versions(self) -> pd.DataFrame:
        """All versions of all datasets, one row each, by name and number.

        For a store on a server, versions that were computed on this computer come last; ``bsv-store cache prune
        --average REF --apply`` removes one.

        Returns
        -------
        pandas.DataFrame
            Columns name, number (0 if it was computed on this computer), group_count, member_count, spacing_um (missing
            for a comparison by structure, which has no voxels), created_at (aware UTC), created_by, fingerprint,
            size_bytes, standing ('computed', 'local', or whether an imported version was checked), tags (separated by
            commas; None if there are none), ref (such as ``visual@3``, for `get`).
        """
        from bsv_store.datasets.listing import versions_table

        return versions_table(self._database).to_frame()

    def get(self, ref: str | DatasetVersion) -> DatasetVersion:
        """A version.

        Parameters
        ----------
        ref : str or DatasetVersion

        Raises
        ------
        InputError
            If the text is not a valid reference.
        UnknownDatasetError
            If the store does not have it; the hint suggests similar names.
        DamagedCatalogError
            If its recipe, groups or members are not the ones that were stored.
        """
        from bsv_store.datasets.table import find_version

        if isinstance(ref, DatasetVersion):
            return ref
        return self._local(ref) or find_version(self._database, self._files, ref)

    def _local(self, ref: str) -> DatasetVersion | None:
        """The version that a reference means if it is one that was computed on this computer."""
        from bsv_store.remote.results import local_results

        local = local_results(self._database, self._files)
        return None if local is None else local.get(check.text("ref", ref, such_as="visual-by-AP@3"))

    def lineage(self, ref: str | DatasetVersion) -> Lineage:
        """The volumes, unionize tables and lists that a version was computed from, and its tags.

        No volume is opened; the result file of a comparison by structure is.

        Parameters
        ----------
        ref : str or DatasetVersion
        """
        from bsv_store.datasets.history.lineage import lineage_of

        return lineage_of(self._database, self.get(ref))

    # -- content ----------------------------------------------------------------------------------------------------

    def stack(self, ref: str | DatasetVersion, *, processed: bool = False) -> VolumeStack:
        """The volumes of a version's members as a lazy array of shape (members, ap, dv, ml); NaN = no data.

        Parameters
        ----------
        ref : str or DatasetVersion
        processed : bool
            Normalized and with the hemisphere rule applied, as for the mean. Masks are not applied.

        Raises
        ------
        MissingDataError
            If volumes that the version was computed from are not in the store.
        """
        from bsv_store.datasets.stack import volume_stack

        return volume_stack(self._database, self._files, self.get(ref), processed=processed)

    def cite(self, ref: str | DatasetVersion) -> Citation:
        """Draft citation of a version: methods, acknowledgement, references, experiment ids.

        Parameters
        ----------
        ref : str or DatasetVersion

        Returns
        -------
        Citation
            ``origin`` is a warning if the version was imported and not recomputed in this store.

        Raises
        ------
        UnknownDatasetError
            If there is no such version.
        """
        return self.get(ref).cite()

    def compare_groups(
        self,
        ref: str | DatasetVersion,
        a: int | str,
        b: int | str,
        *,
        name: str,
        test: TwoSampleStatistic | None = None,
        covariates: Covariate | Sequence[Covariate] | None = None,
        permutations: int = 10_000,
        seed: int = 0,
        cluster: ClusterStatistic = "none",
        cluster_threshold_p: float = 0.001,
        missing: MissingPolicy = "error",
        progress: Progress | None = None,
        executor: Executor | None = None,
        workers: int | None = None,
    ) -> DatasetVersion:
        """Compare two groups of a version at each voxel, with the members and the rules of the version.

        Parameters
        ----------
        ref : str or DatasetVersion
        a, b : int or str
            Numbers or labels of the groups; the difference is a minus b.
        name : str
            Dataset that the new version belongs to.
        test, covariates, permutations, seed, cluster, cluster_threshold_p, progress, executor, workers
            As for `Store.compare_voxels`.
        missing : {'error', 'leave_out'}
            What to do about members whose volume or covariate is not in the store any more.

        Returns
        -------
        DatasetVersion
            As from `Store.compare_voxels`. The members are those of the version, even if its selection would now give
            others.

        Raises
        ------
        InputError
            If the version does not have one of the groups.
        RecipeError, MissingDataError, DamagedFileError
            As for `Store.compare_voxels`.
        """
        from bsv_store.averaging.comparison.comparison import Comparison, checked_covariates, checked_test
        from bsv_store.datasets.aggregate import aggregate
        from bsv_store.datasets.comparison import comparison_of_groups, warn_if_few
        from bsv_store.remote.results import local_results

        names = checked_covariates(covariates)
        comparison = Comparison(
            permutations=permutations,
            seed=seed,
            test=checked_test(test, names),
            covariates=names,
            cluster=cluster,
            cluster_threshold_p=cluster_threshold_p,
        )
        policy = check.choice("missing", missing, MISSING_POLICIES).name
        recipe = comparison_of_groups(self.get(ref), a, b, comparison, missing=policy)
        version = aggregate(
            self._database,
            self._files,
            recipe,
            name=name,
            progress=progress,
            executor=executor,
            workers=workers,
            publisher=local_results(self._database, self._files),
        )
        warn_if_few(version)
        return version

    def regions(
        self,
        ref: str | DatasetVersion,
        *,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        groups: int | Sequence[int] | None = None,
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] | None = None,
        over_animals: bool = False,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Mean of each group of a version over structures, according to the store's annotation.

        Parameters
        ----------
        ref : str or DatasetVersion
        structures : str, int or sequence of them, optional
            Acronyms (case matters) or ids; descendants are included.
        structure_set : int, optional
            Allen's id of a structure set. By default, without ``structures``, the summary structures (167587189).
        groups : int or sequence of int, optional
            Group numbers; by default all groups.
        hemisphere : {'left', 'right', 'both'}, or a sequence of them, optional
            For a folded version 'contralateral', 'ipsilateral' or 'both'; with ``over_animals`` all five. By default
            all.
        over_animals : bool
            Compute each animal's mean over the structure, from its volume after normalization, hemisphere rule and
            masks, and then the statistics over the animals of the group, weighted if the recipe has ``weight_by``.
            Reads the volumes of the members.
        limit : int, optional
            Maximum number of structures per group and hemisphere, those with the largest mean first.
        progress : Progress, optional
            For ``over_animals``.

        Returns
        -------
        pandas.DataFrame
            Columns group (number), group_label, structure_id, structure (acronym), name, hemisphere, voxels (with a
            value) and mean (NaN without voxels), by group, ontology order and hemisphere. Groups without experiments
            have no voxel with a value. ``over_animals`` adds n (animals with a value), sd and sem (divisor n - 1; NaN
            for one animal), and voxels is the largest number of an animal. ``frame.attrs["annotation"]`` names the
            annotation, ``frame.attrs["annotation_sha256"]`` is the hash of its array, and ``frame.attrs["weight_by"]``
            names the weight of each animal ('none' if all count the same).

        Raises
        ------
        MissingDataError
            If the store has no annotation at the version's spacing, or does not have the volumes that are needed. The
            hint is the command that downloads them.
        UnknownStructureError, InputError
            If a structure, set, group or hemisphere does not exist.
        DamagedFileError
            If the result file or the annotation differs from what was published.
        """
        from bsv_store.datasets.region_summary import region_summary

        return region_summary(
            self._database,
            self._files,
            self.get(ref),
            structures=structures,
            structure_set=structure_set,
            groups=groups,
            hemisphere=hemisphere,
            over_animals=over_animals,
            limit=limit,
            progress=progress,
        )

    def animal_regions(
        self,
        ref: str | DatasetVersion,
        *,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        groups: int | Sequence[int] | None = None,
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Mean of each animal of a version over structures, after normalization, hemisphere rule and masks.

        Parameters
        ----------
        ref, structures, structure_set, groups
            As for `regions`.
        hemisphere : {'left', 'right', 'both', 'ipsilateral', 'contralateral'}, or a sequence of them, optional
            For a folded version only the last three. By default all.
        progress : Progress, optional

        Returns
        -------
        pandas.DataFrame
            Columns experiment_id, group, group_label, structure_id, structure, name, hemisphere, voxels (with a value)
            and mean (weighted by the data mask if the version is), by experiment id, ontology order and hemisphere.
            The mean is NaN without voxels, and where it depends on an injected hemisphere that is not known.

        Raises
        ------
        MissingDataError, UnknownStructureError, InputError, DamagedFileError
            As `regions` does.
        """
        from bsv_store.datasets.region_summary import animal_region_table

        return animal_region_table(
            self._database,
            self._files,
            self.get(ref),
            structures=structures,
            structure_set=structure_set,
            groups=groups,
            hemisphere=hemisphere,
            progress=progress,
        )

    def threshold(
        self,
        ref: str | DatasetVersion,
        threshold: float,
        *,
        group: int = 0,
        statistic: Statistic = "mean",
        rule: ThresholdRule = "absolute",
        within: StructureRef | Sequence[StructureRef] | None = None,
        positive_only: bool = False,
    ) -> ThresholdedVolume:
        """The voxels of a group of a version above a threshold, as a mask and by structure.

        Parameters
        ----------
        ref : str or DatasetVersion
        threshold : float
        group : int
            Number of the group.
        statistic : {'mean', 'sum', 'sd', 'sem', 'min', 'max', 'n'}
            One of the version's statistics.
        rule, within, positive_only
            As for `Volumes.threshold`.

        Returns
        -------
        ThresholdedVolume

        Raises
        ------
        InputError, MissingDataError, UnknownStructureError
            If an argument is not valid, or the annotation is needed and missing.

        Warns
        -----
        BsvStoreWarning
            If an absolute threshold is above all values.
        """
        from bsv_store.atlas.thresholds import thresholded
        from bsv_store.averaging.hemisphere import half_names

        version = self.get(ref)
        return thresholded(
            self._database,
            self._files,
            version.statistic(statistic, group=group),
            threshold,
            title=f"{statistic} of {version.ref}, group {group}",
            rule=rule,
            within=within,
            positive_only=positive_only,
            halves=half_names(version.recipe.hemisphere_rule),
        )

    def subregions(
        self,
        ref: str | DatasetVersion,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        *,
        bins: Bins | None = None,
        labels: Labels | None = None,
        label_names: Mapping[int, str] | Path | str | None = None,
        groups: int | Sequence[int] | None = None,
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] | None = None,
        over_animals: bool = False,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Mean of each group of a version over subdivisions of structures.

        Parameters
        ----------
        ref : str or DatasetVersion
        structures, bins, labels, label_names
            As for `Atlas.subregions`.
        groups, hemisphere, over_animals, progress
            As for `regions`.

        Returns
        -------
        pandas.DataFrame
            Columns group, group_label, label (number), subregion (name), for bins the bounds such as ap_lower and
            ap_upper (um), hemisphere, voxels (with a value) and mean; by group, label and hemisphere.
            ``over_animals`` adds the columns of `regions`. ``frame.attrs["weight_by"]`` is as for `regions`.

        Raises
        ------
        InputError, FrameError, MissingDataError, UnknownStructureError, DamagedFileError
            As `Atlas.subregions` and `regions` do.
        """
        from bsv_store.datasets.subregions import subregion_means

        return subregion_means(
            self._database,
            self._files,
            self.get(ref),
            structures,
            bins=bins,
            labels=labels,
            label_names=label_names,
            groups=groups,
            hemisphere=hemisphere,
            over_animals=over_animals,
            progress=progress,
        )

    # -- comparison and verification --------------------------------------------------------------------------------

    def diff(self, first: str | DatasetVersion, second: str | DatasetVersion) -> VersionDiff:
        """The differences between two versions: recipe, members, voxels.

        Parameters
        ----------
        first, second : str or DatasetVersion

        Raises
        ------
        DamagedFileError
            If a result file differs from what was published.
        """
        from bsv_store.datasets.history.compare import diff_versions

        return diff_versions(self.get(first), self.get(second))

    def stale(self, ref: str | DatasetVersion | None = None) -> tuple[StaleReport, ...]:
        """The changes in the store since a version was computed. No file is opened.

        Parameters
        ----------
        ref : str or DatasetVersion, optional
            By default the latest version of every dataset.

        Returns
        -------
        tuple of StaleReport
            Versions without a change are included: see ``is_stale``.
        """
        from bsv_store.datasets.history.stale import stale_report, stale_reports

        if ref is None:
            return stale_reports(self._database, self._files)
        return (stale_report(self._database, self.get(_text(ref))),)

    def rebuild(
        self,
        ref: str | DatasetVersion,
        *,
        check_only: bool = False,
        progress: Progress | None = None,
        executor: Executor | None = None,
        workers: int | None = None,
    ) -> RebuildReport:
        """Compute a version again from its recorded inputs and compare.

        A damaged result file is replaced if the new arrays are identical to the last bit. An intact file is never
        replaced. The outcome is recorded in the version's ``checks``.

        Parameters
        ----------
        ref : str or DatasetVersion
        check_only : bool
            Do not replace a damaged file.
        progress : Progress, optional
        executor, workers
            As for `Store.aggregate`.

        Raises
        ------
        UnknownDatasetError
            If the store does not have the version, or another process deletes it meanwhile.
        MissingDataError, DamagedFileError
            If volumes that the version was computed from are missing or damaged.
        """
        from bsv_store.datasets.history.rebuild import rebuild_version

        check.boolean("check_only", check_only)
        return rebuild_version(
            self._database,
            self._files,
            self._local(_text(ref)) or _text(ref),
            check_only=check_only,
            progress=progress,
            executor=executor,
            workers=workers,
        )

    # -- changes ----------------------------------------------------------------------------------------------------

    def tag(self, ref: str | DatasetVersion, tag: str, *, move: bool = False, force: bool = False) -> VersionRecord:
        """Tag a version. The current user is recorded.

        Parameters
        ----------
        ref : str or DatasetVersion
        tag : str
        move : bool
            Move the tag if another version of the dataset has it.
        force : bool
            Also move a tag that another user set.

        Returns
        -------
        VersionRecord
            The version, with its tags.

        Raises
        ------
        InputError
            If the tag is not valid, another version has it and ``move`` is False, or another user set it and ``force``
            is False.
        """
        from bsv_store.datasets.tags import tag_version
        from bsv_store.owner import current_user

        return tag_version(self._database, _text(ref), tag, created_by=current_user(), move=move, force=force)

    def untag(self, name: str, tag: str, *, force: bool = False) -> None:
        """Remove a tag from a dataset. The version stays.

        Parameters
        ----------
        name : str
            Of the dataset.
        tag : str
        force : bool
            Also remove a tag that another user set.

        Raises
        ------
        InputError
            If another user set the tag and ``force`` is False.
        UnknownDatasetError
            If the dataset does not have the tag.
        """
        from bsv_store.datasets.tags import remove_tag
        from bsv_store.owner import current_user

        check.boolean("force", force)
        remove_tag(self._database, name, tag, removed_by=current_user(), force=force)

    def delete(self, ref: str | DatasetVersion, *, force: bool = False) -> VersionRecord:
        """Delete a version. Its file is moved to the trash, and its number is not used again.

        `Admin.untrash` restores it, until `Admin.collect_garbage` purges the trash.

        Parameters
        ----------
        ref : str or DatasetVersion
        force : bool
            Also delete a version that has a tag, or was exported or cited. The tags are restored with the version.

        Returns
        -------
        VersionRecord
            The deleted version.

        Raises
        ------
        InputError
            If ``ref`` is a name without a version, or the version has a tag or was exported or cited, and ``force`` is
            False.
        ReadOnlyStoreError
            If the store is read-only. For a version that was computed on this computer, the hint says how to remove it.
        """
        from bsv_store.datasets.delete import delete_version

        check.boolean("force", force)
        if (local := self._local(_text(ref))) is not None:
            raise ReadOnlyStoreError(
                f"{local.ref} is not a version of the server, but in the cache of this computer",
                hint=f"Remove it from the cache: bsv-store cache prune --average {local.ref} --apply",
            )
        return delete_version(self._database, self._files, _text(ref), force=force)

    def import_bundle(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        trust: bool = False,
        progress: Progress | None = None,
        executor: Executor | None = None,
        workers: int | None = None,
    ) -> DatasetVersion:
        """Import a bundle as a version of a dataset in this store. Every part of the bundle is checked.

        The version keeps its number, unless the dataset has used this number or a higher one. Then it gets the next
        number, with a warning.

        If the store has the volumes from which the version was computed, the version is recomputed, and refused if the
        result differs. Otherwise its standing is 'imported, not checked' until `rebuild` recomputes it, and
        `Store.aggregate` does not return it. If the dataset already has a version with the same fingerprint and
        content, that version is returned.

        The bundle also has the tags of the version, its experiments as in the experiment list, the ontology, and the
        name and date of the list. Experiments that the catalog does not have are stored as a list of the kind 'bundle':
        they are current until the store has an experiment list of Allen, which replaces them.

        Parameters
        ----------
        path : path
            A file that ``DatasetVersion.export("....bsv.zip")`` wrote.
        name : str, optional
            Name of the dataset in this store; by default that in the bundle.
        trust : bool
            Mark the version as trusted, with the name of the current user and the time.
        progress : Progress, optional
        executor, workers
            As for `Store.aggregate`.

        Returns
        -------
        DatasetVersion
            ``origin.standing`` tells whether it was recomputed.

        Raises
        ------
        FormatError
            If the file is not a valid bundle. Nothing is stored then.
        FrameError
            If its coordinates are in another frame.
        NotReproducibleError
            If the store has the volumes, and recomputing the version gives a different result. Nothing is stored then.
        InputError
            If the store has another ontology, such as that of a synthetic atlas.
        NoSpaceError, ReadOnlyStoreError, StoreError
            If the store cannot be written. Nothing is stored then.
        """
        from bsv_store.datasets.share.bundle_import import import_bundle

        check.boolean("trust", trust)
        return import_bundle(
            self._database,
            self._files,
            path,
            name=name,
            trust=trust,
            progress=progress,
            executor=executor,
            workers=workers,
        )


def _text(ref: str | DatasetVersion) -> str:
    """The reference as text, so that it is looked up again in the transaction that changes the version."""
    return ref.ref if isinstance(ref, DatasetVersion) else ref
