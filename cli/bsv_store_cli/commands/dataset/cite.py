"""``bsv-store dataset cite``."""

from __future__ import annotations

import click

from bsv_store.datasets.weights import members_with_weights
from bsv_store_cli.help import Command, WordChoice
from bsv_store_cli.options.dataset import REF
from bsv_store_cli.output.formats import emit, frame_rows, print_json, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store


@click.command(cls=Command)
@REF
@click.option(
    "--format",
    "citation_format",
    type=WordChoice(["text", "bibtex", "ris", "json", "csv"]),
    default="text",
    show_default=True,
    help="The whole draft, the references, all parts as JSON, or the table of the members.",
)
def cite(ref: str, citation_format: str) -> None:
    """Print a draft of how to cite a version.

    Methods, acknowledgement, experiments and references. Check the draft before you publish it.
    """
    from bsv_store.datasets.share.citation import CHECK_FIRST

    with opened_store() as store:
        version = store.dataset(ref)
        citation = store.datasets.cite(version)
    if citation_format == "text":
        say(str(citation).rstrip("\n"))
        return
    note(CHECK_FIRST)
    if citation.origin is not None:
        note(citation.origin)
    if citation_format == "bibtex":
        emit(citation.bibtex.rstrip("\n"))
    elif citation_format == "ris":
        emit(citation.ris.rstrip("\r\n"))
    elif citation_format == "json":
        print_json(citation.to_dict())
    else:
        members = members_with_weights(version).drop(columns="left_out_reason")
        rows = [{**row, "dataset": version.ref} for row in frame_rows(members) if row["group"] is not None]
        print_rows(rows, "csv", columns=["dataset", *members.columns])
