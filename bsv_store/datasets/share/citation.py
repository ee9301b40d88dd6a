"""Drafts of how to cite a version. Authors must check them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bsv_store.averaging.grouping.grouping import uses_regions
from bsv_store.averaging.grouping.words import grouping_words
from bsv_store.catalog.selection.words import selection_words
from bsv_store.datasets.groups import group_in_prose
from bsv_store.datasets.share.comparison_text import comparison_methods, structure_methods
from bsv_store.datasets.share.left_out import counted_reasons
from bsv_store.datasets.share.references import PAPERS, Reference, bibtex, comparison_papers, ris
from bsv_store.html import card, folded, paragraph, preformatted
from bsv_store.text import joined, number_of
from bsv_store.vocabulary import (
    ANIMAL_WEIGHTS,
    BILATERAL_RULES,
    HEMISPHERE_RULES,
    NORMALIZATIONS,
    STATISTICS,
    VOLUME_KINDS,
)
from bsv_store.volumes.grid import FRAME

if TYPE_CHECKING:
    from bsv_store.datasets.groups import GroupInfo
    from bsv_store.datasets.provenance import Provenance
    from bsv_store.datasets.share.source import VersionSource

CHECK_FIRST = (
    "This is a draft. Before you publish it, check that it describes what you did (which experiments, how they were "
    "processed, which were left out), and that it follows the Allen Institute's current citation policy and terms of "
    "use: https://alleninstitute.org/legal/citation-policy/"
)

# More groups are summarized.
_LISTED_GROUPS = 12
_LISTED_REASONS = 8


@dataclass(frozen=True, slots=True)
class Citation:
    """A draft of the text for a paper, and the identification of the data.

    Attributes
    ----------
    ref, fingerprint, content_sha256 : str
    origin : str or None
        A warning that the version was imported and not recomputed in this store; None otherwise.
    methods, acknowledgement : str
        Drafts in complete sentences.
    references : tuple of Reference
        The version, the papers about the atlas, and those about the methods of a comparison.
    experiment_ids : tuple of int
        Of the members, ascending.
    """

    ref: str
    fingerprint: str
    content_sha256: str
    origin: str | None
    methods: str
    acknowledgement: str
    references: tuple[Reference, ...]
    experiment_ids: tuple[int, ...]

    @property
    def bibtex(self) -> str:
        """The references as BibTeX."""
        return bibtex(self.references)

    @property
    def ris(self) -> str:
        """The references in the format RIS, which EndNote, Zotero and Mendeley import."""
        return ris(self.references)

    def to_dict(self) -> dict[str, Any]:
        """All parts as plain JSON values; the references as BibTeX and RIS."""
        return {
            "dataset": self.ref,
            "fingerprint": self.fingerprint,
            "content_sha256": self.content_sha256,
            "origin": self.origin,
            "methods": self.methods,
            "acknowledgement": self.acknowledgement,
            "experiment_ids": list(self.experiment_ids),
            "bibtex": self.bibtex,
            "ris": self.ris,
            "check_first": CHECK_FIRST,
        }

    def _repr_html_(self) -> str:
        ids = ", ".join(map(str, self.experiment_ids))
        return card(
            self.ref,
            paragraph(self.methods),
            paragraph(self.acknowledgement),
            folded(f"{number_of(len(self.experiment_ids), 'experiment')} (Allen section data sets)", paragraph(ids)),
            folded("BibTeX", preformatted(self.bibtex)),
            folded("RIS", preformatted(self.ris.replace("\r\n", "\n"))),
            kind="draft of a citation",
            notes=[each for each in (self.origin, CHECK_FIRST) if each is not None],
        )

    def __str__(self) -> str:
        ids = ", ".join(map(str, self.experiment_ids))
        first = CHECK_FIRST if self.origin is None else f"{CHECK_FIRST}\n\n{self.origin}"
        return (
            f"{first}\n\nMethods\n{self.methods}\n\nAcknowledgement\n{self.acknowledgement}\n\n"
            f"Experiments (Allen section data sets)\n{ids}\n\nReferences (BibTeX)\n{self.bibtex}"
        )


def citation_of(version: VersionSource, *, annotation: str | None = None) -> Citation:
    """Draft citation of a version; ``annotation`` replaces that of the version's provenance."""
    ids = tuple(member.experiment_id for member in version.experiments if member.group is not None)
    return Citation(
        version.ref,
        version.fingerprint,
        version.content_sha256,
        _origin(version),
        _methods(version, len(ids), version.provenance(), annotation),
        "We used data of the Allen Mouse Brain Connectivity Atlas, Allen Institute for Brain Science, "
        "available from https://connectivity.brain-map.org.",
        (_own_reference(version), *PAPERS, *comparison_papers(version.recipe.comparison)),
        ids,
    )


def _origin(version: VersionSource) -> str | None:
    if version.origin.standing == "local":
        return (
            f"{version.ref} was {version.origin}. Import its bundle into the store, and cite the version there: "
            f"bsv-store dataset export {version.ref} average.bsv.zip"
        )
    if version.origin.can_answer:
        return None
    return (
        f"{version.ref} was {version.origin}. Recompute it before you cite it: bsv-store dataset rebuild {version.ref}"
    )


def _methods(version: VersionSource, count: int, provenance: Provenance, annotation: str | None) -> str:
    """The methods text, in the order of the work: selection, processing, averages, data and software."""
    if not version.recipe.has_voxels:
        sentences = [
            _selected(version, provenance),
            _left_out(version),
            structure_methods(version),
            _computed(version, provenance),
        ]
        return " ".join(sentence for sentence in sentences if sentence)
    used = annotation or provenance.annotation
    sentences = [
        _selected(version, provenance),
        _left_out(version),
        _processed(version),
        _rules(version),
        _divisors(version),
        _averaged(version, count),
        comparison_methods(version) or "",
        f"Means over structures were computed with the annotation {used}." if used is not None else "",
        _computed(version, provenance),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _selected(version: VersionSource, provenance: Provenance) -> str:
    source = "" if provenance.experiment_list is None else f" from the experiment list ({provenance.experiment_list})"
    return (
        f"We selected {number_of(len(version.experiments), 'experiment')} of the Allen Mouse Brain Connectivity Atlas "
        f"(Oh et al. 2014; Harris et al. 2019; Wang et al. 2020){source}: "
        f"{selection_words(version.recipe.selection)}."
    )


def _left_out(version: VersionSource) -> str:
    counted = counted_reasons(version.left_out)
    if not counted:
        return ""
    were = "was" if len(version.left_out) == 1 else "were"
    left_out = f"{number_of(len(version.left_out), 'experiment')} {were} left out"
    if len(counted) == 1:
        return f"{left_out} ({counted[0][0]})."
    texts = [f"{number} ({reason})" for reason, number in counted[:_LISTED_REASONS]]
    if rest := sum(number for _, number in counted[_LISTED_REASONS:]):
        texts.append(f"{rest} for other reasons")
    return f"{left_out}: {joined(texts, 'and')}."


def _processed(version: VersionSource) -> str:
    recipe = version.recipe
    return (
        f"Volumes of {VOLUME_KINDS[recipe.kind].words} at {recipe.spacing_um} um in the {FRAME}"
        f"{NORMALIZATIONS[recipe.normalize].methods or ', not normalized,'} were used."
    )


def _rules(version: VersionSource) -> str:
    recipe = version.recipe
    rule = HEMISPHERE_RULES[recipe.hemisphere_rule]
    sentences = [rule.methods]
    if rule.needs_side:
        sentences.append(BILATERAL_RULES[recipe.bilateral_rule].methods)
    if recipe.exclude_injection:
        sentences.append("Voxels of the injection sites were left out.")
    if recipe.weight_by_data_mask:
        sentences.append("Voxels were weighted by the fraction of them that had data.")
    source = "the regions of its group" if uses_regions(recipe.grouping) else "its primary injection structure"
    sentences.append(ANIMAL_WEIGHTS[recipe.weight_by].methods.format(source=source))
    return " ".join(sentence for sentence in sentences if sentence)


def _divisors(version: VersionSource) -> str:
    divisor = NORMALIZATIONS[version.recipe.normalize].divisor
    listed = sum(member.divisor_source == "list" for member in version.experiments)
    if divisor is None or not listed:
        return ""
    return f"The {divisor} of {number_of(listed, 'experiment')} was taken from the experiment list."


def _averaged(version: VersionSource, count: int) -> str:
    """The statistics, and the groups with their numbers of experiments."""
    recipe = version.recipe
    others = [name for name in recipe.statistics if name != "mean"]
    described = [STATISTICS[name].described(weighted=recipe.is_weighted) for name in ("mean", *others)]
    what = joined(described, "and")
    words = grouping_words(version.recipe.grouping)
    were = "was" if not others else "were"
    experiments = number_of(count, "experiment")
    if words is None:
        return f"The {what} of the {experiments} {were} computed for each voxel."
    return (
        f"The {experiments} {'was' if count == 1 else 'were'} grouped {words}: "
        f"{_groups(version.groups)}. The {what} {were} computed for each voxel and group."
    )


def _groups(groups: tuple[GroupInfo, ...]) -> str:
    filled = [group for group in groups if group.n]
    empty = len(groups) - len(filled)
    if len(groups) <= _LISTED_GROUPS:
        listed = [group_in_prose(group) for group in groups]
        return f"{number_of(len(groups), 'group')}, {joined(listed, 'and')}"
    numbers = [group.n for group in filled]
    without = f", {number_of(empty, 'group')} without experiments" if empty else ""
    return f"{number_of(len(filled), 'group')} with {min(numbers)} to {max(numbers)} experiments{without}"


def _computed(version: VersionSource, provenance: Provenance) -> str:
    original = provenance.exported_as
    known_as = "" if original is None or original == version.ref else f", exported as {original}"
    what = "Averages were" if version.recipe.has_voxels else "The comparison was"
    return (
        f"{what} computed on {version.created_at:%Y-%m-%d} with {version.software} "
        f"(dataset {version.ref}{known_as}, fingerprint {version.fingerprint})."
    )


def _own_reference(version: VersionSource) -> Reference:
    what = "Group averages" if version.recipe.comparison is None else "Comparison of two groups"
    return Reference(
        f"bsvstore_{version.fingerprint[:12]}",
        f"{what} {version.ref} of the Allen Mouse Brain Connectivity Atlas",
        version.created_at.year,
        howpublished=f"Computed with {version.software.split(',')[0]}",
        note=f"Fingerprint {version.fingerprint}, content SHA-256 {version.content_sha256}",
    )
