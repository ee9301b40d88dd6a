"""Drafts of how to cite a version. Authors must check them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store._version import __version__
from bsv_store.datasets.share.comparison_text import comparison_methods
from bsv_store.text import number_of
from bsv_store.vocabulary import HEMISPHERE_RULES, NORMALIZATIONS, VOLUME_KINDS
from bsv_store.volumes.grid import FRAME

if TYPE_CHECKING:
    from bsv_store.datasets.share.source import VersionSource

CHECK_FIRST = (
    "Check this text before you publish it: against what you did, and against the Allen Institute's citation policy "
    "and terms of use (https://alleninstitute.org/legal/citation-policy/), which may have changed."
)

_REFERENCES = """\
@article{oh2014mesoscale,
  title   = {A mesoscale connectome of the mouse brain},
  author  = {Oh, Seung Wook and Harris, Julie A. and Ng, Lydia and Winslow, Brent and others},
  journal = {Nature},
  volume  = {508},
  pages   = {207--214},
  year    = {2014},
  doi     = {10.1038/nature13186}
}

@article{harris2019hierarchical,
  title   = {Hierarchical organization of cortical and thalamic connectivity},
  author  = {Harris, Julie A. and Mihalas, Stefan and Hirokawa, Karla E. and Whitesell, Jennifer D. and others},
  journal = {Nature},
  volume  = {575},
  pages   = {195--202},
  year    = {2019},
  doi     = {10.1038/s41586-019-1716-z}
}

@article{wang2020allen,
  title   = {The {Allen} {Mouse} {Brain} {Common} {Coordinate} {Framework}: A {3D} Reference Atlas},
  author  = {Wang, Quanxin and Ding, Song-Lin and Li, Yang and Royall, Josh and others},
  journal = {Cell},
  volume  = {181},
  pages   = {936--953},
  year    = {2020},
  doi     = {10.1016/j.cell.2020.04.007}
}
"""


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
    bibtex : str
        The version and the papers about the atlas.
    experiment_ids : tuple of int
        Of the members, ascending.
    """

    ref: str
    fingerprint: str
    content_sha256: str
    origin: str | None
    methods: str
    acknowledgement: str
    bibtex: str
    experiment_ids: tuple[int, ...]

    def __str__(self) -> str:
        ids = ", ".join(map(str, self.experiment_ids))
        first = CHECK_FIRST if self.origin is None else f"{CHECK_FIRST}\n\n{self.origin}"
        return (
            f"{first}\n\nMethods\n{self.methods}\n\nAcknowledgement\n{self.acknowledgement}\n\n"
            f"Experiments (Allen section data sets)\n{ids}\n\nReferences (BibTeX)\n{self.bibtex}"
        )


def citation_of(version: VersionSource, *, annotation: str | None = None) -> Citation:
    """Draft citation of a version. ``annotation`` is the name of the annotation used for means over structures."""
    ids = tuple(member.experiment_id for member in version.experiments if member.group is not None)
    return Citation(
        version.ref,
        version.fingerprint,
        version.content_sha256,
        _origin(version),
        _methods(version, len(ids), annotation),
        "We used data of the Allen Mouse Brain Connectivity Atlas, Allen Institute for Brain Science, "
        "available from https://connectivity.brain-map.org.",
        f"{_own_entry(version)}\n{_REFERENCES}",
        ids,
    )


def _origin(version: VersionSource) -> str | None:
    if version.origin.can_answer:
        return None
    return (
        f"{version.ref} was {version.origin}. Recompute it before you cite it: bsv-store dataset rebuild {version.ref}"
    )


def _further(count: int) -> str:
    return f"{number_of(count, 'further experiment')} {'was' if count == 1 else 'were'}"


def _methods(version: VersionSource, count: int, annotation: str | None) -> str:
    recipe = version.recipe
    groups = f"{len(version.groups)} groups" if len(version.groups) > 1 else "one group"
    if version.empty_groups:
        groups += f" ({len(version.empty_groups)} of them without experiments)"
    sentences = [HEMISPHERE_RULES[recipe.hemisphere_rule].methods]
    if recipe.exclude_injection:
        sentences.append("Voxels of the injection sites were left out.")
    if recipe.weight_by_data_mask:
        sentences.append("Voxels were weighted by the fraction of them that had data.")
    if (comparison := comparison_methods(version)) is not None:
        sentences.append(comparison)
    if version.left_out:
        sentences.append(f"{_further(len(version.left_out))} left out.")
    if annotation is not None:
        sentences.append(f"Means over structures were computed with the annotation {annotation}.")
    rules = "".join(f" {sentence}" for sentence in sentences if sentence)
    return (
        f"Volumes of {VOLUME_KINDS[recipe.kind].words} at {recipe.spacing_um} um in the {FRAME} of "
        f"{number_of(count, 'experiment')} of the Allen Mouse Brain Connectivity Atlas "
        "(Oh et al. 2014; Harris et al. 2019; Wang et al. 2020)"
        f"{NORMALIZATIONS[recipe.normalize].methods} were averaged in {groups}.{rules} "
        f"Computed with bsv-store (dataset {version.ref}, fingerprint {version.fingerprint})."
    )


def _own_entry(version: VersionSource) -> str:
    return (
        f"@misc{{bsvstore_{version.fingerprint[:12]},\n"
        f"  title        = {{Group averages {version.ref} of the Allen Mouse Brain Connectivity Atlas}},\n"
        f"  howpublished = {{Computed with bsv-store {__version__}}},\n"
        f"  year         = {{{version.created_at.year}}},\n"
        f"  note         = {{Fingerprint {version.fingerprint}, content SHA-256 {version.content_sha256}}}\n"
        "}\n"
    )
