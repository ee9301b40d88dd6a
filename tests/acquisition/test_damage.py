"""Volumes whose stored file was damaged: noticed, fetched again by the run that needs them, never left out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from bsv_store.acquisition import presence
from bsv_store.compat import fetch_connectivity_data
from bsv_store.errors import DamagedFileError, DamagedVolumeWarning, InputError, MissingDataError
from bsv_store.volumes.library import publish_volume
from bsv_store.volumes.volume import Volume
from bsv_store_synthetic import SyntheticServer
from bsv_store_synthetic.faults import Status
from tests.catalogs import ATLAS, REPLIES, fill_catalog
from tests.cli.running import Runner
from tests.stores import store_with

from .conftest import Recorder

if TYPE_CHECKING:
    from bsv_store import Store

Damage = Literal["changed", "truncated", "deleted"]
IDS = ATLAS.experiment_ids[:3]
FIRST, SECOND, THIRD = IDS
DAMAGES = pytest.mark.parametrize("damage", ["changed", "truncated", "deleted"])


def fill_fetched(store: Store) -> None:
    """Three volumes and their unionize tables."""
    fill_catalog(store)
    with SyntheticServer(ATLAS, cache=REPLIES) as server:
        store.sync_unionizes(IDS, api_url=server.url)
        store.fetch(IDS, api_url=server.url)


fetched = store_with(fill_fetched)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


def damage_volume(store: Store, experiment_id: int, damage: Damage) -> Path:
    path = Path(store.volumes.describe(experiment_id)["path"])
    content = path.read_bytes()
    middle = len(content) // 2
    path.unlink()
    if damage == "changed":
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    return path


def check_whole(store: Store, *ids: int) -> None:
    for each in ids:
        np.testing.assert_array_equal(store.volume(each), ATLAS.volume(each))


# -- fetch ---------------------------------------------------------------------------------------------------------


@DAMAGES
def test_fetch_replaces_a_file_of_another_size_and_with_verify_one_with_other_bytes(
    fetched: Store, server: SyntheticServer, damage: Damage
) -> None:
    damage_volume(fetched, SECOND, damage)
    report = fetched.fetch(IDS, verify=damage == "changed", api_url=server.url)
    assert (report.fetched, report.replaced, report.present) == ((SECOND,), (SECOND,), (FIRST, THIRD))
    assert report.summary().endswith(f"0 failed. 1 damaged volume was fetched again: {SECOND}.")
    assert server.requests.total == 1
    check_whole(fetched, *IDS)
    assert fetched.fetch(IDS, verify=True, api_url=server.url).present == IDS


def test_fetch_without_verify_does_not_read_the_files(fetched: Store, server: SyntheticServer) -> None:
    damage_volume(fetched, SECOND, "changed")
    assert fetched.fetch(IDS, api_url=server.url).present == IDS
    assert server.requests.total == 0


def test_fetch_replaces_what_verify_found_damaged(fetched: Store, server: SyntheticServer) -> None:
    damage_volume(fetched, SECOND, "changed")
    fetched.admin.verify(deep=True)
    assert [file.experiment_id for file in fetched.plan_fetch(IDS).damaged] == [SECOND]
    assert fetched.fetch(IDS, api_url=server.url).replaced == (SECOND,)
    check_whole(fetched, *IDS)
    upkeep = fetched.status().upkeep
    assert upkeep is not None
    # The finding was of the damaged file.
    assert upkeep.verification.damaged == 0
    assert fetched.fetch(IDS, api_url=server.url).present == IDS
    assert server.requests.total == 1


def test_fetch_does_not_read_files_in_which_verify_found_no_other_bytes(
    fetched: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in fetched.path.glob("volumes/**/*.h5"):
        path.chmod(0o400)
    assert {each.kind for each in fetched.admin.verify(deep=True).findings} == {"wrong_permissions"}

    def read(*_: Any) -> bool:
        raise AssertionError("a file was read")

    monkeypatch.setattr(presence, "has_intact_file", read)
    assert fetched.fetch(IDS, api_url=server.url).present == IDS
    assert server.requests.total == 0


def test_verifying_reports_its_progress(fetched: Store, server: SyntheticServer, recorder: Recorder) -> None:
    report = fetched.fetch(IDS, verify=True, progress=recorder, api_url=server.url)
    assert (recorder.what, recorder.done, recorder.finished) == ("verifying volumes", 3, True)
    assert recorder.size_bytes == sum(path.stat().st_size for path in (fetched.path / "volumes").rglob("*.h5"))
    assert (report.present, report.replaced) == (IDS, ())
    assert "damaged" not in report.summary()


def test_the_plan_counts_damaged_files(fetched: Store) -> None:
    damage_volume(fetched, FIRST, "truncated")
    damage_volume(fetched, SECOND, "changed")
    plan = fetched.plan_fetch(IDS)
    assert (plan.missing, [file.experiment_id for file in plan.damaged]) == ((FIRST,), [FIRST])
    plan = fetched.plan_fetch(IDS, verify=True)
    assert plan.missing == (FIRST, SECOND)
    assert "1 present, 2 missing (2 of them damaged); 2 requests" in plan.summary()
    assert [file.experiment_id for file in plan.first(1).damaged] == [FIRST]


def test_a_limit_applies_to_damaged_files_too(fetched: Store, server: SyntheticServer) -> None:
    for each in IDS:
        damage_volume(fetched, each, "changed")
    report = fetched.fetch(IDS, verify=True, limit=2, api_url=server.url)
    assert report.replaced == (FIRST, SECOND)
    assert fetched.fetch(IDS, verify=True, api_url=server.url).replaced == (THIRD,)


def test_refresh_and_verify_cannot_be_combined(fetched: Store) -> None:
    with pytest.raises(InputError, match="verify cannot be combined with refresh"):
        fetched.fetch(IDS, verify=True, refresh=True)


@DAMAGES
def test_offline_damage_is_an_error(fetched: Store, damage: Damage) -> None:
    damage_volume(fetched, SECOND, damage)
    with pytest.raises(DamagedFileError if damage == "changed" else MissingDataError, match=str(SECOND)):
        fetched.fetch(IDS, verify=True, offline=True)


@DAMAGES
def test_an_orphan_with_the_same_content_replaces_a_damaged_file(
    fetched: Store, server: SyntheticServer, damage: Damage
) -> None:
    volume = Volume("projection_density", fetched.volume(FIRST))
    orphan = publish_volume(fetched.files, volume, experiment_id=FIRST, source="from a killed run")
    old = damage_volume(fetched, FIRST, damage)
    report = fetched.fetch(IDS, verify=True, api_url=server.url)
    assert (report.recovered, report.replaced, report.fetched) == ((FIRST,), (FIRST,), ())
    assert server.requests.total == 0
    assert Path(fetched.volumes.describe(FIRST)["path"]) == fetched.path / orphan.path != old
    check_whole(fetched, *IDS)


def test_a_damaged_file_that_another_run_has_replaced_meanwhile_is_present(
    fetched: Store, server: SyntheticServer
) -> None:
    damage_volume(fetched, FIRST, "changed")

    class Overtaking(Recorder):
        def start(self, total: int, what: str) -> None:
            if what != "verifying volumes":
                fetched.fetch([FIRST], refresh=True, api_url=server.url)

    report = fetched.fetch(IDS, verify=True, progress=Overtaking(), api_url=server.url)
    assert (set(report.present), report.replaced) == (set(IDS), ())
    assert server.requests.total == 1


def test_a_damaged_volume_that_cannot_be_fetched_is_a_failure(fetched: Store, server: SyntheticServer) -> None:
    damage_volume(fetched, SECOND, "changed")
    server.fail(f"download/{SECOND}", Status(404))
    report = fetched.fetch(IDS, verify=True, api_url=server.url)
    assert (report.replaced, list(report.reasons)) == ((), [SECOND])


# -- aggregate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "missing"), [("changed", "error"), ("truncated", "leave_out"), ("deleted", "leave_out")]
)
def test_an_average_that_fetches_replaces_the_file_and_says_so(
    fetched: Store, server: SyntheticServer, damage: Damage, missing: Any
) -> None:
    damage_volume(fetched, SECOND, damage)
    damage_volume(fetched, THIRD, damage)
    with pytest.warns(DamagedVolumeWarning, match=f"^2 damaged volumes were fetched again: {SECOND}, {THIRD}$"):
        version = fetched.aggregate(IDS, name="visual", missing=missing, fetch_damaged=True, api_url=server.url)
    expected = np.mean([ATLAS.volume(each) for each in IDS], axis=0)
    np.testing.assert_allclose(version.mean[0], expected, rtol=1e-6)
    assert not list(version.left_out)
    assert server.requests.total == 2


def test_only_the_damaged_file_of_an_experiment_is_fetched(fetched: Store, server: SyntheticServer) -> None:
    options: dict[str, Any] = {"exclude_injection": True, "weight_by_data_mask": True}
    fetched.fetch_inputs(IDS, api_url=server.url, **options)
    server.requests.clear()
    path = Path(fetched.volumes.describe(SECOND, kind="data_mask")["path"])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(DamagedVolumeWarning, match="1 damaged volume was"):
        fetched.aggregate(IDS, name="visual", fetch_damaged=True, api_url=server.url, **options)
    assert server.requests.total == 1


def test_an_average_whose_damaged_file_cannot_be_fetched_says_why(fetched: Store, server: SyntheticServer) -> None:
    damage_volume(fetched, SECOND, "changed")
    server.fail(f"download/{SECOND}", Status(404), times=None)
    with pytest.raises(DamagedFileError, match=rf"differs from what was stored; experiment {SECOND} .*again: .*404"):
        fetched.aggregate(IDS, name="visual", missing="leave_out", fetch_damaged=True, api_url=server.url)
    assert not fetched.datasets.list()


def test_a_file_that_is_damaged_again_at_once_is_fetched_once(
    fetched: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk must not make the run fetch for ever."""
    from bsv_store.acquisition.tasks.volumes import VolumeTask

    damage_volume(fetched, SECOND, "changed")
    commit = VolumeTask.commit

    def damaging(self: VolumeTask, *arguments: Any) -> Any:
        result = commit(self, *arguments)
        damage_volume(fetched, SECOND, "truncated")
        return result

    monkeypatch.setattr(VolumeTask, "commit", damaging)
    with pytest.warns(DamagedVolumeWarning), pytest.raises(DamagedFileError, match=str(SECOND)):
        fetched.aggregate(IDS, name="visual", fetch_damaged=True, api_url=server.url)
    assert server.requests.total == 1


def test_an_average_of_whole_files_fetches_nothing(fetched: Store, server: SyntheticServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fetched.aggregate(IDS, name="visual", fetch_damaged=True, api_url=server.url)
    assert server.requests.total == 0


# -- Brain Street View ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "options"),
    [("changed", {"missing": "leave_out"}), ("changed", {"bsv_rules": True}), ("truncated", {}), ("deleted", {})],
)
def test_brain_street_views_function_fetches_a_damaged_volume_again(
    fetched: Store, server: SyntheticServer, damage: Damage, options: Any
) -> None:
    def averaged(**more: Any) -> Any:
        given: dict[str, Any] = {"normalization_method": "none", "subtract_other_hemisphere": False, **options, **more}
        return fetch_connectivity_data(IDS, "", "", store=fetched, export_metadata=False, **given)[0]

    expected = averaged(offline=True)
    damage_volume(fetched, SECOND, damage)
    with pytest.raises(DamagedFileError, match=str(SECOND)):
        averaged(offline=True)
    if damage == "changed":
        with pytest.warns(DamagedVolumeWarning, match=f"1 damaged volume was fetched again: {SECOND}"):
            found = averaged(api_url=server.url)
    else:
        found = averaged(api_url=server.url)
    np.testing.assert_array_equal(found, expected)
    assert server.requests.total == 1


# -- the command line ----------------------------------------------------------------------------------------------


def ids_option(*ids: int) -> str:
    return ",".join(map(str, ids))


def test_the_commands_replace_damaged_volumes_and_say_so(fetched: Store, server: SyntheticServer, run: Runner) -> None:
    selected = ("--ids", ids_option(*IDS))
    damage_volume(fetched, SECOND, "changed")
    plan = run("fetch", *selected, "--verify", "--dry-run", store=fetched.path).succeeded()
    assert "2 present, 1 missing (1 of them damaged)" in plan.out
    states = run("fetch", *selected, "--verify", "--dry-run", "--format", "csv", store=fetched.path).succeeded().rows
    assert [row["state"] for row in states] == ["present", "damaged", "present"]
    document = run("fetch", *selected, "--verify", "--dry-run", "--format", "json", store=fetched.path).succeeded()
    assert document.json["damaged"] == [SECOND]
    done = run("fetch", *selected, "--verify", "--api-url", server.url, store=fetched.path).succeeded()
    assert f"1 damaged volume was fetched again: {SECOND}." in done.err
    damage_volume(fetched, SECOND, "changed")
    averaged = ("aggregate", *selected, "--name", "visual", "--missing", "leave-out")
    run(*averaged, store=fetched.path).refused(3, f"experiment {SECOND}")
    done = run(*averaged, "--fetch", "--api-url", server.url, store=fetched.path).succeeded()
    assert f"1 damaged volume was fetched again: {SECOND}." in done.err
    check_whole(fetched, *IDS)
    run("fetch", *selected, "--verify", "--refresh", store=fetched.path).refused(2, "--verify cannot be combined")
