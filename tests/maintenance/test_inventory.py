"""The inventory: what the database expects in the folder, and what the folder contains."""

from __future__ import annotations

from pathlib import Path

from bsv_store import Store
from bsv_store.maintenance.inventory import expected_objects, found_files
from bsv_store_synthetic import wire_volumes
from tests.datasets.test_region_summary import blocks
from tests.datasets.world import add_annotation


def template_file(folder: Path) -> Path:
    path = folder / "average_template_100.nrrd"
    path.write_bytes(wire_volumes.template_nrrd(100))
    return path


def test_every_expected_file_is_found_with_its_size(filled: Store, tmp_path: Path) -> None:
    add_annotation(filled, blocks())
    filled.ingest_template(template_file(tmp_path))
    filled.aggregate([1, 2, 3], name="visual")
    with filled.database.reading() as connection:
        expected = {each.path: each for each in expected_objects(connection)}
    found = {each.path: each for each in found_files(filled.files, "volumes", "datasets")}
    assert {each.kind for each in expected.values()} == {"volume", "annotation", "template", "version"}
    assert {path for path in found if not path.startswith("annotation")} >= set(expected)
    assert {path: found[path].size_bytes for path in expected} == {
        path: each.size_bytes for path, each in expected.items()
    }
    assert all(found[path].is_regular for path in expected)
    assert "version/visual@1" in {each.key for each in expected.values()}


def test_a_store_without_a_folder_has_no_files_there(filled: Store) -> None:
    (filled.path / "tmp").rmdir()
    assert list(found_files(filled.files, "tmp")) == []
