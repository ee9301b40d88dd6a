"""``bsv-store demo``."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bsv_store.text import store_option
from bsv_store_cli.help import Command

_NAME = "visual-by-AP"
_SELECTION = ["--injected-in", "VISp", "--injected-in", "VISl", "--line", "wild-type"]
_RECIPE = ["--group-by", "AP", "--bins", "3", "--normalize", "injection-volume", "--name", _NAME]
_EMPHASIZED = ["--emphasize", "VISp", "--emphasize", "CP"]
_SYNTHETIC = "SYNTHETIC DATA: wild type, VISp and VISl"
_REPORT = "report.html"
_FIGURES = {"slices": "slices.png", "injections": "injections.png", "targets": "targets.png"}

_CONTINUE = """\
To fetch more data into it, start the server of the package bsv_store_synthetic again; it offers the same
{experiments} experiments:

  {python} -m bsv_store_synthetic --port 8080 --experiments {experiments}{anatomy} &
  export BSV_STORE={store}
  export BSV_STORE_API_URL=http://127.0.0.1:8080 BSV_STORE_DOWNLOAD_URL=http://127.0.0.1:8080

  bsv-store aggregate --all --group-by line --name by-line --fetch"""

_AGAINST_ALLEN = """\
The same with the real Allen API takes twelve commands, in a new shell without these variables:

  export BSV_STORE=/lab/share/bsv

  bsv-store init
  bsv-store sync structures
  bsv-store sync experiments
  bsv-store sync annotation
  bsv-store sync unionizes --injected-in VISp --injected-in VISl --line wild-type
  bsv-store targets --injected-in VISp --injected-in VISl --line wild-type --limit 8
  bsv-store aggregate --injected-in VISp --injected-in VISl --line wild-type \\
      --group-by AP --bins 5 --normalize injection-volume --name visual-by-AP --fetch
  bsv-store dataset regions visual-by-AP --limit 10
  bsv-store plot slices visual-by-AP slices.png --emphasize VISp --emphasize CP
  bsv-store plot injections injections.png --dataset visual-by-AP
  bsv-store plot targets targets.png --injected-in VISp --injected-in VISl --line wild-type
  bsv-store report visual-by-AP -o report.html"""


@click.command(cls=Command)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="New folder for the store, the figures and the report.  [default: one in the system's temporary folder]",
)
@click.option(
    "--anatomy",
    metavar="STORE",
    help="Use the structures and the annotation of this store, such as Allen's, instead of a synthetic brain.",
)
@click.option(
    "--experiments",
    type=click.IntRange(12, 500),
    metavar="N",
    default=24,
    show_default=True,
    help="Number of experiments in the synthetic atlas.",
)
def demo(keep: Path | None, anatomy: str | None, experiments: int) -> None:
    """Run a complete example on a synthetic atlas, over HTTP as with the Allen API.

    Nothing in it is real: structures, experiments and volumes are computed by formulas. With --anatomy, structures
    and annotation are those of a store, and only experiments and volumes are synthetic.
    """
    from bsv_store.config import locate_store
    from bsv_store.errors import StoreExistsError
    from bsv_store_synthetic import SyntheticServer
    from bsv_store_synthetic.stored import atlas_in

    if keep is not None and keep.exists():
        raise StoreExistsError(f"the folder {keep} exists", hint="Name a new folder for --keep.")
    if anatomy is not None:
        brain = locate_store(anatomy)
        anatomy = brain.url or str(brain.path)
    with atlas_in(anatomy, experiments=experiments) as atlas, SyntheticServer(atlas) as server:
        # The commands that are printed must also work in another folder.
        folder = keep.absolute() if keep is not None else Path(tempfile.mkdtemp(prefix="bsv-store-demo-"))
        folder.mkdir(parents=True, exist_ok=True)
        store = folder / "store"
        computed = "structures, experiments and volumes" if anatomy is None else "experiments and volumes"
        _say(f"SYNTHETIC DATA: {computed} are computed by formulas, without biological meaning.")
        if anatomy is not None:
            _say(f"The structures and the annotation are those of the store {anatomy}.")
        _say(f"A server on this machine, {server.url}, offers them in the formats of the Allen API.")
        with _environment(BSV_STORE=str(store), BSV_STORE_API_URL=server.url, BSV_STORE_DOWNLOAD_URL=server.url):
            _fill_store(atlas.anatomy.drawn_um)
    _say("The server is stopped: everything below uses only the store.")
    with _environment(BSV_STORE=str(store)):
        _use_store(folder)
    _say(f"Open the report in a browser: {folder / _REPORT}")
    click.echo(f"Figures: {', '.join(str(folder / name) for name in _FIGURES.values())}")
    click.echo(f"To use the store: export BSV_STORE={shlex.quote(str(store))}")
    click.echo(f"To look around in a browser: bsv-store {store_option(store)} serve")
    python, location = shlex.quote(sys.executable), shlex.quote(str(store))
    again = "" if anatomy is None else f" --anatomy {shlex.quote(anatomy)}"
    click.echo(f"\n{_CONTINUE.format(experiments=experiments, anatomy=again, python=python, store=location)}")
    click.echo(f"\n{_AGAINST_ALLEN}")


def _fill_store(annotation_um: int) -> None:
    # 100 um is the default.
    spacing = () if annotation_um == 100 else ("--spacing", str(annotation_um))
    _say("1. Create an empty store, and fill its catalog.")
    _run("init")
    _run("sync", "structures")
    _run("sync", "experiments")
    _run("sync", "annotation", *spacing)
    _say("2. Select the wild-type mice injected in two visual areas.")
    _run("select", *_SELECTION)
    _say("3. Where do they project? The unionize tables have the signal of each experiment by structure.")
    _run("sync", "unionizes", *_SELECTION)
    _run("targets", *_SELECTION, "--limit", "8")
    _say("4. Average them by the position of the injection, anterior to posterior. Missing data are fetched first.")
    _run("aggregate", *_SELECTION, *_RECIPE, "--fetch")


def _use_store(folder: Path) -> None:
    figures = {name: str(folder / file) for name, file in _FIGURES.items()}
    title = ["--title", _SYNTHETIC]
    _say("5. Show the groups with their members, and the exact recipe.")
    _run("dataset", "show", _NAME, "--members")
    _say("6. Repeat the same average: it comes from the store, without computing.")
    _run("aggregate", *_SELECTION, *_RECIPE)
    _say("7. Measure the projections in structures. The annotation assigns each voxel to a structure.")
    _run("dataset", "regions", _NAME, "--structure", "LGd", "--structure", "CP", "--hemisphere", "right")
    _say("8. Query the catalog, and show the status of the store.")
    _run("sql", "select primary_structure, count(*) as experiments from experiments group by 1 order by 2 desc, 1")
    _run("status")
    _say("9. Draw the average in slices, the injection sites, and the strongest targets.")
    _run("plot", "slices", _NAME, figures["slices"], *_EMPHASIZED, *title)
    _run("plot", "injections", figures["injections"], "--dataset", _NAME, *title)
    _run("plot", "targets", figures["targets"], *_SELECTION, *title)
    _say("10. Write the report: figures, tables, methods text and provenance in one file.")
    _run("report", _NAME, "-o", str(folder / _REPORT), "--title", _SYNTHETIC)


def _say(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _run(*arguments: str) -> None:
    """Print a command as typed in a shell, and run it."""
    from bsv_store_cli.main import cli

    click.secho(f"\n$ bsv-store {shlex.join(arguments)}", fg="cyan")
    code = cli.main(list(arguments), prog_name="bsv-store", standalone_mode=False)
    if isinstance(code, int) and code != 0:
        click.get_current_context().exit(code)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
