"""The result of adopting a cache folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bsv_store.catalog.ingest import IngestReport
from bsv_store.html import text_card
from bsv_store.text import listed, number_of, size_text
from bsv_store.vocabulary import CacheLayout


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that was not stored, and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class AdoptReport:
    """Result of adopting a cache folder.

    Attributes
    ----------
    folder : pathlib.Path
    layout : {'bsv', 'allensdk'}
    structures, experiments : IngestReport or None
        Changes made by the lists in the cache; None if it has no such list, or an invalid one.
    unionizes, volumes, annotations, templates : int
        Numbers of unionize tables, volumes, annotations and templates that were stored.
    present : int
        Number of files whose content the store had already.
    replaced : tuple of SkippedFile
        Volumes, included in the stored ones, that replaced a volume the catalog supports less, with the reason.
    refused : tuple of SkippedFile
        Invalid files, and files of experiments that the catalog does not have.
    ignored : tuple of SkippedFile
        Files of other kinds.
    size_bytes : int
        Total size of the cache's files of the volumes, annotations and templates that were stored.
    remarks : tuple of str
        Results of the checks of each stored annotation and template, and requested experiments without a file.
    """

    folder: Path
    layout: CacheLayout
    structures: IngestReport | None
    experiments: IngestReport | None
    unionizes: int
    volumes: int
    annotations: int
    templates: int
    present: int
    replaced: tuple[SkippedFile, ...]
    refused: tuple[SkippedFile, ...]
    ignored: tuple[SkippedFile, ...]
    size_bytes: int
    remarks: tuple[str, ...] = ()

    def ignored_by_reason(self, *, names: int = 3) -> tuple[str, ...]:
        """One line for each reason why files were ignored: their number and the first names.

        Parameters
        ----------
        names : int
            Maximum number of names per line.
        """
        by_reason: dict[str, list[str]] = {}
        for file in self.ignored:
            by_reason.setdefault(file.reason, []).append(str(file.path.relative_to(self.folder)))
        return tuple(
            f"{number_of(len(found), 'file')} ignored, {reason}: {listed(found, limit=names)}"
            for reason, found in by_reason.items()
        )

    def _repr_html_(self) -> str:
        return text_card("Adopted cache", self.summary())

    def summary(self) -> str:
        """The result in one sentence."""
        lists = [
            f"{report.what}: {report.added} new, {report.changed} changed, {report.withdrawn} withdrawn; "
            for report in (self.structures, self.experiments)
            if report is not None
        ]
        atlas_files = [
            f", {number_of(count, what)}"
            for count, what in ((self.annotations, "annotation"), (self.templates, "template"))
            if count
        ]
        replaced = f"{len(self.replaced)} of them replaced others, " if self.replaced else ""
        return (
            f"{self.folder}: {''.join(lists)}{number_of(self.unionizes, 'unionize table')}{''.join(atlas_files)} and "
            f"{number_of(self.volumes, 'volume')} adopted "
            f"({size_text(self.size_bytes)}), {replaced}{self.present} already present, {len(self.refused)} refused, "
            f"{len(self.ignored)} ignored."
        )
