"""The landing page, the guide for contributors and the citation file agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bsv_store import __version__, create_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

CHECKOUT = Path(__file__).resolve().parents[2]
CONTRIBUTING = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_example_of_the_landing_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (CHECKOUT / "docs" / "index.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    create_store(tmp_path / "store").close()
    monkeypatch.setenv("BSV_STORE", str(tmp_path / "store"))
    with SyntheticServer(SyntheticAtlas(experiments=24)) as server:
        monkeypatch.setenv("BSV_STORE_API_URL", server.url)
        names: dict[str, object] = {}
        exec(example, names)
    assert str(names["version"])
    names["store"].close()  # type: ignore[attr-defined]


def test_contributors_find_every_part_of_the_package() -> None:
    (tree,) = re.findall(r"```\nbsv_store/\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)
    inside, beside = re.findall(r"^  (\S+)", tree, flags=re.MULTILINE), re.findall(r"^(\S+)", tree, flags=re.MULTILINE)
    package = CHECKOUT / "bsv_store"
    parts = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    parts |= {path.name for path in package.glob("*.py") if not path.name.startswith("_")}
    assert set(inside) == parts
    assert not [name for name in beside if not (CHECKOUT / name).is_dir()]


def test_files_that_contributors_are_sent_to_exist() -> None:
    roots = "|".join(path.name for path in CHECKOUT.iterdir() if path.is_dir() and not path.name.startswith("."))
    paths = set(re.findall(rf"`((?:{roots})/[\w./-]+)`", CONTRIBUTING)) - {"build/docs"}
    assert len(paths) > 20
    assert not [path for path in sorted(paths) if not (CHECKOUT / path).exists()]


def test_targets_that_contributors_run_exist() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", CONTRIBUTING)) <= targets


def test_the_citation_file_has_this_version() -> None:
    citation = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, flags=re.MULTILINE) == [__version__]
