"""``bsv-store cache``."""

from __future__ import annotations

from datetime import timedelta

import click

from bsv_store_cli.help import Command, Group
from bsv_store_cli.options.quantities import Duration, Size
from bsv_store_cli.output.formats import format_option, print_json, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import Column, count, day_time, number_of

_COLUMNS = ("sha256", "name", "servers", "path", "size_bytes", "last_used", "is_partial")
_FILE_TABLE = (
    Column("name", "file", lambda value: str(value or "not in a catalog")),
    Column("size", "size", right=True),
    Column("last_used", "last used", day_time),
    Column("part", "", optional=True),
)
_SERVER_TABLE = (
    Column("url", "server"),
    Column("files", "files", count),
    Column("files_size", "size", right=True),
    Column("catalog_size", "catalog", right=True),
    Column("averages", "averages", count),
    Column("last_used", "last used", day_time),
)
_RESULT_TABLE = (
    Column("ref", "average"),
    Column("server", "server"),
    Column("size", "size", right=True),
    Column("created_at", "computed", day_time),
)
_FINDINGS = ("path", "name", "problem")


@click.group(cls=Group)
def cache() -> None:
    """List, prune and verify the cache of stores on servers.

    The cache has the files of stores that were opened by their address, copies of their catalogs, and averages that
    were computed on this computer. These commands need neither a network nor a store. BSV_STORE_CACHE, or cache in the
    configuration file, names its folder; BSV_STORE_CACHE_MAX_BYTES, or cache_max_bytes, limits its size.
    """


@cache.command("list", cls=Command)
@click.option("--files", "show_files", is_flag=True, help="List every file; CSV always does.")
@format_option
def list_(show_files: bool, output_format: str) -> None:
    """List the servers, averages and files in the cache, with their sizes."""
    from bsv_store.remote.cache import list_cache
    from bsv_store.text import size_text

    contents = list_cache()
    files = [
        {
            **{name: getattr(each, name) for name in _COLUMNS},
            "size": size_text(each.size_bytes),
            "part": "in part" if each.is_partial else None,
        }
        for each in contents.files
    ]
    if output_format == "json":
        print_json(contents)
        return
    if output_format != "table":
        print_rows(files, output_format, columns=_COLUMNS)
        return
    servers = [
        {
            "url": each.url,
            "files": each.files,
            "files_size": size_text(each.files_bytes),
            "catalog_size": size_text(each.catalog_bytes),
            "averages": len(each.results),
            "last_used": each.last_used,
        }
        for each in contents.servers
    ]
    print_rows(servers, "table", columns=(), table=_SERVER_TABLE, title="Servers")
    averages = [
        {"ref": each.ref, "server": server.url, "size": size_text(each.size_bytes), "created_at": each.created_at}
        for server in contents.servers
        for each in server.results
    ]
    print_rows(averages, "table", columns=(), table=_RESULT_TABLE, title="Averages computed on this computer")
    if show_files:
        print_rows(files, "table", columns=(), table=_FILE_TABLE, title="Files")
    say(str(contents))


@cache.command(cls=Command)
@click.option("--max-bytes", type=Size(), metavar="SIZE", help="Remove the least recently used files above this size.")
@click.option("--unused-for", type=Duration(), help="Remove files that were not used for this time, such as 30d.")
@click.option("--server", metavar="URL", help="Remove everything of one server, averages computed here included.")
@click.option("--average", multiple=True, metavar="REF", help="Remove an average computed here; can be repeated.")
@click.option("--apply", is_flag=True, help="Remove; otherwise only print the plan.")
@format_option
def prune(
    max_bytes: int | None,
    unused_for: timedelta | None,
    server: str | None,
    average: tuple[str, ...],
    apply: bool,
    output_format: str,
) -> None:
    """Remove files from the cache. They are downloaded again when they are needed.

    Give at least one rule; a file is removed if any of them applies. Only --server removes catalogs, and only --server
    and --average remove averages that were computed here.

    \b
    Examples:
      bsv-store cache prune --max-bytes 5GB --apply
      bsv-store cache prune --unused-for 30d
      bsv-store cache prune --average visual@local-0123456789ab --apply
    """  # noqa: D301 (click wants the character)
    from bsv_store.remote.cache import prune_cache
    from bsv_store.text import size_text

    report = prune_cache(max_bytes=max_bytes, unused_for=unused_for, server=server, averages=average, apply=apply)
    if output_format == "json":
        print_json(report)
        return
    rows = [
        {
            **{name: getattr(each, name) for name in _COLUMNS},
            "size": size_text(each.size_bytes),
            "part": "in part" if each.is_partial else None,
        }
        for each in report.files
    ]
    print_rows(rows, output_format, columns=_COLUMNS, table=_FILE_TABLE)
    note(str(report))
    if not report.is_applied and (report.files or report.servers or report.averages):
        note("Nothing was changed. To remove it: add --apply.")


@cache.command(cls=Command)
@click.option("--discard-damaged", is_flag=True, help="Remove damaged files; they are downloaded again when needed.")
@format_option
def verify(discard_damaged: bool, output_format: str) -> None:
    """Read every byte in the cache, and compare it with the hash of its file.

    Parts of large volumes are verified when they are used. Exit code 1: something is damaged.
    """
    from bsv_store.remote.cache import verify_cache
    from bsv_store.text import size_text

    with progress_bar() as progress:
        report = verify_cache(discard_damaged=discard_damaged, progress=progress)
    if output_format == "json":
        print_json(report)
    else:
        rows = [{name: getattr(each, name) for name in _FINDINGS} for each in report.findings]
        print_rows(rows, output_format, columns=_FINDINGS)
    note(
        f"{number_of(report.files, 'file')}, {size_text(report.size_bytes)} read; "
        f"{number_of(len(report.findings), 'finding')}."
    )
    if report.partial:
        note(f"{number_of(report.partial, 'file')} in part: each part is verified when it is used.")
    if report.discarded:
        note(f"Removed {number_of(report.discarded, 'damaged file')}.")
    if report.findings:
        click.get_current_context().exit(1)
