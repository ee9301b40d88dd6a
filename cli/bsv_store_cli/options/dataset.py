"""Arguments and options of commands about versions."""

from __future__ import annotations

import click

from bsv_store_cli.options.completion import complete_versions

REF = click.argument("ref", metavar="NAME[@VERSION]", shell_complete=complete_versions)
COMPUTING_WORKERS = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes. More than one is faster from some hundred volumes at 25 um.",
)
