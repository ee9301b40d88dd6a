"""The tutorial, the notebooks, the how-to pages and the SQL cookbook run on the synthetic atlas."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bsv_store import Selection, Store, create_store, open_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.cli.running import Runner
from tests.docs.blocks import DOCS, blocks, run_page
from tests.stores import Templates

NOTEBOOKS = ["first-hour", "from-allensdk", "from-brain-street-view"]
VISUAL = Selection(injected_in=["VISp", "VISl"], line="wild-type")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SyntheticServer]:
    with SyntheticServer(SyntheticAtlas(experiments=24)) as started:
        monkeypatch.setenv("BSV_STORE_API_URL", started.url)
        monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", started.url)
        yield started
        assert started.errors == []


@pytest.fixture(scope="module")
def converter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert", DOCS / "notebooks" / "convert.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("server")
def test_the_tutorial_runs(folder: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_page("tutorial.md", {}, run, monkeypatch) >= 6
    assert (folder / "visual.nrrd").exists()
    assert (folder / "visual.bsv.zip").exists()


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.usefixtures("folder")
def test_a_notebook_runs(name: str, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    # The first cell sets them; the test restores them.
    for variable in ("BSV_STORE", "BSV_STORE_API_URL", "BSV_STORE_DOWNLOAD_URL"):
        monkeypatch.setenv(variable, "")
    names: dict[str, Any] = {}
    try:
        assert run_page(f"notebooks/{name}.md", names, run, monkeypatch) >= 8
    finally:
        names["server"].close()


def test_allens_list_gives_the_numbers_of_the_notebook(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with create_store(tmp_path / "store") as store:
        store.ingest_structures(data / "allensdk_cache" / "structures.json")
        store.ingest_experiments(data / "experiments_2020-07_2992rows.json")
        names: dict[str, Any] = {"store": store, "Selection": Selection}
        cells = [each.text for each in blocks("notebooks/from-allensdk.md")]
        (counting,) = [text for text in cells if "len(store.select(cre))" in text]
        exec(counting, names)
        assert (len(store.select(names["cre"])), len(store.select(names["visp"]))) == (1209, 33)
        (checked,) = [each.text for each in blocks("notebooks/from-allensdk.md") if each.mark.startswith("allen: ")]
        exec(checked, names)
    assert "not explained" not in capsys.readouterr().out


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_has_the_cells_of_its_page(name: str, converter: ModuleType) -> None:
    page = (DOCS / "notebooks" / f"{name}.md").read_text(encoding="utf-8")
    written = (DOCS / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert written == converter.notebook(page, name), "run: python docs/notebooks/convert.py"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_can_run_again(name: str) -> None:
    cells = [each.text for each in blocks(f"notebooks/{name}.md")]
    (creating,) = [text for text in cells if "create_store(" in text]
    assert ".exists()" in creating
    assert all("overwrite=True" in text for text in cells if "view_3d(" in text or "reports.save(" in text)


def test_a_notebook_has_no_cell_that_fails_on_the_synthetic_atlas(converter: ModuleType) -> None:
    page = (DOCS / "notebooks" / "from-allensdk.md").read_text(encoding="utf-8")
    cells = json.loads(converter.notebook(page, "from-allensdk"))["cells"]
    texts = {
        kind: "".join(line for cell in cells if cell["cell_type"] == kind for line in cell["source"])
        for kind in ("code", "markdown")
    }
    assert "store.reproduce" in texts["markdown"]
    assert "store.reproduce" not in texts["code"]
    assert "<!--" not in texts["markdown"]


def _fill_visual(store: Store) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=24)) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_annotation(download_url=server.url)
        store.fetch(Selection(injected_in="VISp") | VISUAL, api_url=server.url)
    store.aggregate(VISUAL, name="visual")


@pytest.fixture
def visual_store(
    folder: Path, templates: Templates, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    filled, _ = templates.template(_fill_visual, "sqlite", request)
    shutil.copytree(filled, folder / "visual-store")
    monkeypatch.setenv("BSV_STORE", str(folder / "visual-store"))
    with open_store(folder / "visual-store") as store:
        yield store


@pytest.mark.parametrize(
    ("page", "count"), [("share-in-a-lab", 3), ("cluster", 1), ("cite", 4), ("own-figures", 2), ("published-tables", 0)]
)
@pytest.mark.usefixtures("server")
def test_a_how_to_page_runs(
    page: str, count: int, visual_store: Store, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    assert run_page(f"how-to/{page}.md", {"store": visual_store, "Selection": Selection}, run, monkeypatch) == count


def test_the_page_of_published_tables_has_the_differences_of_the_library(data: Path, tmp_path: Path) -> None:
    page = (DOCS / "how-to" / "published-tables.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| ([+-]\d+) \|(.*)\|$", page, re.MULTILINE)
    with create_store(tmp_path / "store") as store:
        store.ingest_structures(data / "allensdk_cache" / "structures.json")
        store.ingest_experiments(data / "experiments_2020-07_2992rows.json")
        found = store.reproduce("knox_2019_table_1")
    expected = [(c.label, str(c.published), str(c.ours), f"{c.difference:+d}") for c in found.differing]
    assert [row[:4] for row in rows] == expected
    for row, count in zip(rows, found.differing, strict=True):
        named = set(re.findall(r"\d{9}", row[4]))
        assert named <= set(re.findall(r"\d{9}", count.reason))


# -- SQL --------------------------------------------------------------------------------------------------------------

QUERIES = [block.text for block in blocks("sql-cookbook.md") if block.language == "sql"]


def test_the_cookbook_has_eleven_queries() -> None:
    assert len(QUERIES) == 11


def test_every_query_of_the_cookbook_finds_something(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=24)) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        ids = store.select()
        store.sync_unionizes(ids[:-2], api_url=server.url)
        store.fetch(ids[:3], api_url=server.url)
    store.aggregate(ids[:3], name="some")
    store.catalog.exclude([ids[5]], "leaked")
    empty = [query for query in QUERIES if store.sql(query).empty]
    assert empty == []


def test_a_structure_is_counted_with_all_inside_it(store: Store) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=24)) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
    assert store.sql(QUERIES[1])["experiments"].tolist() == [len(store.select(Selection(injected_in="VIS")))]
