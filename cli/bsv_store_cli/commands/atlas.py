"""``bsv-store atlas``."""

from __future__ import annotations

from pathlib import Path

import click

from bsv_store.formats.table import IMAGE_FORMATS
from bsv_store_cli.help import Group
from bsv_store_cli.options.export import format_lines, like_allen_option
from bsv_store_cli.options.volume import spacing_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store

_TEMPLATE_HELP = f"""Write the average template, an image of the average brain, to FILE.

The ending of FILE selects the format. Allen's template has unsigned 16-bit integers.

{format_lines(IMAGE_FORMATS)}

\b
Example:
  bsv-store sync template --spacing 25
  bsv-store atlas template --spacing 25 -o template.nii.gz
"""


@click.group(cls=Group)
def atlas() -> None:
    """Export the average template. For structures and the annotation, see `bsv-store structures`."""


@atlas.command(help=_TEMPLATE_HELP)
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Image to write."
)
@spacing_option
@like_allen_option
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def template(target: Path, spacing_um: int, like_allen: bool, overwrite: bool) -> None:
    """Write the average template to FILE."""
    with opened_store() as store:
        written = store.atlas.export_template(target, spacing_um=spacing_um, like_allen=like_allen, overwrite=overwrite)
    note(f"Wrote {target}: {written.name}.")
