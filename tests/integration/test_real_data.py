"""Real files, through the whole path: what is known about them comes out, in every way that one can ask."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import Selection, open_store
from tests import examples
from tests.cli.running import Runner
from tests.conftest import DatabaseKind

# The stores are filled once, not once for each worker.
pytestmark = pytest.mark.xdist_group("real-data")

LIST_2020_07 = "experiments_2020-07_2992rows.json"
LIST_2020_11 = "experiments_2020-11_2997rows_5dup.json"
WEB_EXPORT = "allenAtlasProjection_info.csv"
CACHE = "allensdk_cache"
STRUCTURES = f"{CACHE}/structures.json"
LIST_2019_02 = f"{CACHE}/experiments.json"
CUT = "experiment_288169135/projection_density_25.nrrd"
FINE = "experiment_122642490/injection_density_25.nrrd"
FINE_ANNOTATION = "annotation/ccf_2017/annotation_25.nrrd"
# What is adopted at 25 um on each database.
FILES_25_UM: dict[DatabaseKind, tuple[str, ...]] = {
    "sqlite": (FINE,) if examples.FEW else (FINE, FINE_ANNOTATION),
    "postgres": (),
}

IN_ISOCORTEX = """
    primary_structure_id in (
        select descendant_id from structure_ancestor
        join structure on structure.id = structure_ancestor.ancestor_id where acronym = 'Isocortex')
"""

# The figures are also those of the notebook that AllenSDK publishes.
QUESTIONS = {
    "all": (2992, Selection(), [], "select experiment_id from experiments where not withdrawn"),
    "wild type in VISp": (
        33,
        Selection(injected_in="VISp", line="wild-type"),
        ["--injected-in", "VISp", "--line", "wild-type"],
        """
        select e.experiment_id from experiments as e
        join structure_ancestor as a on a.descendant_id = e.primary_structure_id
        join structure as s on s.id = a.ancestor_id
        where s.acronym = 'VISp' and e.transgenic_line is null and not e.withdrawn
        """,
    ),
    "any Cre in isocortex": (
        1209,
        Selection(injected_in="Isocortex", line="any-cre"),
        ["--injected-in", "Isocortex", "--line", "any-cre"],
        f"select experiment_id from experiments where transgenic_line is not null and not withdrawn and {IN_ISOCORTEX}",
    ),
    "Rbp4 in isocortex": (
        105,
        Selection(injected_in="Isocortex", line="Rbp4-Cre_KL100"),
        ["--injected-in", "Isocortex", "--line", "Rbp4-Cre_KL100"],
        f"""
        select experiment_id from experiments where not withdrawn and {IN_ISOCORTEX} and experiment_id in (
            select experiment_id from experiment_line
            join transgenic_line on transgenic_line.id = transgenic_line_id where name = 'Rbp4-Cre_KL100')
        """,
    ),
}


def _rows(file: Path) -> list[dict[str, Any]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = content["msg"] if isinstance(content, dict) else content
    return rows


# -- one list ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def july(make_store: Callable[[str], Path], data: Path) -> Path:
    """A store with the list of July 2020 alone."""
    location = make_store("july")
    with open_store(location) as store:
        assert store.ingest_structures(data / STRUCTURES).added == 1327
        assert store.ingest_experiments(data / LIST_2020_07).added == 2992
    return location


@pytest.mark.parametrize("question", QUESTIONS)
def test_three_ways_to_ask_give_the_same_experiments(run: Runner, july: Path, question: str) -> None:
    number, selection, options, query = QUESTIONS[question]
    with open_store(july) as store:
        by_selection = store.select(selection)
        by_query = sorted(int(each) for each in store.sql(query)["experiment_id"])
    by_options = run("select", *options, "--ids-only", store=july).succeeded().out.split()
    in_shell = run("sql", query, "--format", "csv", store=july).succeeded().rows
    assert len(by_selection) == number
    assert list(by_selection) == by_query
    assert [int(each) for each in by_options] == by_query
    assert sorted(int(row["experiment_id"]) for row in in_shell) == by_query


def test_position_of_the_injection_makes_five_groups(
    run: Runner, july: Path, tmp_path: Path, module_database: DatabaseKind
) -> None:
    """The grouping needs volumes; all the same one will do for it, from a Brain Street View cache."""
    cache, density = tmp_path / "bsv", np.zeros((132, 80, 114), np.float32)
    # In both hemispheres, since the side of each experiment is known.
    density[60, 20, [30, 83]] = 0.5
    with open_store(july) as store:
        ids = store.select(QUESTIONS["wild type in VISp"][1])
    for experiment_id in ids:
        (cache / str(experiment_id)).mkdir(parents=True)
        (cache / str(experiment_id) / "density.raw").write_bytes(density.tobytes(order="F"))
    run("adopt", cache, store=july).succeeded()
    options = [*QUESTIONS["wild type in VISp"][2], "--group-by", "AP", "--bins", "5", "--name", "visual"]
    rows = run("aggregate", *options, "--format", "csv", store=july).succeeded().rows
    assert [int(row["n"]) for row in rows] == [2, 6, 12, 8, 5]
    assert [round(float(row["center_um"]), 1) for row in rows] == [8075.0, 8456.7, 8850.8, 9382.5, 9750.0]
    with open_store(july) as store:
        np.testing.assert_array_equal(store.dataset("visual").mean, np.broadcast_to(density, (5, 132, 80, 114)))


# -- one list after another -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(make_store: Callable[[str], Path], data: Path) -> tuple[Path, list[Any]]:
    """A store with all lists in the order of their age, and what each of them changed."""
    location = make_store("history")
    reports = []
    with open_store(location) as store:
        store.ingest_structures(data / STRUCTURES)
        for name in (LIST_2019_02, LIST_2020_07, LIST_2020_11, WEB_EXPORT):
            reports.append(store.ingest_experiments(data / name))
    return location, reports


def test_every_row_of_every_list_counts(history: tuple[Path, list[Any]]) -> None:
    _, reports = history
    assert [report.rows for report in reports] == [2995, 2992, 2997, 2917]
    assert [report.added for report in reports] == [2995, 0, 0, 0]


def test_vanished_experiments_are_withdrawn_and_kept(history: tuple[Path, list[Any]], data: Path) -> None:
    location, reports = history
    vanished = {row["data_set_id"] for row in _rows(data / LIST_2019_02)} - {
        row["data_set_id"] for row in _rows(data / LIST_2020_07)
    }
    assert len(vanished) == 3
    assert reports[1].withdrawn == 3
    with open_store(location) as store:
        kept = store.experiments(Selection(include_withdrawn=True))
        assert len(store.select()) == 2992
    assert len(kept) == 2995
    assert set(kept["experiment_id"][kept["withdrawn"]]) == vanished


def test_an_id_listed_twice_has_both_lines(run: Runner, history: tuple[Path, list[Any]], data: Path) -> None:
    location, _ = history
    rows = _rows(data / LIST_2020_11)
    times = Counter(row["data_set_id"] for row in rows)
    twice = sorted(each for each, number in times.items() if number > 1)
    assert len(twice) == 5
    listed = {(row["data_set_id"], row["transgenic_line"]["name"]) for row in rows if row["data_set_id"] in twice}
    assert len(listed) == 10
    query = f"""
        select experiment_id, name from experiment_line join transgenic_line on transgenic_line.id = transgenic_line_id
        where experiment_id in ({", ".join(map(str, twice))})
    """
    stored = run("sql", query, "--format", "json", store=location).succeeded().json
    assert {(row["experiment_id"], row["name"]) for row in stored} == listed
    # One of the two is named wt, which does not make them wild type.
    assert _selected(run, location, twice, "wild-type") == set()
    assert _selected(run, location, twice, "any-cre") == set(twice)
    assert len(_selected(run, location, twice, "Slc17a8-IRES2-Cre")) == 4


def _selected(run: Runner, location: Path, ids: Collection[int], line: str) -> set[int]:
    among = ["--ids", ",".join(map(str, ids))]
    done = run("select", *among, "--line", line, "--ids-only", store=location).succeeded()
    return {int(each) for each in done.out.split()}


# -- a cache ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(module_database: DatabaseKind, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The AllenSDK cache. Of the files at 25 um, it has only those of `FILES_25_UM` and the truncated one.

    The annotation takes ten seconds. Ordinary tests read it once, in tests/atlas.
    """
    target = tmp_path_factory.mktemp("cache") / CACHE
    at_25_um = (CUT, *FILES_25_UM[module_database])
    for file in (data / CACHE).rglob("*"):
        name = file.relative_to(data / CACHE).as_posix()
        if file.is_file() and (name in at_25_um or not name.endswith("_25.nrrd")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / name)
    return target


def test_a_cache_is_adopted_except_for_its_truncated_file(
    run: Runner, make_store: Callable[[str], Path], cache: Path, module_database: DatabaseKind
) -> None:
    location = make_store("cache")
    done = run("adopt", cache, "--format", "csv", store=location).refused(1)
    (refused,) = (row for row in done.rows if row["outcome"] == "refused")
    assert refused["file"] == CUT
    assert refused["reason"].startswith("is truncated")
    with open_store(location) as store:
        status = store.status().catalog
        assert (
            store.volumes.describe(158375425)["source"] == f"{CACHE}/experiment_158375425/projection_density_100.nrrd"
        )
    assert (status.structures, status.experiments) == (1327, 2995)
    assert (status.experiments_with_unionizes, status.unionize_rows) == (40, _lines(cache))
    volumes = {(each.kind, each.spacing_um): each.volumes for each in status.volumes}
    files_25_um = FILES_25_UM[module_database]
    at_25_um = {("injection_density", 25): 1} if FINE in files_25_um else {}
    assert volumes == at_25_um | {
        ("data_mask", 100): 1,
        ("injection_density", 100): 1,
        ("injection_fraction", 100): 1,
        ("projection_density", 100): 1,
    }
    spacings = [25, 50, 100] if FINE_ANNOTATION in files_25_um else []
    assert [each.spacing_um for each in status.annotations] == spacings
    assert not [path for path in (location / "tmp").rglob("*") if path.is_file()]


def _lines(cache: Path) -> int:
    """Rows of all unionize tables."""
    return sum(
        len(file.read_text(encoding="utf-8").splitlines()) - 1 for file in cache.glob("*/structure_unionizes.csv")
    )
