"""Every public method of a store on a server works as in the folder, or is refused."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from bsv_store import Selection, Store, open_store
from bsv_store.datasets.share.export import VERSION_FORMATS
from bsv_store.errors import BsvStoreError, BsvStoreWarning, ReadOnlyStoreError, StoreUnreachableError
from bsv_store.formats.table import IMAGE_FORMATS
from bsv_store.reports import injection_map, matrix_map, page, structure_differences
from bsv_store.sources.allen.transfer import Request
from bsv_store.store.schema_changes import grant_access
from tests.conftest import DatabaseKind
from tests.databases import repeated
from tests.remote.filled import make
from tests.server.serving import serving

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFUSED = ReadOnlyStoreError
Asked = Callable[[Store], object]

# By namespace and name: the call that must give the same result, or the call that must be refused.
SAME: Mapping[str, Asked] = {
    "experiments": lambda s: s.experiments(),
    "select": lambda s: s.select(Selection(injected_in="VISp")),
    # The synthetic atlas does not have what they need.
    "reproduce": lambda s: _error(lambda: s.reproduce("knox_2019_table_1")),
    "sql": lambda s: s.sql("SELECT experiment_id, injection_volume, sex, withdrawn FROM experiments ORDER BY 1"),
    "dataset": lambda s: s.dataset("all").statistic("sd"),
    "volume": lambda s: s.volume(_first(s)),
    "compare_structures": lambda s: s.compare_structures(s.select()[:3], s.select()[3:]),
    "catalog.unionizes": lambda s: s.catalog.unionizes(Selection()),
    "catalog.matrix": lambda s: s.catalog.matrix(Selection()),
    # One statement that both databases understand.
    "catalog.matrix_sql": lambda s: s.sql(s.catalog.matrix_sql(Selection(), statistic="median")),
    "catalog.rank_structures": lambda s: s.catalog.rank_structures(Selection()),
    "catalog.verify": lambda s: s.catalog.verify().damage,
    "catalog.diff": lambda s: s.catalog.diff(2, 2),
    "catalog.describe": lambda s: s.catalog.describe(_first(s)),
    "catalog.summary": lambda s: s.catalog.summary(),
    "catalog.snapshots": lambda s: s.catalog.snapshots(),
    "catalog.unionize_history": lambda s: s.catalog.unionize_history(),
    "catalog.selection": lambda s: s.catalog.selection("few"),
    "catalog.selections": lambda s: s.catalog.selections(),
    "catalog.exclusions": lambda s: s.catalog.exclusions(),
    "catalog.excluded_from": lambda s: s.catalog.excluded_from(),
    "catalog.stored_unionizes": lambda s: s.catalog.stored_unionizes(s.select()[:2]).rows,
    "catalog.unionize_rows": lambda s: s.catalog.unionize_rows(limit=50),
    "catalog.experiment_list": lambda s: s.catalog.experiment_list(),
    "catalog.files": lambda s: sorted(each.file_sha256 for each in s.catalog.files()),
    "search.sources": lambda s: s.search.sources("VISp"),
    "search.targets": lambda s: s.search.targets("VISp"),
    "search.targets_of": lambda s: s.search.targets_of(Selection(), hemisphere="ipsilateral"),
    "search.sources_of": lambda s: s.search.sources_of("VISp"),
    "search.injections": lambda s: s.search.injections((9000, 2000, 8000), radius_um=4000),
    "search.correlation": lambda s: s.search.correlation(_first(s)),
    "search.point": lambda s: s.search.point((9000, 2000, 8000)),
    "atlas.structures": lambda s: s.atlas.structures(["VISp", "root"]),
    "atlas.acronym_map": lambda s: s.atlas.acronym_map(),
    "atlas.name_map": lambda s: s.atlas.name_map(),
    "atlas.color_map": lambda s: s.atlas.color_map(),
    "atlas.descends_from": lambda s: s.atlas.descends_from("VISp", "root"),
    "atlas.structure_path": lambda s: s.atlas.structure_path("VISp"),
    "atlas.overlapping_structures": lambda s: s.atlas.overlapping_structures(["VISp", "root"]),
    "atlas.find_structures": lambda s: s.atlas.find_structures("visual"),
    "atlas.structure_tree": lambda s: s.atlas.structure_tree("VISp"),
    "atlas.structure_sets": lambda s: s.atlas.structure_sets(),
    "atlas.structure_set": lambda s: s.atlas.structure_set(s.atlas.structure_sets()[0].id),
    "atlas.annotation": lambda s: s.atlas.annotation(ap=slice(60, 62)),
    "atlas.annotations": lambda s: s.atlas.annotations(),
    "atlas.recorded_annotation": lambda s: s.atlas.recorded_annotation(),
    "atlas.annotation_ml_blocks": lambda s: next(iter(s.atlas.annotation_ml_blocks(s.atlas.recorded_annotation()))),
    "atlas.template": lambda s: s.atlas.template(ap=slice(60, 62)),
    "atlas.templates": lambda s: s.atlas.templates(),
    "atlas.recorded_template": lambda s: s.atlas.recorded_template(),
    "atlas.template_ml_blocks": lambda s: next(iter(s.atlas.template_ml_blocks(s.atlas.recorded_template()))),
    "atlas.ontology": lambda s: s.atlas.ontology(),
    "atlas.mask": lambda s: s.atlas.mask("VISp"),
    "atlas.voxel_counts": lambda s: s.atlas.voxel_counts(),
    "atlas.signal": lambda s: s.atlas.signal(s.select(), ["VISp", "root"]),
    "atlas.masks": lambda s: [mask for _, mask in s.atlas.masks(["VISp", "root"])],
    "atlas.subregions": lambda s: s.atlas.subregions(s.select()[:2], ["VISp"], bins={"AP": 2}),
    "volumes.read": lambda s: s.volumes.read(_first(s)),
    "volumes.stack": lambda s: s.volumes.stack(s.select()[:2])[0],
    "volumes.describe": lambda s: {**s.volumes.describe(_first(s)), "path": None},
    "volumes.recorded": lambda s: s.volumes.recorded(_first(s)),
    "volumes.ml_blocks": lambda s: next(iter(s.volumes.ml_blocks(s.volumes.recorded(_first(s))))),
    "volumes.of_experiment": lambda s: s.volumes.of_experiment(_first(s)),
    "volumes.threshold": lambda s: s.volumes.threshold(_first(s), 0.1).mask,
    "volumes.check": lambda s: s.volumes.check(s.select()[:2]),
    "volumes.injection_centroids": lambda s: _error(lambda: s.volumes.injection_centroids(s.select())),
    "datasets.list": lambda s: s.datasets.list(),
    "datasets.versions": lambda s: s.datasets.versions().query("number > 0"),
    "datasets.get": lambda s: s.datasets.get("compared").statistic("difference"),
    "datasets.lineage": lambda s: s.datasets.lineage("all"),
    "datasets.cite": lambda s: s.datasets.cite("all"),
    "datasets.regions": lambda s: s.datasets.regions("all"),
    "datasets.animal_regions": lambda s: s.datasets.animal_regions("all"),
    "datasets.diff": lambda s: s.datasets.diff("all", "compared"),
    "datasets.rebuild": lambda s: s.datasets.rebuild("all", check_only=True),
    "datasets.stack": lambda s: s.datasets.stack("all")[0],
    "datasets.subregions": lambda s: s.datasets.subregions("all", ["VISp"], bins={"AP": 2}),
    "datasets.threshold": lambda s: s.datasets.threshold("all", 0.1).mask,
    "datasets.stale": lambda s: s.datasets.stale(),
}
# Calls that write files into a folder: they have the same names and bytes. Each format is that of a row.
Writing = Callable[[Store, Path], object]


def _volume_as(ending: str) -> Writing:
    return lambda s, to: s.volumes.export(_first(s), to / f"x{ending}")


def _version_as(ending: str) -> Writing:
    return lambda s, to: s.dataset("all").export(to / f"x{ending}")


def _labels_as(ending: str) -> Writing:
    return lambda s, to: s.atlas.export_labels(to / f"x{ending}")


WRITTEN: Mapping[str, Writing] = {
    **{f"volumes.export {each.ending}": _volume_as(each.ending) for each in IMAGE_FORMATS},
    "volumes.export like_allen": lambda s, to: s.volumes.export(
        _first(s), to / "x.nrrd", hemisphere_rule="flip_to_right", like_allen=True
    ),
    "volumes.export of another spacing": lambda s, to: s.volumes.export(_first(s), to / "x.nrrd", spacing_um=25),
    "volumes.export nowhere": lambda s, _: s.volumes.export(_first(s), "/nonexistent/x.nrrd"),
    **{f"atlas.export_labels {ending}": _labels_as(ending) for ending in (".nrrd", ".nii", ".nii.gz")},
    "atlas.export_template": lambda s, to: s.atlas.export_template(to / "x.nrrd"),
    "atlas.export_mask": lambda s, to: s.atlas.export_mask("VISp", to / "x.nrrd", hemisphere="left"),
    "atlas.export_masks": lambda s, to: s.atlas.export_masks(["VISp", "root"], to),
    **{f"dataset {each.ending}": _version_as(each.ending) for each in VERSION_FORMATS},
    "dataset groups": lambda s, to: s.dataset("all").export_groups(to / "x.nii", statistic="sd"),
    "dataset comparison": lambda s, to: s.dataset("compared").export(to / "x.nrrd", statistic="difference"),
    "dataset by structure": lambda s, to: s.dataset("by-structure").export(to / "x.csv"),
    "dataset by structure, bundle": lambda s, to: s.dataset("by-structure").export(to / "x.bsv.zip"),
    "reports.page": lambda s, to: page(s, "all", to / "x.html"),
}
NOT_WRITTEN = {"volumes.export of another spacing", "volumes.export nowhere"}
REFUSALS: Mapping[str, Asked] = {
    "ingest_structures": lambda s: s.ingest_structures("x.json"),
    "ingest_experiments": lambda s: s.ingest_experiments("x.csv"),
    "ingest_unionizes": lambda s: s.ingest_unionizes("x.json"),
    "ingest_annotation": lambda s: s.ingest_annotation("x.nrrd"),
    "ingest_template": lambda s: s.ingest_template("x.nrrd"),
    "adopt": lambda s: s.adopt("x"),
    "sync_structures": lambda s: s.sync_structures(),
    "sync_experiments": lambda s: s.sync_experiments(),
    "sync_unionizes": lambda s: s.sync_unionizes(),
    "sync_annotation": lambda s: s.sync_annotation(),
    "sync_template": lambda s: s.sync_template(),
    "fetch": lambda s: s.fetch(Selection()),
    "plan_fetch": lambda s: s.plan_fetch(Selection()),
    "plan_sync_unionizes": lambda s: s.plan_sync_unionizes(),
    "fetch_inputs": lambda s: s.fetch_inputs(Selection()),
    "catalog.export_copy": lambda s: s.catalog.export_copy("x"),
    "catalog.save_selection": lambda s: s.catalog.save_selection("x", Selection()),
    "catalog.exclude": lambda s: s.catalog.exclude([_first(s)], "why"),
    "catalog.lift_exclusion": lambda s: s.catalog.lift_exclusion([_last(s)]),
    "datasets.tag": lambda s: s.datasets.tag("all", "paper"),
    "datasets.untag": lambda s: s.datasets.untag("all", "paper"),
    "datasets.delete": lambda s: s.datasets.delete("all"),
    "admin.backup": lambda s: s.admin.backup("x"),
    "admin.collect_garbage": lambda s: s.admin.collect_garbage(),
    "admin.trash": lambda s: s.admin.trash(),
    "admin.untrash": lambda s: s.admin.untrash("x"),
    "admin.enforce_quota": lambda s: s.admin.enforce_quota(1),
    "admin.verify": lambda s: s.admin.verify(),
    "admin.repair": lambda s: s.admin.repair(),
    "admin.claims": lambda s: s.admin.claims(),
    "admin.break_claims": lambda s: s.admin.break_claims(["x"]),
    "admin.activity": lambda s: s.admin.activity(),
    "admin.schema_history": lambda s: s.admin.schema_history(),
    "admin.journal_mode": lambda s: s.admin.journal_mode(),
    "admin.set_journal_mode": lambda s: s.admin.set_journal_mode("wal"),
    "admin.configure": lambda s: s.admin.configure("trash_days", 3),
    "admin.permissions": lambda s: s.admin.permissions(),
    "admin.tokens": lambda s: s.admin.tokens(),
    "admin.add_token": lambda s: s.admin.add_token("x"),
    "admin.revoke_token": lambda s: s.admin.revoke_token("x"),
    "admin.diagnose": lambda s: s.admin.diagnose(),
}
# Tested elsewhere, or with their own result on a server.
ELSEWHERE = {
    "close",
    "refresh",
    "check",
    "status",
    # Averages: tests/remote/test_averages.py and test_local_versions.py.
    "aggregate",
    "compare_voxels",
    "datasets.compare_groups",
    "datasets.import_bundle",
    # About the copy of the catalog itself.
    "catalog.change_marker",
    "catalog.content_digest",
    "admin.settings",
}
NAMESPACES = ("catalog", "search", "atlas", "volumes", "datasets", "admin")


def _first(store: Store) -> int:
    return store.select()[0]


def _last(store: Store) -> int:
    return max(store.catalog.excluded_from())


def _error(call: Callable[[], object]) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever the folder raises)
        call()
    return repr(caught.value)


@pytest.fixture(scope="module")
def _sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made(tmp_path_factory, None)


def _made(factory: pytest.TempPathFactory, database: str | None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(factory.mktemp("served") / "store", database)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=repeated)])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[DatabaseKind, Store, Store]]:
    """A store in its folder, and the same on a server."""
    kind: DatabaseKind = request.param
    url = None if kind == "sqlite" else request.getfixturevalue("postgres").create_database("remote_methods")
    folder = _made(tmp_path_factory, url)
    if url is not None:
        # The account of the tests is a superuser; queries run as the reader role.
        grant_access(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BSV_STORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        with open_store(folder, read_only=True) as own, serving(own) as address, open_store(address) as remote:
            yield kind, own, remote


def same(first: object, second: object) -> None:
    if isinstance(first, pd.DataFrame):
        assert isinstance(second, pd.DataFrame)
        pd.testing.assert_frame_equal(first, second)
        assert repr(first.attrs) == repr(second.attrs)
    elif isinstance(first, np.ndarray):
        np.testing.assert_array_equal(first, np.asarray(second))
        assert first.dtype == np.asarray(second).dtype
    elif dataclasses.is_dataclass(first) and not isinstance(first, type):
        assert type(first) is type(second)
        for field in dataclasses.fields(first):
            if not field.name.startswith("_"):
                same(getattr(first, field.name), getattr(second, field.name))
    elif isinstance(first, tuple | list) and isinstance(second, tuple | list):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            same(one, other)
    else:
        assert repr(first) == repr(second)


@pytest.mark.parametrize("name", SAME)
def test_a_method_gives_what_it_gives_in_the_folder(both: tuple[DatabaseKind, Store, Store], name: str) -> None:
    _, own, remote = both
    same(SAME[name](own), SAME[name](remote))


@contextmanager
def unplugged(store: Store) -> Iterator[None]:
    """The server cannot be reached."""
    assert store._mirror is not None
    client = store._mirror.client

    def refuse(request: Request, _read: object) -> NoReturn:
        raise StoreUnreachableError(f"{request.what}: the network is down", hint="Connect to it.")

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", BsvStoreWarning)
        patch.setattr(client, "_get", refuse)
        store._mirror.revalidate()
        yield
    store._mirror.revalidate()


@pytest.fixture(scope="module")
def bare(_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """A store in its folder, and the same on a server of which the cache has the catalog alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BSV_STORE_CACHE", str(tmp_path_factory.mktemp("bare")))
        with (
            open_store(_sqlite, read_only=True) as own,
            serving(own) as address,
            open_store(address) as remote,
            unplugged(remote),
        ):
            yield own, remote


@pytest.mark.parametrize("name", [*SAME, *WRITTEN])
def test_without_the_server_a_method_works_or_says_what_is_missing(
    bare: tuple[Store, Store], name: str, tmp_path: Path
) -> None:
    own, remote = bare
    try:
        if name in WRITTEN:
            WRITTEN[name](remote, tmp_path)
            return
        found = SAME[name](remote)
    except BsvStoreError as error:
        failed = error
    else:
        same(SAME[name](own), found)
        return
    if name not in NOT_WRITTEN:
        assert isinstance(failed, StoreUnreachableError)
        assert "not in the cache: the network is down" in failed.message
        assert failed.hint
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.long
@pytest.mark.parametrize("name", SAME)
def test_without_the_server_a_method_gives_the_same_from_the_cache(
    both: tuple[DatabaseKind, Store, Store], name: str
) -> None:
    kind, own, remote = both
    SAME[name](remote)
    with unplugged(remote):
        if kind != "sqlite" and name in ("sql", "catalog.matrix_sql"):
            with pytest.raises(StoreUnreachableError, match="whose dialect of SQL"):
                SAME[name](remote)
        else:
            same(SAME[name](own), SAME[name](remote))


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[pytest.mark.long] if each == "reports.page" else []) for each in WRITTEN]
)
def test_files_are_written_as_in_the_folder(both: tuple[DatabaseKind, Store, Store], name: str, tmp_path: Path) -> None:
    _, own, remote = both
    written = []
    for folder, store in ((tmp_path / "own", own), (tmp_path / "remote", remote)):
        folder.mkdir()
        try:
            WRITTEN[name](store, folder)
            refused = None
        except BsvStoreError as error:
            refused = repr(error)
        files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        written.append((refused, files))
    (refused, files), found = written
    assert (refused is None) == (name not in NOT_WRITTEN)
    assert bool(files) == (refused is None)
    assert found == (refused, files)


def test_queries_on_postgres_have_its_types(both: tuple[DatabaseKind, Store, Store]) -> None:
    kind, own, remote = both
    if kind == "sqlite":
        pytest.skip("SQLite does not have these types")
    for expression in (
        "DATE '2026-01-02'",
        "TIMESTAMP '2026-01-02 03:04:05.678901'",
        "TIMESTAMPTZ '2026-01-02 03:04:05+02'",
        "TIME '03:04:05'",
        "INTERVAL '1 day 2 hours'",
        "1.5::numeric",
        "12345678901234567890::numeric",
        "'NaN'::float8",
        "'-Infinity'::float8",
        "NULL::float8",
        "TRUE",
        "'\\x0102'::bytea",
        "ARRAY[1, 2]",
        "ARRAY['a', NULL]",
        "'{\"a\": 1}'::jsonb",
        "'0b5cad00-0000-4000-8000-000000000001'::uuid",
    ):
        query = f"SELECT {expression} AS found UNION ALL SELECT {expression}"
        here, there = own.sql(query), remote.sql(query)
        same(here, there)
        assert [type(each) for each in here["found"]] == [type(each) for each in there["found"]], expression


@pytest.mark.parametrize("name", REFUSALS)
def test_a_method_that_would_change_the_store_or_needs_its_folder_is_refused(
    both: tuple[DatabaseKind, Store, Store], name: str
) -> None:
    _, _, remote = both
    with pytest.raises(REFUSED, match="is a store on a server") as caught:
        REFUSALS[name](remote)
    assert caught.value.hint


@pytest.mark.filterwarnings("ignore:with . and . experiments")
def test_a_comparison_by_structure_is_read_from_there_and_stored_here(both: tuple[DatabaseKind, Store, Store]) -> None:
    _, own, remote = both
    same(own.dataset("by-structure").comparison_table(), remote.dataset("by-structure").comparison_table())
    ids = own.select()
    few: dict[str, Any] = {"permutations": 20, "bootstrap": 20}
    expected = own.compare_structures(ids[:3], ids[3:], **few)
    for _ in range(2):
        found = remote.compare_structures(ids[:3], ids[3:], name="mine", **few)
        pd.testing.assert_frame_equal(found, expected)
        assert found.attrs["dataset"].startswith("mine@local-")
    version = remote.dataset(found.attrs["dataset"])
    pd.testing.assert_frame_equal(version.comparison_table(), expected)
    assert {each.state for each in remote.datasets.lineage(version).members} == {"in the store"}


def test_every_public_method_has_a_row() -> None:
    from bsv_store.store.admin import Admin
    from bsv_store.store.atlas import Atlas
    from bsv_store.store.catalog import Catalog
    from bsv_store.store.datasets import Datasets
    from bsv_store.store.search import Search
    from bsv_store.store.volumes import Volumes

    kinds = dict(zip(NAMESPACES, (Catalog, Search, Atlas, Volumes, Datasets, Admin), strict=True))
    found = {name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
    for namespace, kind in kinds.items():
        members = inspect.getmembers(kind, inspect.isfunction)
        found |= {f"{namespace}.{name}" for name, _ in members if not name.startswith("_")}
    written = {name.partition(" ")[0] for name in WRITTEN} & found
    assert found == SAME.keys() | REFUSALS.keys() | ELSEWHERE | written


def test_figures_have_the_same_pixels(both: tuple[DatabaseKind, Store, Store]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    _, own, remote = both
    figures: tuple[Callable[[Store], Figure], ...] = (
        injection_map,
        matrix_map,
        lambda s: structure_differences(s, "by-structure"),
        lambda s: s.dataset("all").plot(at_mm=8.5, region_only="VISp", background="template", width_mm=85),
    )
    for draw in figures:
        drawn = []
        for store in (own, remote):
            canvas = FigureCanvasAgg(draw(store))
            canvas.draw()
            drawn.append(np.asarray(canvas.buffer_rgba()))
        first, second = drawn
        np.testing.assert_array_equal(first, second)


def test_functions_of_brain_street_view_use_it(both: tuple[DatabaseKind, Store, Store], tmp_path: Path) -> None:
    from bsv_store.compat import fetch_connectivity_data

    _, own, remote = both
    ids = own.select()[:3]
    found = [
        fetch_connectivity_data(ids, str(tmp_path), "", "injectionVolume", False, export_metadata=False, store=store)
        for store in (own, remote)
    ]
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert dict(found[0][1]) == dict(found[1][1])


def test_names_are_completed_from_the_copy(
    both: tuple[DatabaseKind, Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bsv_store.store.suggestions import stored_names

    _, own, remote = both
    monkeypatch.setenv("BSV_STORE_CACHE", str(remote.path.parents[1]))
    for kind in ("structures", "datasets", "versions", "selections", "lines", "experiments"):
        # Versions that other tests computed on this computer are only in the cache.
        found = [each for each in stored_names(remote.url, kind) if each[1] != "computed on this computer"]
        assert found == stored_names(own.path, kind) != []


def test_a_copy_opens_the_same_address_and_has_no_token(both: tuple[DatabaseKind, Store, Store]) -> None:
    _, _, remote = both
    with pickle.loads(pickle.dumps(remote)) as copy:
        assert (copy.url, copy.select()) == (remote.url, remote.select())


def test_it_says_that_it_is_on_a_server(both: tuple[DatabaseKind, Store, Store]) -> None:
    kind, own, remote = both
    assert repr(remote) == f"Store('{remote.url}')"
    state = remote.status()
    assert state.server is not None
    assert (state.server.url, state.server.is_offline) == (remote.url, False)
    assert state.database == ("sqlite" if kind == "sqlite" else "postgresql")
    assert state.upkeep is None
    assert str(remote.url) in str(state)
    assert "online" in str(state)
    assert str(remote.url) in remote._repr_html_()
    same(state.catalog, own.status().catalog)
