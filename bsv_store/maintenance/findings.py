"""`Finding`: something that `verify` found wrong, or worth knowing, with its remedy."""

from __future__ import annotations

from dataclasses import dataclass

from bsv_store.vocabulary import FINDING_KINDS, FindingKind

REPAIR = "bsv-store repair --apply"
RESTORE = "Restore the store from a backup into a new folder: bsv-store backup restore TARGET FOLDER"


def replace_version(ref: str) -> str:
    """The remedy for a version whose recipe this release cannot read."""
    return (
        "If an earlier release made it, compute it again with bsv-store aggregate, and delete this version: "
        f"bsv-store dataset delete {ref}. Otherwise it is damaged. {RESTORE}"
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a store, or worth knowing about it.

    Attributes
    ----------
    object : str
        Key of the object, such as ``volume/projection_density/100/158375425``, ``annotation/25``, ``version/visual@3``
        or ``unionizes/158375425``; for a file that belongs to no object, its path; else the part of the catalog.
    path : str or None
        Path of the file relative to the store's folder; None if it concerns the database.
    kind : FindingKind
    problem : str
        What is wrong.
    remedy : str
        What to do: a command, or a sentence.
    """

    object: str
    path: str | None
    kind: FindingKind
    problem: str
    remedy: str

    @property
    def is_damage(self) -> bool:
        """Whether the store is not as it should be; False for information."""
        return FINDING_KINDS[self.kind].is_damage

    def __str__(self) -> str:
        return f"{self.object}: {FINDING_KINDS[self.kind].words}: {self.problem}"
