"""Every snippet of docs/python.md runs, one after the other, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bsv_store import create_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for extra in ("matplotlib", "xarray"):
        pytest.importorskip(extra)
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(snippets) > 10
    create_store(tmp_path / "store").close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BSV_STORE", str(tmp_path / "store"))
    with SyntheticServer(SyntheticAtlas(experiments=24)) as server:
        monkeypatch.setenv("BSV_STORE_API_URL", server.url)
        monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", server.url)
        names: dict[str, object] = {}
        for number, snippet in enumerate(snippets):
            exec(compile(snippet, f"docs/python.md, snippet {number}", "exec"), names)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"visual.png", "visual.nc", "LGd.nrrd"} <= written


@pytest.mark.parametrize("page", [*sorted(DOCS.rglob("*.md")), DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
