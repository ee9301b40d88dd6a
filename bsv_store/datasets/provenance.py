"""The lists, the ontology and the annotation behind a version, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import Connection, select

from bsv_store.catalog.activity import activity_details
from bsv_store.catalog.annotations import find_annotation
from bsv_store.catalog.database.models import SourceSnapshot
from bsv_store.catalog.ranks import snapshot_rank
from bsv_store.html import card
from bsv_store.sources.allen.addresses import ALLEN_HOSTS
from bsv_store.vocabulary import EXPERIMENT_SOURCE_KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from bsv_store.catalog.activity import Details


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """A list or ontology that was current when the version was created."""

    what: str
    kind: str
    source: str
    upstream_date: date | None
    taken_at: datetime
    content_sha256: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """The data behind a version, in words; None = not known.

    Attributes
    ----------
    exported_as : str or None
        Name and number in the store that exported the version, if it was imported.
    experiment_list : str or None
        The experiment list with its date, such as 'Allen API of 2020-07-01, stored on 2026-03-04'.
    ontology : str or None
        The structure ontology, in the same form.
    annotation : str or None
        Name of the annotation that means over structures use.
    annotation_sha256 : str or None
        Hash of its array.
    """

    exported_as: str | None = None
    experiment_list: str | None = None
    ontology: str | None = None
    annotation: str | None = None
    annotation_sha256: str | None = None

    def _repr_html_(self) -> str:
        facts = [(key[0].upper() + key[1:], getattr(self, name)) for name, key in _KEYS.items()]
        return card("Data behind the version", kind="provenance", facts=facts)

    def to_details(self) -> Details:
        """The known parts, by their names in the activity of the store."""
        values = {key: getattr(self, name) for name, key in _KEYS.items()}
        return {key: value for key, value in values.items() if value is not None}


_KEYS = {
    "exported_as": "exported as",
    "experiment_list": "experiment list",
    "ontology": "ontology",
    "annotation": "annotation",
    "annotation_sha256": "annotation SHA-256",
}


def provenance_of(
    connection: Connection, ref: str, *, created_at: datetime, is_imported: bool, spacing_um: int
) -> Provenance:
    """The data behind a version; what the bundle said, if it was imported."""
    if is_imported:
        details = activity_details(connection, "imported", ref)
        texts = {name: details.get(key) for name, key in _KEYS.items()}
        return Provenance(**{name: text for name, text in texts.items() if isinstance(text, str)})
    lists = lists_of(connection, created_at)
    annotation = find_annotation(connection, spacing_um)
    ontology = next((each for each in lists if each.what == "structures"), None)
    return Provenance(
        experiment_list=_experiment_list(lists),
        ontology=None if ontology is None else _snapshot_words(ontology, _ontology_words(ontology.kind)),
        annotation=None if annotation is None else annotation.name,
        annotation_sha256=None if annotation is None else annotation.array_sha256,
    )


def lists_of(connection: Connection, until: datetime) -> tuple[SnapshotSource, ...]:
    """The newest structures and experiments of each kind that were stored by a time."""
    query = (
        select(SourceSnapshot)
        .with_only_columns(
            SourceSnapshot.id,
            SourceSnapshot.what,
            SourceSnapshot.kind,
            SourceSnapshot.source,
            SourceSnapshot.upstream_date,
            SourceSnapshot.taken_at,
            SourceSnapshot.content_sha256,
        )
        .where(SourceSnapshot.what.in_(["structures", "experiments"]), SourceSnapshot.taken_at <= until)
    )
    ranked = sorted(connection.execute(query), key=lambda row: snapshot_rank(row.what, row.upstream_date, row.id))
    newest = {(row.what, row.kind): SnapshotSource(*row[1:]) for row in ranked}
    return tuple(newest[key] for key in sorted(newest))


def _experiment_list(lists: Sequence[SnapshotSource]) -> str | None:
    """The current list, and the other one that fills in its missing values."""
    by_kind = {each.kind: each for each in lists if each.what == "experiments"}
    kinds = [row for name, row in EXPERIMENT_SOURCE_KINDS.items() if name in by_kind and not row.is_historic]
    used = [row for at, row in enumerate(kinds) if at == 0 or row.fills_gaps]
    texts = [_snapshot_words(by_kind[row.name], row.methods) for row in used]
    return "; missing values from ".join(texts) or None


def _ontology_words(kind: str) -> str:
    row = EXPERIMENT_SOURCE_KINDS.get(kind)
    return kind if row is None else row.methods


def _snapshot_words(snapshot: SnapshotSource, words: str) -> str:
    of_date = "" if snapshot.upstream_date is None else f" of {snapshot.upstream_date}"
    host = urlsplit(snapshot.source).hostname if "://" in snapshot.source else None
    # A mirror or a synthetic atlas answers in the format of the Allen API.
    via = "" if host is None or host in ALLEN_HOSTS else f" via {host}"
    return f"{words}{via}{of_date}, stored on {snapshot.taken_at:%Y-%m-%d}"
