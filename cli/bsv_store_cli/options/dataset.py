"""What commands about dataset versions share: the argument that names one, and who computes."""

from __future__ import annotations

import click

REF = click.argument("ref", metavar="NAME[@VERSION]")
COMPUTING_WORKERS = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Compute in N processes, which pays for some hundred volumes of 25 um.",
)
