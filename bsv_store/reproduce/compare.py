"""Compare published counts with the experiments in the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from bsv_store.catalog.selection.resolve import resolve
from bsv_store.catalog.selection.selection import Selection
from bsv_store.check import choice
from bsv_store.errors import MissingDataError, SelectionError, UnknownStructureError
from bsv_store.reproduce.tables import TABLES, Count, Published
from bsv_store.vocabulary import PUBLISHED_TABLES, PublishedTable

if TYPE_CHECKING:
    import pandas as pd

NOT_EXPLAINED = "not explained by the lists at hand"

_SHOWN_IDS = 10


@dataclass(frozen=True, slots=True)
class ReproducedCount:
    """One published count and that of the catalog.

    Attributes
    ----------
    label : str
    published : int
    ours : int
    difference : int
        ``ours - published``.
    reason : str
        Why they differ, with the ids of the experiments; empty if they do not.
    """

    label: str
    published: int
    ours: int
    reason: str

    @property
    def difference(self) -> int:
        """The count of the catalog minus the published one."""
        return self.ours - self.published


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A published table next to the counts of a catalog. ``print()`` shows it.

    Attributes
    ----------
    name : str
    words : str
        What is counted.
    citation, source : str
        Where the counts were published, and where they can be read.
    counts : tuple of ReproducedCount
    """

    name: PublishedTable
    words: str
    citation: str
    source: str
    counts: tuple[ReproducedCount, ...]

    @property
    def differing(self) -> tuple[ReproducedCount, ...]:
        """The counts that differ."""
        return tuple(count for count in self.counts if count.difference)

    def to_frame(self) -> pd.DataFrame:
        """A DataFrame with the columns label, published, ours, difference and reason."""
        import pandas as pd

        columns = ["label", "published", "ours", "difference", "reason"]
        return pd.DataFrame([[getattr(count, name) for name in columns] for count in self.counts], columns=columns)

    def __str__(self) -> str:
        width = max(len(count.label) for count in self.counts)
        lines = [f"{self.words[0].upper()}{self.words[1:]}.", self.citation, ""]
        lines += [
            f"{c.label:<{width}}  {c.published:>5}  {c.ours:>5}  {c.difference:>+4}  {c.reason}".rstrip()
            for c in self.counts
        ]
        return "\n".join(lines)


def reproduce(connection: Connection, name: PublishedTable) -> Reproduction:
    """See :meth:`bsv_store.Store.reproduce`."""
    row = choice("name", name, PUBLISHED_TABLES)
    table = TABLES[row.name]
    listed = frozenset(resolve(connection, Selection(include_excluded=True)))
    if not listed:
        raise MissingDataError("the store has no experiments", hint="Download Allen's list: bsv-store sync experiments")
    found = {count.label: _counted(connection, count, table, row.name) for count in table.counts}
    counts = tuple(
        ReproducedCount(count.label, count.published, len(found[count.label]), _reason(count, found, listed, table))
        for count in table.counts
    )
    return Reproduction(row.name, row.words, row.citation, row.source, counts)


def _counted(connection: Connection, count: Count, table: Published, name: str) -> frozenset[int]:
    selection = Selection(injected_in=count.structure, line=count.line, include_excluded=True)
    try:
        return frozenset(resolve(connection, selection)) - table.excluded
    except (UnknownStructureError, SelectionError) as error:
        raise MissingDataError(
            f"{name} needs Allen's ontology and experiment list: {error.message}",
            hint="Download them: bsv-store sync structures, then bsv-store sync experiments",
        ) from error


def _reason(count: Count, found: dict[str, frozenset[int]], listed: frozenset[int], table: Published) -> str:
    ours = found[count.label]
    rest = len(ours) - count.published
    if rest == 0:
        return ""
    reasons: list[str] = []
    for change, words in _known(count, found, listed, table):
        reasons.append(f"{change:+d}: {words}")
        rest -= change
    if rest:
        # A note about one experiment does not explain why many are missing.
        reasons.append(f"{rest:+d}: {count.note if rest == count.noted else NOT_EXPLAINED}")
    return "; ".join(reasons)


def _known(
    count: Count, found: dict[str, frozenset[int]], listed: frozenset[int], table: Published
) -> Iterator[tuple[int, str]]:
    """The differences that experiments explain: their number, and what happened to them."""
    ours = found[count.label]
    if table.last_id is not None and (later := sorted(i for i in ours if i > table.last_id)):
        yield len(later), f"later experiments, {_shown(later)}"
    for gone in table.vanished:
        if gone.label == count.label and gone.experiment_id not in listed:
            yield -1, f"{gone.experiment_id} ({gone.words}) is no longer in Allen's list"
    for moved in table.moved:
        if moved.experiment_id in found[moved.to_label]:
            if moved.to_label == count.label:
                yield 1, f"{moved.experiment_id} was in {moved.from_label} ({moved.words})"
            elif moved.from_label == count.label:
                yield -1, f"{moved.experiment_id} is now in {moved.to_label} ({moved.words})"


def _shown(ids: Sequence[int]) -> str:
    more = len(ids) - _SHOWN_IDS
    shown = ", ".join(map(str, ids[:_SHOWN_IDS]))
    return f"{shown} and {more} more" if more > 0 else shown
