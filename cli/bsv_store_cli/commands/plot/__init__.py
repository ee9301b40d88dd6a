"""``bsv-store plot``."""

from __future__ import annotations

import click

from bsv_store_cli.commands.plot.differences import differences
from bsv_store_cli.commands.plot.injections import injections
from bsv_store_cli.commands.plot.matrix import matrix
from bsv_store_cli.commands.plot.overlay import overlay
from bsv_store_cli.commands.plot.projections import projections
from bsv_store_cli.commands.plot.regions import regions
from bsv_store_cli.commands.plot.slices import slices
from bsv_store_cli.commands.plot.targets import targets
from bsv_store_cli.commands.plot.view3d import view_3d
from bsv_store_cli.help import Group


@click.group(cls=Group)
def plot() -> None:
    """Draw figures into .png, .pdf or .svg files, and a 3-D view into an .html file.

    What is drawn comes first and FILE last, as in `plot slices visual@1 FILE`. Commands that draw a selection have
    options for it instead: `plot injections FILE --injected-in VIS`.

    Figures require Matplotlib: pip install 'bsv-store[plot]'
    """


for _command in (slices, projections, regions, overlay, injections, targets, differences, matrix, view_3d):
    plot.add_command(_command)
