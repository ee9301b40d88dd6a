from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bsv_store import Selection, by_coordinate, crossed, open_store
from bsv_store.datasets import workers
from bsv_store.datasets.compute import compute
from bsv_store.datasets.history import rebuild as module
from bsv_store.errors import DamagedFileError, InputError, MissingDataError, UnknownDatasetError
from tests.datasets.killing import killed
from tests.datasets.world import FACTS, IDS, add_volume, ask, change_experiments

if TYPE_CHECKING:
    from bsv_store import Store


def rebuild(store: Store, ref: str = "test", *, check_only: bool = False) -> Any:
    return store.datasets.rebuild(ref, check_only=check_only)


def test_a_version_comes_out_the_same(filled: Store) -> None:
    version = ask(filled, Selection(ids=IDS), by_coordinate("AP", bins=2), normalize="injection_volume")
    before = version.path.read_bytes()
    report = rebuild(filled, check_only=True)
    assert (report.file_state, report.is_identical, report.was_restored) == ("intact", True, False)
    assert (report.largest_difference, report.voxels) == (0.0, 0)
    assert report.software_then == report.software_now
    assert version.path.read_bytes() == before


def test_the_recorded_inputs_count_not_those_of_today(filled: Store) -> None:
    ask(filled, Selection(injected_in="VIS"), by_coordinate("AP", bins=2))
    change_experiments(filled, [fact for fact in FACTS if fact.id != 5])
    assert rebuild(filled, check_only=True).is_identical


@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.parametrize("is_computed_again", [False, True])
def test_what_another_process_deletes_meanwhile_is_unknown_or_replaced(
    filled: Store, monkeypatch: pytest.MonkeyPatch, is_damaged: bool, is_computed_again: bool
) -> None:
    version = ask(filled, Selection(ids=IDS), by_coordinate("AP", bins=2))
    if is_damaged:
        _damage(version.path, "flipped")

    def compute_and_delete(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(module, "compute", compute)
        result = compute(*arguments, **options)
        filled.datasets.delete("test@1")
        if is_computed_again:
            ask(filled, Selection(ids=IDS), by_coordinate("AP", bins=2))
        return result

    monkeypatch.setattr(module, "compute", compute_and_delete)
    with pytest.raises(UnknownDatasetError, match=r"has no (dataset 'test'|version 1)"):
        rebuild(filled)


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_damaged_file_is_restored(filled: Store, damage: str) -> None:
    grouping = crossed(by_coordinate("AP", edges=[7000, 8200, 9400]), by_coordinate("ML", edges=[0, 5700, 11400]))
    version = ask(filled, Selection(injected_in="VIS"), grouping, hemisphere_rule="flip_to_right")
    before = version.path.read_bytes()
    _damage(version.path, damage)
    report = rebuild(filled, check_only=True)
    assert (report.file_state, report.is_identical, report.was_restored) == ("damaged", True, False)
    with pytest.raises(DamagedFileError):
        _ = version.mean
    assert rebuild(filled).was_restored
    assert version.path.read_bytes() == before
    assert version.mean.max() > 0


def test_a_damaged_file_is_restored_though_the_question_has_another_answer_now(filled: Store) -> None:
    version = ask(filled, Selection(injected_in="VIS"), by_coordinate("AP", bins=2), normalize="injection_volume")
    before = version.path.read_bytes()
    change_experiments(filled, [fact for fact in FACTS if fact.id != 5])
    _damage(version.path, "flipped")
    assert rebuild(filled).was_restored
    assert version.path.read_bytes() == before


def test_another_release_restores_other_bytes_with_the_same_arrays(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = ask(filled)
    mean = version.mean
    _damage(version.path, "flipped")
    monkeypatch.setattr("bsv_store.datasets.result.contents.software", lambda: "another release")
    assert rebuild(filled).was_restored
    restored = filled.dataset("test@1")
    assert restored.path != version.path
    assert not version.path.exists()
    assert restored.content_sha256 == version.content_sha256
    np.testing.assert_array_equal(restored.mean, mean)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_processes_confirm_and_restore_the_same_bytes(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    version = ask(filled, grouping=by_coordinate("AP", bins=2))
    before = version.path.read_bytes()
    asked: list[int] = []
    real = workers.pool

    def pool(count: int) -> Any:
        asked.append(count)
        return real(count)

    monkeypatch.setattr("bsv_store.datasets.compute.pool", pool)
    assert filled.datasets.rebuild("test", check_only=True, workers=2).is_identical
    assert asked == [2]
    _damage(version.path, "missing")
    with ThreadPoolExecutor(2) as executor:
        assert filled.datasets.rebuild("test", executor=executor).was_restored
    assert version.path.read_bytes() == before
    assert asked == [2]
    with pytest.raises(InputError, match=r"workers .*got 0"):
        filled.datasets.rebuild("test", workers=0)


def test_a_difference_is_measured_and_nothing_is_replaced(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    version = ask(filled)
    before = version.path.read_bytes()
    real = module.compute  # type: ignore[attr-defined]

    def off(files: Any, inputs: Any, progress: Any, **options: Any) -> Any:
        from dataclasses import replace

        member = replace(inputs.members[0], divisor=2.0)
        return real(files, replace(inputs, members=(member, *inputs.members[1:])), progress, **options)

    monkeypatch.setattr(module, "compute", off)
    report = rebuild(filled)
    assert not report.is_identical
    assert report.voxels > 10_000
    assert 0 < report.largest_difference <= 0.1
    assert version.path.read_bytes() == before
    _damage(version.path, "flipped")
    report = rebuild(filled)
    assert (report.is_identical, report.was_restored, report.largest_difference) == (False, False, None)


def test_a_replaced_volume_cannot_be_rebuilt_from(filled: Store) -> None:
    ask(filled)
    add_volume(filled, 2, seed=1)
    with pytest.raises(MissingDataError, match="has been replaced: 2"):
        rebuild(filled)


def test_masks_are_part_of_the_recorded_inputs(filled: Store) -> None:
    inside = np.zeros((132, 80, 114), np.float32)
    inside[:66] = 0.5
    for identifier in range(1, 6):
        add_volume(filled, identifier, kind="injection_fraction", array=inside)
    version = ask(filled, exclude_injection=True)
    assert rebuild(filled, check_only=True).is_identical
    _damage(version.path, "missing")
    assert rebuild(filled).was_restored
    add_volume(filled, 1, kind="injection_fraction", array=np.zeros_like(inside))
    with pytest.raises(MissingDataError, match=r"injection_fraction .* has been replaced"):
        rebuild(filled)


@pytest.mark.parametrize("point", ["rebuild:computed", "rebuild:published", "rebuild:recorded"])
def test_rebuild_survives_a_kill(filled_location: Path, point: str) -> None:
    with open_store(filled_location) as store:
        version = ask(store)
        before = version.path.read_bytes()
        _damage(version.path, "flipped")
    killed(filled_location, point, "rebuild", "test")
    with open_store(filled_location) as store:
        rebuild(store)
        assert store.dataset("test").path.read_bytes() == before


def _damage(path: Path, damage: str) -> None:
    if damage == "missing":
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
