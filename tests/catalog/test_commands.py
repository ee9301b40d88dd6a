"""Commands in hints, for few and for many experiments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import update

import bsv_store
from bsv_store import Selection, Store
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.selection.commands import fetch_command, selection_arguments, sync_command
from bsv_store.errors import ExcludedExperimentError, MissingDataError, StoreExistsError
from bsv_store.text import ids_option, with_file
from bsv_store_cli.main import cli
from tests.catalog.small_catalog import PROJECTIONS

PACKAGE = Path(bsv_store.__file__).parent
MANY = range(100_000_000, 100_000_283)


def test_few_ids_are_spelled_out() -> None:
    assert sync_command(Selection(ids=[2, 1]), [2, 1]) == "bsv-store sync unionizes --ids 1,2"


@pytest.mark.parametrize("ids", [[2, 1], MANY])
def test_experiments_on_the_exclusion_list_are_included_if_the_selection_includes_them(ids: Sequence[int]) -> None:
    command = sync_command(Selection(ids=ids, include_excluded=True), ids)
    assert command.startswith("bsv-store sync unionizes --ids ")
    assert " --include-excluded" in command


def test_the_command_for_a_missing_volume_works_for_an_excluded_experiment(filled: Store) -> None:
    filled.catalog.exclude([1, 2], "leaked")
    with pytest.raises(MissingDataError) as caught:
        filled.volume(1, kind="data_mask")
    assert caught.value.hint == ("Fetch it: bsv-store fetch --ids 1 --include-excluded --kind data_mask --spacing 100")
    with pytest.raises(ExcludedExperimentError) as refused:
        filled.select([1, 2, 3])
    assert "bsv-store exclude remove 1 2" in str(refused.value.hint)


def test_experiments_that_a_message_names_are_selected_whatever_their_status(filled: Store) -> None:
    first, second, withdrawn = filled.select()[:3]
    with filled.database.writing() as connection:
        connection.execute(update(Experiment).where(Experiment.id == withdrawn).values(withdrawn=True))
    filled.catalog.exclude([second], "leaked")
    options = ids_option([first, second, withdrawn]).split()
    arguments = ["--store", str(filled.path), "select", *options, "--ids-only"]
    done = CliRunner().invoke(cli, arguments, prog_name="bsv-store")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(first), str(second), str(withdrawn)]


def test_more_than_twenty_ids_are_read_from_a_file() -> None:
    assert ids_option(range(20)) == f"--ids {','.join(map(str, range(20)))} --include-excluded"
    command = f"bsv-store fetch {ids_option(range(21))}"
    assert with_file(command) == "bsv-store fetch --ids @FILE --include-excluded (FILE: a list of the ids)"


def test_the_folder_of_a_store_is_quoted_for_the_shell(tmp_path: Path) -> None:
    folder = tmp_path / "my store"
    bsv_store.create_store(folder).close()
    with pytest.raises(StoreExistsError) as caught:
        bsv_store.create_store(folder)
    assert caught.value.hint == f"Show it: bsv-store --store '{folder}' status. From Python, open it with open_store()."
    unquoted = [path for path in PACKAGE.rglob("*.py") if "--store {" in path.read_text(encoding="utf-8")]
    assert unquoted == [PACKAGE / "text.py"]


def test_all_messages_use_ids_option_for_experiments() -> None:
    """An f-string with ``--ids`` would lack the option for those on the exclusion list."""
    own = {"text.py", "catalog/selection/commands.py"}
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"--ids ([{@\d]|\"$)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert found == own


def test_the_command_for_missing_tables_names_all_of_them(small_store: Store) -> None:
    without = [key for key in small_store.select() if key not in PROJECTIONS]
    assert len(without) > 10
    with pytest.raises(MissingDataError) as caught:
        small_store.catalog.rank_structures(Selection())
    assert caught.value.hint == f"Fetch them: {sync_command(Selection(), without)}"


def test_a_selection_shorter_than_the_ids_is_used() -> None:
    command = fetch_command(Selection(injected_in="VISp"), MANY, kind="projection_density", spacing_um=100)
    assert '"injected_in":["VISp"]' in command


def test_hundreds_of_ids_are_not_printed() -> None:
    command = fetch_command(Selection(ids=list(MANY)), MANY, kind="projection_density", spacing_um=100)
    assert command == ("bsv-store fetch --ids @FILE --kind projection_density --spacing 100 (FILE: a list of the ids)")
    assert len(sync_command(Selection(ids=list(MANY)), MANY)) < 100


def test_up_to_ten_ids_are_spelled_out() -> None:
    ten, eleven = range(100, 110), range(100, 111)
    assert sync_command(Selection(ids=[1]), ten).endswith(f"--ids {','.join(map(str, ten))}")
    assert sync_command(Selection(ids=[1]), eleven).endswith('--selection \'{"ids":[1],"version":1}\'')


def test_what_is_spelled_out_has_at_most_400_characters() -> None:
    # "--ids " and 98 ids with a comma, and then one id more.
    for count, last, is_spelled_out in ((98, 99, True), (98, 100, False)):
        ids = [*range(100, 100 + count), int("9" * (400 - len("--ids ") - 4 * count + last - 99))]
        command = sync_command(Selection(ids=ids), ids)
        assert ("@FILE" not in command) is is_spelled_out


@pytest.mark.parametrize(
    ("criteria", "arguments"),
    [
        ({}, []),
        ({"injected_in": ["VISp", 385]}, ["--injected-in", "385", "--injected-in", "VISp"]),
        ({"line": ["wild-type", "Emx1"]}, ["--line", "Emx1", "--line", "wild-type"]),
        ({"ids": [2, 1]}, ["--ids", "1,2"]),
        ({"bilateral": True}, ["--bilateral"]),
        ({"bilateral": False}, ["--unilateral"]),
        ({"with_unionizes": False}, ["--without-unionizes"]),
        ({"include_withdrawn": True}, ["--include-withdrawn"]),
        ({"with_volume": "data_mask"}, ["--with-volume", "data-mask"]),
        ({"min_injection_volume": 2}, ["--min-injection-volume", "2"]),
        ({"min_injection_volume": 0.25}, ["--min-injection-volume", "0.25"]),
        (
            {"with_volume": "data_mask", "with_volume_spacing_um": 25},
            ["--with-volume", "data-mask", "--with-volume-spacing", "25"],
        ),
        ({"near": (1, 2.5, 3), "radius_um": 4}, ["--near", "1,2.5,3", "--radius", "4"]),
        ({"box": ((0, 1), (2, 3), (4, 5.5))}, ["--box", "0,1,2,3,4,5.5"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_a_selection_is_options_of_a_command(criteria: dict[str, Any], arguments: list[str]) -> None:
    assert selection_arguments(Selection(**criteria)) == arguments


@pytest.mark.parametrize(
    "selection",
    [Selection(box=((0, 1), None, None)), Selection(sex="M") | Selection(ids=[1]), Selection() - Selection(ids=[1])],
)
def test_a_selection_without_options_is_json(selection: Selection) -> None:
    assert selection_arguments(selection) == ["--selection", selection.to_json()]
