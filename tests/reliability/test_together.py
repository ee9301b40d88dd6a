"""Many processes on one store: each object is downloaded once, versions have no gaps, readers are never wrong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from bsv_store import open_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.datasets.test_reliability import assert_sound
from tests.processes import Child
from tests.reliability.campaigns import campaign, is_long
from tests.reliability.stores import fill_lists
from tests.reliability.together import Change, aggregate, answers, change, fetch, read
from tests.stores import Templates, copied_store

if TYPE_CHECKING:
    from bsv_store import Store
    from tests.conftest import DatabaseKind

# Of one round.
OBJECTS = 40
VERSIONS = 40
ATLAS = SyntheticAtlas(experiments=OBJECTS)


@pytest.fixture(scope="module")
def server() -> Iterator[SyntheticServer]:
    with SyntheticServer(ATLAS) as running:
        yield running
        assert running.errors == []


def finished(children: list[Child]) -> list[str]:
    """The output of processes, which must all succeed."""
    said = [child.communicate(timeout=600) for child in children]
    assert [(child.returncode, errors) for child, (_, errors) in zip(children, said, strict=True)] == [
        (0, "") for _ in children
    ]
    return [output for output, _ in said]


def test_many_processes_download_each_object_once(
    database: DatabaseKind,
    server: SyntheticServer,
    templates: Templates,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    processes = 16 if is_long() else 6
    with campaign("once", part=database, share=1 / 2) as trials:
        template, name = templates.template(fill_lists, database, request, server.url)
        for first in range(0, trials.size, OBJECTS):
            ids = ATLAS.experiment_ids[: min(OBJECTS, trials.size - first)]
            with copied_store(template, tmp_path / f"{first}", request, database=name) as location:
                server.requests.clear()
                finished([Child(fetch, location, server.url, ids) for _ in range(processes)])
                asked = server.requests.all
                assert len(asked) == len(ids) == len({each.target for each in asked}), (first, len(asked))
                with open_store(location) as store:
                    assert set(store.sql("SELECT experiment_id FROM volume").experiment_id) == set(ids)
            trials.done(len(ids))


def test_many_writers_of_one_name_get_numbers_without_a_gap(database: DatabaseKind, filled: Store) -> None:
    processes = 16 if is_long() else 4
    ids = filled.select()
    subsets = [each for count in range(1, len(ids) + 1) for each in itertools.combinations(ids, count)]
    with campaign("writers", part=database, share=1 / 2) as trials:
        for first in range(0, trials.size, VERSIONS):
            name = f"round-{first}"
            count = min(VERSIONS, trials.size - first)
            questions = subsets[:count]
            children = [Child(aggregate, filled.path, name, questions[one::processes]) for one in range(processes)]
            numbers = [int(line) for output in finished(children) for line in output.split()]
            assert sorted(numbers) == list(range(1, count + 1)), (name, numbers)
            assert_sound(filled)
            trials.done(count)


def fill_to_read(store: Store, url: str) -> None:
    """Three experiments with everything, and a version that stays."""
    ids = ATLAS.experiment_ids[:3]
    fill_lists(store, url)
    store.sync_unionizes(ids, api_url=url)
    store.fetch(ids, api_url=url)
    store.aggregate(ids, name="kept")


def test_readers_beside_every_change_are_never_wrong(
    database: DatabaseKind,
    server: SyntheticServer,
    templates: Templates,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    ids = ATLAS.experiment_ids[:3]
    with campaign("readers", part=database, share=1 / 2) as trials:
        template, name = templates.template(fill_to_read, database, request, server.url)
        with copied_store(template, tmp_path / "store", request, database=name) as location:
            with open_store(location) as store:
                expected = answers(store, ids)
            readers, stop = 4 if is_long() else 2, tmp_path / "stop"
            # Each round reads twice in each way.
            rounds = math.ceil(trials.size / readers / len(expected) / 2)
            changing = [Child(change, location, server.url, what, ids, stop) for what in get_args(Change)]
            reading = [Child(read, location, ids, expected, rounds) for _ in range(readers)]
            try:
                reads = sum(int(line) for output in finished(reading) for line in output.split())
            finally:
                stop.touch()
                changes = finished(changing)
            assert all(changes), dict(zip(get_args(Change), changes, strict=True))
            with open_store(location) as store:
                assert answers(store, ids) == expected
                assert store.admin.verify(deep=True).is_intact
            trials.done(reads)
