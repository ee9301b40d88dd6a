"""The Python in docs/files.md reads what a store writes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import Selection, create_store
from bsv_store.datasets.share.export import VERSION_FORMATS
from bsv_store.formats.table import IMAGE_FORMATS, FileFormat
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files.md"


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_python_snippets_read_results_and_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SyntheticServer(SyntheticAtlas(experiments=3)) as server, create_store(tmp_path / "store") as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.fetch(Selection(), api_url=server.url)
        first = store.select()[0]
        store.fetch(Selection(ids=[first]), kind="data_mask", api_url=server.url)
        version = store.aggregate(Selection(), name="all")
        expected, mean, label = store.volume(first), version.mean, version.groups[0].label
        shutil.copy(version.path, "result.nc")
        sparse = store.path / str(store.volumes.describe(first)["path"])
        mask = store.volume(first, kind="data_mask")
        dense = store.path / str(store.volumes.describe(first, kind="data_mask")["path"])
        store.sync_annotation(download_url=server.url)
        (annotation,) = store.path.glob("volumes/annotation/100um/*.h5")
        ids = store.atlas.annotation()
        store.volumes.export(first, "volume.ome.zarr")
    # tests/integration/test_readers.py runs that of SimpleITK, and those in other languages.
    labelled, plain, volume, _, ome_zarr, turn, turn_with_brainglobe = snippets()

    names: dict[str, object] = {}
    exec(labelled, names)
    np.testing.assert_array_equal(names["plane"], mean[0, 84])
    names["result"].close()  # type: ignore[attr-defined]
    exec(plain, names)
    np.testing.assert_array_equal(names["mean"], mean)
    assert list(names["labels"]) == [label]  # type: ignore[call-overload]
    exec(turn, names)
    np.testing.assert_array_equal(names["reversed_mean"], mean[..., ::-1])
    pytest.importorskip("brainglobe_space", reason="brainglobe-space is not installed")
    exec(turn_with_brainglobe, names)
    np.testing.assert_array_equal(names["same"], names["reversed_mean"][0])  # type: ignore[index]
    for source, array in ((sparse, expected), (dense, mask), (annotation, ids)):
        shutil.copy(source, "volume.h5")
        exec(volume, names)
        np.testing.assert_array_equal(names["volume"], array)
    exec(ome_zarr, names)
    np.testing.assert_array_equal(names["voxels"], expected)
    assert names["spacing"] == {"type": "scale", "scale": [100.0] * 3}
    assert names["corner"] == {"type": "translation", "translation": [50.0] * 3}


@pytest.mark.parametrize("formats", [IMAGE_FORMATS, VERSION_FORMATS])
def test_the_page_lists_the_formats(formats: Sequence[FileFormat[Any]]) -> None:
    rows = "".join(f"| `{each.ending}` | {each.words} |\n" for each in formats)
    assert rows in PAGE.read_text(encoding="utf-8")
