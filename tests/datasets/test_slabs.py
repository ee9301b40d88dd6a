"""A part of a large result is read and verified without the rest of its file; here at 100 um, to be quick."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from bsv_store import by_field
from bsv_store.datasets import version as version_module
from bsv_store.datasets.result import slabs
from bsv_store.errors import BsvStoreWarning, DamagedFileError, FormatError, InputError
from tests.datasets.bundles import changed, forged
from tests.datasets.world import VISUAL, ask

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

BOX = ((1_000, 1_350), (0, 3_000), (2_000, 11_400))


@pytest.fixture
def version(filled: Store, monkeypatch: pytest.MonkeyPatch) -> DatasetVersion:
    monkeypatch.setattr(slabs, "_LARGEST_SPACING_UM", 100)
    monkeypatch.setattr(slabs, "_tables", {})
    return ask(filled, VISUAL, by_field("line"), statistics=("mean", "sd", "n"))


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were verified as a whole."""
    seen: list[Path] = []
    real = version_module.unchanged  # type: ignore[attr-defined]

    def watch(path: Path, **facts: Any) -> Any:
        seen.append(path)
        return real(path, **facts)

    monkeypatch.setattr(version_module, "unchanged", watch)
    return seen


def test_a_part_is_that_of_the_whole_and_the_rest_is_not_read(version: DatasetVersion, whole: list[Path]) -> None:
    for name in ("mean", "sd", "n"):
        values = version.statistic(name)
        part = values[:, 10:14, :30, 20:114]
        found = version.statistic(name, box=BOX)
        assert (found.dtype, found.flags.writeable) == (values.dtype, False)
        assert np.array_equal(found, part, equal_nan=True)
        for group in range(len(version.groups)):
            assert np.array_equal(version.statistic(name, group=group), values[group], equal_nan=True)
            assert np.array_equal(version.statistic(name, group=group, box=BOX), part[group], equal_nan=True)
    assert whole == []


def test_the_table_has_the_hashes_of_the_slabs_and_the_content_hash_is_of_them(version: DatasetVersion) -> None:
    with version.open() as file:
        table = file["slab_sha256"][:]
        planes = file["mean"].chunks[1]
        groups = range(len(file["group"]))
        arrays = [(name, group, file[name][group]) for name in ("mean", "sd", "n") for group in groups]
    lines = []
    for row, (name, group, values) in zip(table, arrays, strict=True):
        for number, digest in enumerate(row):
            slab = values[number * planes : (number + 1) * planes]
            assert digest.tobytes() == hashlib.sha256(slab.tobytes()).digest()
        lines.append(f"{name} {group} {hashlib.sha256(row.tobytes()).hexdigest()}\n")
    assert version.content_sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert "slab_sha256" in version.to_xarray().coords


def _chunk(path: Path, name: str, number: int) -> tuple[int, int]:
    """Offset and size of a chunk in the file."""
    with h5py.File(path) as file:
        found = file[name].id.get_chunk_info(number)
    return found.byte_offset, found.size


@pytest.mark.parametrize("where", ["chunk", "swapped", "table"])
def test_damage_of_a_part_is_an_error_and_elsewhere_it_is_not_noticed(
    version: DatasetVersion, whole: list[Path], where: str
) -> None:
    path = version.path
    image = bytearray(path.read_bytes())
    good = version.statistic("mean", group=0, box=BOX)
    path.chmod(0o600)
    if where == "table":
        slabs._tables.clear()
        with h5py.File(path) as file:
            at = file["slab_sha256"].id.get_offset()
        image[at + 5] ^= 1
    else:
        # The last two chunks of the first group, with the planes from 66.
        first, second = (_chunk(path, "mean", number) for number in (2, 3))
        if where == "chunk":
            image[first[0] + first[1] // 2] ^= 1
        else:
            sizes = min(first[1], second[1])
            one, other = (bytes(image[at : at + sizes]) for at, _ in (first, second))
            image[first[0] : first[0] + sizes], image[second[0] : second[0] + sizes] = other, one
    path.write_bytes(image)
    if where == "table":
        with pytest.raises(DamagedFileError, match="differs from what was stored"):
            version.statistic("mean", group=0, box=BOX)
        return
    assert np.array_equal(version.statistic("mean", group=0, box=BOX), good, equal_nan=True)
    assert whole == []
    with pytest.raises(DamagedFileError, match="differs from what was stored"):
        version.statistic("mean", group=0, box=((6_650, 13_150), (0, 8_000), (0, 11_400)))


def test_a_file_without_a_table_is_verified_as_a_whole(
    filled: Store, whole: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = ask(filled)
    with version.open() as file:
        assert "slab_sha256" not in file
    monkeypatch.setattr(slabs, "_LARGEST_SPACING_UM", 100)
    found = version.statistic("mean", box=BOX)
    assert np.array_equal(found, version.mean[:, 10:14, :30, 20:114], equal_nan=True)
    assert whole == [version.path]


def test_a_bundle_keeps_the_table_and_one_of_other_arrays_is_refused(
    version: DatasetVersion, filled: Store, tmp_path: Path, whole: list[Path]
) -> None:
    path = tmp_path / "version.bsv.zip"
    version.export(path)
    imported = filled.datasets.import_bundle(path, name="other")
    slabs._tables.clear()
    found = imported.statistic("mean", box=BOX)
    assert np.array_equal(found, version.statistic("mean", box=BOX), equal_nan=True)
    assert whole == []

    def edit(file: h5py.File) -> None:
        file["slab_sha256"][0, 0, 0] ^= 1

    with pytest.raises(FormatError, match=r"slab_sha256 in .* does not match the arrays"):
        filled.datasets.import_bundle(changed(path, forged(edit)), name="wrong")


def test_a_version_from_before_slabs_were_hashed_is_read_verified_rebuilt_and_passed_on(
    filled: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = ask(filled, VISUAL, by_field("line"), statistics=("mean", "n"))
    expected = old.mean.copy()
    monkeypatch.setattr(slabs, "_LARGEST_SPACING_UM", 100)
    monkeypatch.setattr(slabs, "_tables", {})
    version = filled.dataset(old.ref)
    assert np.array_equal(version.statistic("mean", box=BOX), expected[:, 10:14, :30, 20:114], equal_nan=True)
    assert filled.admin.verify(decode=True).findings == ()
    assert filled.datasets.rebuild(version.ref).is_identical
    bundle = version.export(tmp_path / "old.bsv.zip")

    # A restored file has the table, and the row the content hash of its slabs.
    version.path.unlink()
    assert filled.datasets.rebuild(version.ref).was_restored
    restored = filled.dataset(old.ref)
    assert restored.content_sha256 != old.content_sha256
    assert np.array_equal(restored.statistic("mean", box=BOX), expected[:, 10:14, :30, 20:114], equal_nan=True)
    assert filled.admin.verify(decode=True).findings == ()

    filled.datasets.delete(old.ref, force=True)
    with pytest.warns(BsvStoreWarning, match="have been given"):
        imported = filled.datasets.import_bundle(bundle)
    assert np.array_equal(imported.mean, expected, equal_nan=True)
    assert filled.admin.verify(decode=True).findings == ()


def test_the_same_result_with_a_hash_from_before_slabs_were_hashed_is_not_stored_twice(
    filled: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = ask(filled, VISUAL, by_field("line"))
    before = old.export(tmp_path / "before.bsv.zip")
    filled.datasets.delete(old.ref, force=True)
    monkeypatch.setattr(slabs, "_LARGEST_SPACING_UM", 100)
    new = ask(filled, VISUAL, by_field("line"))
    assert (new.fingerprint, new.number) == (old.fingerprint, 2)
    assert new.content_sha256 != old.content_sha256
    assert filled.datasets.import_bundle(before).ref == new.ref
    with pytest.raises(InputError, match="has the same recipe, inputs and result"):
        filled.admin.untrash([old.ref])

    imported = filled.datasets.import_bundle(before, name="other")
    assert imported.content_sha256 == old.content_sha256
    after = new.export(tmp_path / "after.bsv.zip")
    assert filled.datasets.import_bundle(after, name="other").ref == imported.ref
