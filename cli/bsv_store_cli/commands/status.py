"""``bsv-store status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_facts, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.reports import host
from bsv_store_cli.output.tables import Column, count, day_time, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.tables.status import CatalogStatus
    from bsv_store.store.store import StoreStatus

_VOLUME_TABLE = (
    Column("kind", "kind"),
    Column("spacing_um", "um"),
    Column("volumes", "volumes", count),
    Column("size", "size", right=True),
)
_ANNOTATION_TABLE = (
    Column("spacing_um", "um"),
    Column("structures", "structures", count),
    Column("size", "size", right=True),
    Column("origin", "origin"),
    Column("derived_from_um", "derived from um", optional=True),
    Column("source", "source"),
    Column("fetched_at", "stored", day_time),
)
_LIST_TABLE = (
    Column("what", "list"),
    Column("kind", "kind"),
    Column("source", "source"),
    Column("upstream_date", "upstream date", optional=True),
    Column("taken_at", "ingested", day_time),
    Column("rows", "rows", count),
)


@click.command(cls=Command)
@format_option
def status(output_format: str) -> None:
    """Show what the store contains, and from which lists."""
    with opened_store() as store:
        state = store.status()
    if output_format == "json":
        print_json(state)
    elif output_format == "csv":
        print_rows(_counts(state.catalog), "csv", columns=("what", "count", "size_bytes"))
    else:
        _print_for_people(state)


def _print_for_people(state: StoreStatus) -> None:
    from bsv_store.text import listed_ids, size_text

    catalog = state.catalog
    volumes = sum(each.volumes for each in catalog.volumes)
    size = sum(each.size_bytes for each in catalog.volumes)
    measured = number_of(catalog.experiments_with_unionizes, "experiment")
    withdrawn = f", {catalog.withdrawn_experiments:,} of them withdrawn" if catalog.withdrawn_experiments else ""
    unchecked = f", {catalog.unchecked_versions:,} of them imported, not checked" if catalog.unchecked_versions else ""
    print_facts(
        [
            ("Store", state.path),
            ("Id", state.store_id),
            ("Database", f"{state.database}, schema {state.schema_revision}"),
            ("Structures", f"{catalog.structures:,}"),
            ("Experiments", f"{catalog.experiments:,}{withdrawn}"),
            ("Unionizes", f"{number_of(catalog.unionize_rows, 'row')} of {measured}"),
            ("Volumes", f"{volumes:,}, {size_text(size)}"),
            ("Datasets", f"{catalog.datasets:,} with {number_of(catalog.dataset_versions, 'version')}{unchecked}"),
        ]
    )
    rows = [
        {
            "kind": each.kind,
            "spacing_um": each.spacing_um,
            "volumes": each.volumes,
            "size": size_text(each.size_bytes),
        }
        for each in catalog.volumes
    ]
    print_rows(rows, "table", columns=(), table=_VOLUME_TABLE, title="Volumes")
    annotations = [
        {
            "spacing_um": each.spacing_um,
            "structures": each.structures,
            "size": size_text(each.size_bytes),
            "origin": each.origin,
            "derived_from_um": each.derived_from_um,
            "source": host(each.source),
            "fetched_at": each.fetched_at,
        }
        for each in catalog.annotations
    ]
    print_rows(annotations, "table", columns=(), table=_ANNOTATION_TABLE, title="Annotation")
    print_rows(_lists(catalog), "table", columns=(), table=_LIST_TABLE, title="Lists")
    if catalog.different_injection_volumes:
        note(
            f"The injection volumes of {number_of(len(catalog.different_injection_volumes), 'experiment')} differ "
            "between the experiment list\n"
            "(used by selections) and the unionize rows (used to normalize averages): "
            f"{listed_ids(catalog.different_injection_volumes)}."
        )
    if not catalog.experiments:
        note("The catalog is empty. Next: bsv-store sync structures, then bsv-store sync experiments.")


def _lists(catalog: CatalogStatus) -> list[dict[str, Any]]:
    """The newest lists. Unionize tables are omitted: each experiment has its own."""
    return [
        {
            "what": each.what,
            "kind": each.kind,
            "source": host(each.source),
            "upstream_date": each.upstream_date,
            "taken_at": each.taken_at,
            "rows": each.rows,
        }
        for each in catalog.latest_snapshots
        if each.what != "unionizes"
    ]


def _counts(catalog: CatalogStatus) -> list[dict[str, Any]]:
    counts = {
        "structures": catalog.structures,
        "experiments": catalog.experiments,
        "withdrawn experiments": catalog.withdrawn_experiments,
        "unionize rows": catalog.unionize_rows,
        "experiments with unionizes": catalog.experiments_with_unionizes,
        "datasets": catalog.datasets,
        "dataset versions": catalog.dataset_versions,
        "dataset versions, imported and not checked": catalog.unchecked_versions,
    }
    volumes = [
        {"what": f"{each.kind} {each.spacing_um} um", "count": each.volumes, "size_bytes": each.size_bytes}
        for each in catalog.volumes
    ]
    annotations = [
        {"what": f"annotation {each.spacing_um} um", "count": 1, "size_bytes": each.size_bytes}
        for each in catalog.annotations
    ]
    return [*({"what": what, "count": number} for what, number in counts.items()), *volumes, *annotations]
