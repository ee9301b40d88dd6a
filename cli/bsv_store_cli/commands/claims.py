"""``bsv-store claims``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command, Group
from bsv_store_cli.output.formats import format_option, frame_rows, print_rows
from bsv_store_cli.output.messages import confirmed, note
from bsv_store_cli.output.tables import Column, day_time
from bsv_store_cli.session import opened_store


def _lease(seconds: float) -> str:
    from bsv_store.text import duration_text

    return duration_text(seconds) if seconds >= 0 else "expired"


_TABLE = (
    Column("object", "object"),
    Column("host", "host"),
    Column("process_id", "process"),
    Column("state", "state"),
    Column("claimed_at", "since", day_time),
    Column("expires_in_s", "expires in", _lease),
)


@click.group(cls=Group)
def claims() -> None:
    """List the downloads that runs have claimed, or break claims.

    A run claims each object before it downloads it, and other runs wait for it. A claim is taken over at once if its
    process has certainly ended, otherwise when it expires, a minute after its process last renewed it. The objects
    connection/HOST/NUMBER are the connections to a server, which all runs share.
    """


@claims.command("list", cls=Command)
@format_option
def list_(output_format: str) -> None:
    """List the claimed objects and who holds them.

    The state is that of the process: alive, ended, or unknown if it is on another host or in another container.
    """
    with opened_store() as store:
        frame = store.admin.claims()
    if frame.empty:
        note("No objects are claimed.")
    print_rows(frame_rows(frame), output_format, columns=tuple(frame.columns), table=_TABLE)


@claims.command("break", cls=Command)
@click.argument("keys", metavar="OBJECT...", nargs=-1)
@click.option("--all-ended", is_flag=True, help="Break the claims of all processes that have certainly ended.")
@click.option("--yes", is_flag=True, help="Do not ask before breaking claims of processes that may be running.")
def break_(keys: tuple[str, ...], all_ended: bool, yes: bool) -> None:
    """Break the claims on objects, as shown by `claims list`.

    A process that lost a claim does not store the object. Breaking the claim of a running process therefore costs a
    second download, and no more.
    """
    if bool(keys) == all_ended:
        raise click.UsageError("name the objects, or use --all-ended, but not both")
    with opened_store() as store:
        if keys and not yes:
            frame = store.admin.claims()
            running = frame[frame["object"].isin(keys) & (frame["state"] != "ended")]
            if len(running):
                _ask(len(running), sorted(set(running["host"])))
        broken = store.admin.break_claims(keys or None, all_ended=all_ended)
    for key in broken:
        click.echo(key)
    note(f"{len(broken)} claim{'' if len(broken) == 1 else 's'} broken.")


def _ask(count: int, hosts: list[str]) -> None:
    from bsv_store.text import listed, number_of

    problem = f"The processes that hold {number_of(count, 'claim')} (host: {listed(hosts)}) may be running."
    if not confirmed(problem, "Break anyway?"):
        raise click.UsageError(f"nothing was broken. {problem} Use --yes to break the claims without a question")
