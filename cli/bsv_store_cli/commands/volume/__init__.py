"""``bsv-store volume``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store.formats.table import IMAGE_FORMATS
from bsv_store_cli.commands.volume.centroid import centroid
from bsv_store_cli.commands.volume.check import check
from bsv_store_cli.commands.volume.structures import mask, masks, regions
from bsv_store_cli.commands.volume.subregions import subregions
from bsv_store_cli.commands.volume.threshold import threshold
from bsv_store_cli.help import Group
from bsv_store_cli.options.completion import complete_experiment
from bsv_store_cli.options.export import format_lines, like_allen_option
from bsv_store_cli.options.volume import hemisphere_rule_option, volume_options
from bsv_store_cli.output.formats import format_option, print_facts, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import HemisphereRule, VolumeKind


@click.group(cls=Group)
def volume() -> None:
    """Show, check or export volumes; export masks of structures; measure signal and injections."""


@volume.command()
@click.argument("experiment_id", type=click.IntRange(min=1), shell_complete=complete_experiment)
@volume_options
@format_option
def show(experiment_id: int, kind: VolumeKind, spacing_um: int, output_format: str) -> None:
    """Show a volume: grid, values, hashes, where it came from. Its file is checked."""
    with opened_store() as store, _of_known_experiment(store, experiment_id):
        facts = store.volumes.describe(experiment_id, kind=kind, spacing_um=spacing_um)
    if output_format == "json":
        print_json(facts)
    elif output_format == "csv":
        print_rows([facts], "csv", columns=list(facts))
    else:
        print_facts([(name.replace("_", " "), value) for name, value in facts.items()])


@volume.command(help=f"Write a volume to FILE, whose ending selects the format.\n\n{format_lines(IMAGE_FORMATS)}")
@click.argument("experiment_id", type=click.IntRange(min=1), shell_complete=complete_experiment)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@volume_options
@hemisphere_rule_option
@like_allen_option
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def export(
    experiment_id: int,
    target: Path,
    kind: VolumeKind,
    spacing_um: int,
    hemisphere_rule: HemisphereRule,
    like_allen: bool,
    overwrite: bool,
) -> None:
    """Write a volume to FILE."""
    with opened_store() as store, _of_known_experiment(store, experiment_id):
        store.volumes.export(
            experiment_id,
            target,
            kind=kind,
            spacing_um=spacing_um,
            hemisphere_rule=hemisphere_rule,
            like_allen=like_allen,
            overwrite=overwrite,
        )
    note(f"Wrote {target}.")


@contextmanager
def _of_known_experiment(store: Store, experiment_id: int) -> Iterator[None]:
    """If the volume is missing, raise instead that the experiment is unknown, if it is."""
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.errors import MissingDataError

    try:
        yield
    except MissingDataError:
        store.select(Selection(ids=experiment_id))
        raise


for _command in (centroid, check, mask, masks, regions, subregions, threshold):
    volume.add_command(_command)
