"""Stores that past versions of the package made, with their files: refused, upgraded, compared, downgraded.

`tests.catalog.revisions` does the same for all rows of the catalog, from fixtures that need no history.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bsv_store import create_store, open_store
from bsv_store.catalog.database import schema
from bsv_store.config import read_store_config
from bsv_store.errors import FormatError, SchemaTooOldError, StoreError
from bsv_store.store.connection import connect
from bsv_store.store.opening import upgrade_store
from bsv_store.store.restoring import restore_store
from bsv_store.store.schema_changes import check_schema, downgrade_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.catalog.revisions.stores import all_rows
from tests.reliability import past_code
from tests.reliability.campaigns import campaign, is_long
from tests.reliability.history import PastCode, last_commits

ATLAS = SyntheticAtlas(experiments=4)
# No commit of revision 0001 could select experiments: a module was missing.
FILLED = tuple(revision for revision in schema.KNOWN_REVISIONS if revision not in ("0001", schema.HEAD))
# Their recipes had other keys. Versions are listed, but only computing them again makes them readable.
OTHER_RECIPES = ("0002", "0003", "0004")
# Earlier bundles do not have the experiments and the ontology.
FIRST_BUNDLES = "0018"
# Versions of the package that upgrade a store in between.
STEPS = ("0006", "0012", "0013", "0017")
_DATABASES = ("sqlite", "postgres")
# In the ordinary run: the oldest, the first with seals, and the last whose columns had other comments.
STORES = (
    [(database, revision) for database in _DATABASES for revision in FILLED]
    if is_long()
    else [("sqlite", "0002"), ("sqlite", "0012"), ("postgres", "0005")]
)
REFUSED = (
    [(database, revision) for database in _DATABASES for revision in schema.KNOWN_REVISIONS[:-1]]
    if is_long()
    else [("sqlite", "0001"), ("postgres", "0018")]
)
# Upgrades and downgrades add rows to them, and using a store too.
GROWING = {"activity", "catalog_change", "catalog_change_base", "schema_history", "volume_use", "store_link"}
pytestmark = pytest.mark.xdist_group("upgrades")

VERSIONS = {"contents", "means", "tagged"}

NewDatabase = Callable[[], str | None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where past versions of the package are extracted."""
    return tmp_path_factory.mktemp("past")


@pytest.fixture(scope="module")
def upstream() -> Iterator[SyntheticServer]:
    with SyntheticServer(ATLAS) as running:
        yield running


@pytest.fixture(scope="module")
def today(upstream: SyntheticServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this version."""
    location = tmp_path_factory.mktemp("today") / "store"
    past_code.fill(str(location), upstream.url, "", str(location.with_name("visual.bsv.zip")))
    return location


def rows(location: Path) -> dict[str, list[str]]:
    with closing(connect(location, read_store_config(location), read_only=True)) as database:
        found = all_rows(database)
    return {
        table: sorted(repr(sorted(row.items())) for row in contents)
        for table, contents in found.items()
        if table not in GROWING
    }


def upgrade_by_steps(location: Path, revision: str, folder: Path) -> None:
    """Upgrade a store with the versions of the package that came in between, one after the other."""
    between = [each for each in STEPS if each > revision]
    for each in between if is_long() else between[:1]:
        step = PastCode(each, folder).command_line("--store", location, "db", "upgrade")
        assert step.returncode == 0, (each, step.stderr)
    upgrade_store(location, make_backup=False)


@pytest.mark.parametrize(("database", "revision"), STORES, indirect=["database"])
def test_what_a_past_version_stored_is_the_same_after_upgrades_and_downgrades(
    revision: str,
    database: str,
    new_database: NewDatabase,
    folder: Path,
    upstream: SyntheticServer,
    tmp_path: Path,
) -> None:
    code = PastCode(revision, folder)
    with campaign("upgrades", part=f"{database} {revision}") as trials:
        location, bundle = tmp_path / "store", tmp_path / "visual.bsv.zip"
        url = new_database()
        facts = code.run("fill", location, upstream.url, url or "", bundle)
        assert len(facts["volumes"]) == 3
        with pytest.raises(SchemaTooOldError, match=f"at revision {revision}") as caught:
            open_store(location)
        assert caught.value.hint == f"Upgrade the store: bsv-store --store {location} db upgrade"
        before = rows(location)

        report = upgrade_store(location)
        assert (report.before, report.damaged) == (revision, ())
        assert check_schema(location).differences == ()
        _check_facts(location, facts, revision)
        upgraded = rows(location)
        trials.done()

        downgrade_store(location, revision=revision, make_backup=False)
        downgraded = rows(location)
        assert downgraded.keys() == before.keys()
        # The fixtures of `tests.catalog.revisions` say which values are not restored.
        assert {name: len(contents) for name, contents in downgraded.items()} == {
            name: len(contents) for name, contents in before.items()
        }
        assert code.run("read", location) == facts
        upgrade_by_steps(location, revision, folder)
        assert rows(location) == upgraded
        _check_facts(location, facts, revision)
        _check_use(location, facts, revision)
        trials.done()
        _check_files_of_the_past(tmp_path, bundle, facts, revision, new_database)


def _check_facts(location: Path, facts: dict[str, Any], revision: str) -> None:
    is_readable = revision not in OTHER_RECIPES
    found = past_code.read(str(location), versions=is_readable)
    assert found == {key: value for key, value in facts.items() if is_readable or key not in VERSIONS}


def _check_use(location: Path, facts: dict[str, Any], revision: str) -> None:
    with open_store(location) as store:
        damage = [each for each in store.admin.verify(deep=True).findings if each.is_damage]
        if revision in OTHER_RECIPES:
            for number in (1, 2):
                with pytest.raises(StoreError, match=f"cannot read the recipe of visual@{number}") as caught:
                    store.dataset(f"visual@{number}")
                assert "bsv-store aggregate" in str(caught.value.hint)
            assert {each.object for each in damage} == {"version/visual@1", "version/visual@2"}
            for each in damage:
                assert f"bsv-store dataset delete {each.object.removeprefix('version/')}." in each.remedy
        else:
            assert damage == []
            for number in (1, 2):
                assert store.datasets.rebuild(f"visual@{number}", check_only=True).is_identical
        again = store.aggregate(facts["ids"][:2], name="again")
        assert again.content_sha256 == facts["contents"][0]


def _check_files_of_the_past(
    tmp_path: Path, bundle: Path, facts: dict[str, Any], revision: str, new_database: NewDatabase
) -> None:
    with create_store(tmp_path / "other", database=new_database()) as other:
        if revision < FIRST_BUNDLES:
            with pytest.raises(FormatError) as caught:
                other.datasets.import_bundle(bundle)
            assert "Export it again from the original store: bsv-store dataset export" in str(caught.value.hint)
        else:
            assert other.datasets.import_bundle(bundle).content_sha256 == facts["contents"][0]
    backup = tmp_path / "backup"
    if backup.exists():
        restored = tmp_path / "restored"
        restore_store(backup, restored, database=new_database())
        upgrade_store(restored, make_backup=False)
        _check_facts(restored, facts, revision)


@pytest.mark.parametrize(("database", "revision"), REFUSED, indirect=["database"])
def test_past_versions_refuse_a_store_of_today(
    revision: str,
    database: str,
    new_database: NewDatabase,
    folder: Path,
    today: Path,
    tmp_path: Path,
) -> None:
    # Since the first commit that could open a store.
    code = PastCode(revision, folder)
    location = shutil.copytree(today, tmp_path / "store")
    if database == "postgres":
        location = tmp_path / "on-postgres"
        create_store(location, database=new_database()).close()
    before = rows(location)
    answer = code.run("try_to_open", location)
    assert "SchemaTooNewError" in answer["error"], answer
    assert f"at revision {schema.HEAD}, unknown to this version" in answer["text"]
    assert "pip install --upgrade bsv-store" in answer["text"]
    status = code.command_line("--store", location, "status")
    assert (status.returncode, status.stdout) == (4, ""), status
    assert f"at revision {schema.HEAD}" in status.stderr
    assert rows(location) == before


def test_the_history_has_the_code_of_most_revisions() -> None:
    assert {"0001", "0002", "0006", "0012", "0018"} <= set(last_commits())
