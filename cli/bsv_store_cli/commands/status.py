"""``bsv-store status``."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bsv_store.errors import BsvStoreError, BusyError, StoreUnreachableError
from bsv_store_cli.help import Command, WordChoice
from bsv_store_cli.output.formats import emit, is_discarded, print_facts, print_json, print_rows
from bsv_store_cli.output.messages import complain, note
from bsv_store_cli.output.reports import host
from bsv_store_cli.output.tables import Column, count, day_time, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.tables.status import CatalogStatus
    from bsv_store.maintenance.state import Upkeep, VerificationState
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
_TEMPLATE_TABLE = (
    Column("spacing_um", "um"),
    Column("size", "size", right=True),
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


_SHORTEST_S = 0.2


@click.command(cls=Command)
@click.option(
    "--watch",
    "seconds",
    is_flag=False,
    flag_value="5",
    type=click.FloatRange(_SHORTEST_S),
    metavar="[SECONDS]",
    help="Refresh at this interval, by default every 5 seconds, until Ctrl-C.",
)
@click.option(
    "--output",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Replace a file atomically instead of printing; for the textfile collector of Prometheus.",
)
@click.option(
    "--format",
    "output_format",
    type=WordChoice(["table", "json", "csv", "prometheus"]),
    default="table",
    show_default=True,
    help="A table for reading; JSON or CSV for programs; metrics for Prometheus.",
)
def status(seconds: float | None, output: Path | None, output_format: str) -> None:
    """Show what the store contains, from which lists, and its state.

    With --format prometheus, a store that cannot be opened has the metric bsv_store_up 0, and the exit code tells why.
    """
    if output is not None and output_format != "prometheus":
        raise click.UsageError("--output requires --format prometheus")
    if seconds is None:
        _print_once(output_format, output)
        return
    with contextlib.suppress(KeyboardInterrupt):
        # A reader such as head may have finished.
        while not is_discarded():
            if sys.stdout.isatty():
                click.clear()
            try:
                _print_once(output_format, output)
            except (StoreUnreachableError, BusyError) as error:
                # A server that restarts comes back.
                complain(error.message, error.hint)
            time.sleep(seconds)


def _print_once(output_format: str, output: Path | None) -> None:
    if output_format == "prometheus":
        _print_metrics(output)
        return
    with opened_store() as store:
        state = store.status()
    if output_format == "json":
        print_json(state)
    elif output_format == "csv":
        print_rows(_counts(state), "csv", columns=("what", "count", "size_bytes"))
    else:
        _print_for_people(state)


def _print_metrics(output: Path | None) -> None:
    from bsv_store.store.metrics import prometheus_text, unreachable_text

    try:
        with opened_store() as store:
            text = prometheus_text(store.status())
    except BsvStoreError:
        _write(unreachable_text(), output)
        raise
    _write(text, output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        emit(text.removesuffix("\n"))
        return
    from bsv_store.formats.output_file import atomic_output

    # Complete at any time: the collector may read it now.
    with atomic_output(output, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
            ("Store", f"{state.path if state.server is None else state.server.url} (from {state.origin})"),
            *([] if state.server is None else [("Server", state.server.words)]),
            ("Id", state.store_id),
            ("Database", f"{state.database}, schema {state.schema_revision}"),
            ("Structures", f"{catalog.structures:,}"),
            ("Experiments", f"{catalog.experiments:,}{withdrawn}"),
            ("Unionizes", f"{number_of(catalog.unionize_rows, 'row')} of {measured}"),
            ("Volumes", f"{volumes:,}, {size_text(size)}"),
            ("Datasets", f"{catalog.datasets:,} with {number_of(catalog.dataset_versions, 'version')}{unchecked}"),
            *([] if state.upkeep is None else _state(state.upkeep)),
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
    templates = [
        {
            "spacing_um": each.spacing_um,
            "size": size_text(each.size_bytes),
            "source": host(each.source),
            "fetched_at": each.fetched_at,
        }
        for each in catalog.templates
    ]
    print_rows(templates, "table", columns=(), table=_TEMPLATE_TABLE, title="Template")
    print_rows(_lists(catalog), "table", columns=(), table=_LIST_TABLE, title="Lists")
    if state.upkeep is not None and state.upkeep.verification.damaged:
        note("To see the damage and its remedy: bsv-store repair")
    if catalog.different_injection_volumes:
        note(
            f"The injection volumes of {number_of(len(catalog.different_injection_volumes), 'experiment')} differ "
            "between the experiment list\n"
            "(used by selections) and the unionize rows (used to normalize averages): "
            f"{listed_ids(catalog.different_injection_volumes)}."
        )
    if not catalog.experiments:
        note("The catalog is empty. Next: bsv-store sync structures, then bsv-store sync experiments.")


def _state(upkeep: Upkeep) -> list[tuple[str, str]]:
    from bsv_store.text import size_text

    trash, temporary, claims, disk = upkeep.trash, upkeep.temporary, upkeep.claims, upkeep.disk
    ended = f", {claims.ended:,} left by jobs that ended" if claims.ended else ""
    return [
        ("Trash", f"{number_of(trash.files, 'file')}, {size_text(trash.size_bytes)}"),
        ("Temporary", f"{number_of(temporary.files, 'file')}, {size_text(temporary.size_bytes)}"),
        ("Claims", f"{claims.live:,} of running jobs{ended}"),
        ("Verified", _verified(upkeep.verification)),
        ("Disk", f"{size_text(disk.free_bytes)} of {size_text(disk.total_bytes)} free"),
    ]


def _verified(state: VerificationState) -> str:
    if state.never:
        text = f"{number_of(state.never, 'object')} never verified"
    elif state.oldest_at is None:
        text = "nothing to verify"
    else:
        text = f"all since {state.oldest_at:%Y-%m-%d}"
    return f"{text}; {number_of(state.damaged, 'object')} found damaged" if state.damaged else text


def _lists(catalog: CatalogStatus) -> list[dict[str, Any]]:
    """The newest lists."""
    return [
        {
            "what": each.what,
            "kind": each.kind,
            "source": host(each.source),
            "upstream_date": each.upstream_date,
            "taken_at": each.taken_at,
            "rows": each.rows,
        }
        for each in catalog.latest_lists
    ]


def _counts(state: StoreStatus) -> list[dict[str, Any]]:
    catalog, upkeep = state.catalog, state.upkeep
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
    templates = [
        {"what": f"template {each.spacing_um} um", "count": 1, "size_bytes": each.size_bytes}
        for each in catalog.templates
    ]
    rest = [] if upkeep is None else _upkeep_counts(upkeep)
    return [
        *({"what": what, "count": number} for what, number in counts.items()),
        *volumes,
        *annotations,
        *templates,
        *rest,
    ]


def _upkeep_counts(upkeep: Upkeep) -> list[dict[str, Any]]:
    return [
        {"what": "trash", "count": upkeep.trash.files, "size_bytes": upkeep.trash.size_bytes},
        {"what": "temporary files", "count": upkeep.temporary.files, "size_bytes": upkeep.temporary.size_bytes},
        {"what": "claims of running jobs", "count": upkeep.claims.live},
        {"what": "claims of ended jobs", "count": upkeep.claims.ended},
        {"what": "never verified", "count": upkeep.verification.never},
        {"what": "found damaged", "count": upkeep.verification.damaged},
        {"what": "free disk space", "size_bytes": upkeep.disk.free_bytes},
    ]
