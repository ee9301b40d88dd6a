"""Messages on the command line name options, those in Python arguments."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from bsv_store import Selection, open_store
from bsv_store.errors import InputError
from bsv_store.vocabulary import BILATERAL_RULES
from bsv_store_cli.help import RowChoice
from bsv_store_cli.spelling import with_options
from tests.cli.conftest import VISP
from tests.cli.running import Runner

OPTIONS = [
    click.Option(["--allow-shrinking"], is_flag=True),
    click.Option(["--spacing", "spacing_um"]),
    click.Option(["--limit"]),
    click.Option(["--near"]),
    click.Option(["--injected/--projected"]),
    click.Option(["--bilateral-rule"], type=RowChoice(BILATERAL_RULES)),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accept it with allow_shrinking=True.", "accept it with --allow-shrinking."),
        ("spacing_um must be 10", "--spacing must be 10"),
        ("use spacing_um=100, or limit=10.", "use --spacing 100, or --limit 10."),
        ("near=(8000, 1500, 8500)", "--near 8000,1500,8500"),
        ("Use bilateral_rule='larger_side'", "Use --bilateral-rule larger-side"),
        ("the limit of the server", "the limit of the server"),
        *((same, same) for same in ("in /data/spacing_um/a", "a column 'spacing_um'", "the file spacing_um.csv")),
        ("replace=True", "replace=True"),
    ],
)
def test_arguments_become_options(text: str, expected: str) -> None:
    assert with_options(text, OPTIONS) == expected


def test_errors_name_the_options_of_the_command(run: Runner, own_filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "volume.nii.gz"
    run("volume", "export", VISP[0], target, "--like-allen", store=own_filled).refused(2, "option --like-allen")
    run("volume", "export", VISP[0], target, store=own_filled).succeeded()
    run("volume", "export", VISP[0], target, store=own_filled).refused(2, "or replace it with --overwrite.")
    run("exclude", "add", VISP[0], "--reason", "leak", store=own_filled).succeeded()
    run("exclude", "add", VISP[0], "--reason", "tear", store=own_filled).refused(
        2, "Replace the reason with --replace."
    )
    shown = run("select", "--ids", VISP[0], store=own_filled).refused(2, "Include them with --include-excluded in")
    assert "=True" not in shown.err
    run("matrix", "--target", "CP", "--structure-set", 1, store=own_filled).refused(2, "--structure-set")


def test_in_python_the_same_errors_name_arguments(own_filled: Path, tmp_path: Path) -> None:
    with open_store(own_filled) as store:
        store.volumes.export(VISP[0], tmp_path / "a.nrrd")
        with pytest.raises(InputError, match=r"overwrite=True"):
            store.volumes.export(VISP[0], tmp_path / "a.nrrd")
        store.catalog.exclude([VISP[0]], "leak")
        with pytest.raises(InputError, match=r"include_excluded=True in"):
            store.select(Selection(ids=[VISP[0]]))
