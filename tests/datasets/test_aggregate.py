from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import update

from bsv_store import Selection, by_coordinate, by_field, by_region, open_store
from bsv_store.averaging import inputs as inputs_module
from bsv_store.averaging import passes
from bsv_store.catalog.database.models import Experiment
from bsv_store.datasets import compute as compute_module
from bsv_store.errors import (
    DamagedFileError,
    EmptySelectionError,
    InputError,
    MissingDataError,
    ReadOnlyStoreError,
    RecipeError,
    UnknownExperimentError,
)
from tests.counting import counted
from tests.datasets.world import (
    BY_ID,
    FACTS,
    IDS,
    MOP,
    VISUAL,
    Fact,
    add_unionizes,
    add_volume,
    ask,
    change_experiments,
    fill,
    fill_with,
    forget_listed_volumes,
    voxels,
)
from tests.sealing import sealed_changes

if TYPE_CHECKING:
    from bsv_store import Store

EVERYBODY = Selection(ids=IDS)


def mean_of(ids: tuple[int, ...], *, normalized: bool = False, subtracted: bool = False) -> NDArray[np.float64]:
    """The average computed the plain way, one volume after the other."""
    total = np.zeros(voxels(1).shape)
    for identifier in ids:
        fact = BY_ID[identifier]
        volume = voxels(identifier).astype(np.float64) / (fact.volume if normalized else 1.0)
        if subtracted:
            half = slice(0, 57) if fact.injected == "left" else slice(57, 114)
            difference = np.zeros_like(volume)
            difference[..., half] = (volume - volume[..., ::-1])[..., half]
            volume = difference
        total += volume
    return total / len(ids)


def test_mean_of_all_members(filled: Store) -> None:
    version = ask(filled)
    assert version.was_computed
    assert version.ref == "test@1"
    assert version.mean.shape == (1, 132, 80, 114)
    assert version.mean.dtype == np.float32
    np.testing.assert_allclose(version.mean[0], mean_of((1, 2, 3, 4, 5)), rtol=1e-6)
    assert [(group.label, group.n, group.experiment_ids) for group in version.groups] == [("all", 5, (1, 2, 3, 4, 5))]


def test_groups_by_coordinate_carry_edges_centers_and_members(filled: Store) -> None:
    version = ask(filled, EVERYBODY, by_coordinate("AP", edges=[3000, 8200, 9400]))
    assert [(group.lower, group.upper, group.center, group.experiment_ids) for group in version.groups] == [
        (3000, 8200, 6700.0, (1, 2, 6)),
        (8200, 9400, 26900 / 3, (3, 4, 5)),
    ]
    assert version.axis == "AP"
    assert [(member.experiment_id, member.reason) for member in version.left_out] == [
        (7, "the AP injection coordinate is not known")
    ]
    for group in version.groups:
        np.testing.assert_allclose(version.mean[group.number], mean_of(group.experiment_ids), rtol=1e-6)


def test_regions_go_through_the_ontology_not_by_prefix(filled: Store) -> None:
    version = ask(filled, EVERYBODY, by_region({"V1": "VISp", "other visual": "VIS", "nothing": "grey"}))
    members = {group.label: group.experiment_ids for group in version.groups}
    assert members == {"V1": (1, 2, 3), "other visual": (4, 5), "nothing": (6, 7)}


def test_normalized_by_the_unionize_injection_volume(filled: Store) -> None:
    version = ask(filled, normalize="injection-volume", dtype="float64")
    np.testing.assert_allclose(version.mean[0], mean_of((1, 2, 3, 4, 5), normalized=True), rtol=1e-12)
    assert version.members.set_index("experiment_id").divisor.to_dict() == {i: BY_ID[i].volume for i in range(1, 6)}
    assert version.unit == "fraction of voxel per mm³ injected"


def test_contralateral_signal_is_subtracted_on_the_injected_side(filled: Store) -> None:
    version = ask(filled, hemisphere_rule="subtract-contralateral", dtype="float64")
    np.testing.assert_allclose(version.mean[0], mean_of((1, 2, 3, 4, 5), subtracted=True), rtol=1e-12, atol=1e-15)
    assert version.members.injected_hemisphere.to_list() == ["right", "right", "left", "right", "left"]


def test_the_same_question_is_answered_without_opening_a_volume(filled: Store) -> None:
    first = ask(filled, grouping=by_coordinate("AP", bins=2))
    with counted() as work:
        again = ask(filled, Selection(injected_in=["VIS", "VIS"]), by_coordinate("AP", bins=2))
    assert work.opened == []
    assert not again.was_computed
    assert (again.number, again.fingerprint, again.path) == (first.number, first.fingerprint, first.path)
    assert again.experiments == first.experiments
    assert again.groups == first.groups


def test_changed_volume_makes_the_next_version(filled: Store) -> None:
    first = ask(filled)
    add_volume(filled, 2, seed=1)
    second = ask(filled)
    assert (second.number, second.was_computed) == (2, True)
    assert second.fingerprint != first.fingerprint
    # Back to the old bytes: the first version answers again.
    add_volume(filled, 2)
    assert ask(filled).number == 1


def test_changed_algorithm_makes_the_next_version(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(filled)
    monkeypatch.setattr(inputs_module, "ALGORITHM_VERSION", 999)
    assert ask(filled).number == 2


@pytest.mark.parametrize(
    "change",
    [
        {"normalize": "injection_volume"},
        {"hemisphere_rule": "flip_to_right"},
        {"statistics": ("mean", "sd")},
        {"dtype": "float64"},
        {"missing": "leave_out"},
    ],
)
def test_changed_recipe_makes_the_next_version(filled: Store, change: dict[str, Any]) -> None:
    assert ask(filled).number == 1
    assert ask(filled, **change).number == 2


def test_inputs_that_do_not_matter_leave_the_version(filled: Store) -> None:
    ask(filled, Selection(injected_in="VISp"))
    add_volume(filled, 6, seed=5)
    assert not ask(filled, Selection(injected_in="VISp")).was_computed


def test_changed_coordinate_changes_the_center_and_so_the_version(filled: Store) -> None:
    ask(filled, grouping=by_coordinate("AP", edges=[0, 13200]))
    from dataclasses import replace

    moved = [replace(fact, ap=8010) if fact.id == 1 else fact for fact in FACTS]
    change_experiments(filled, moved)
    assert ask(filled, grouping=by_coordinate("AP", edges=[0, 13200])).number == 2


def test_names_number_their_versions_apart(filled: Store) -> None:
    assert [ask(filled, name=name).ref for name in ("a", "b")] == ["a@1", "b@1"]


def test_missing_volumes_are_named_with_the_command_that_fetches_them(store: Store) -> None:
    fill(store, volumes=(1, 3))
    with pytest.raises(MissingDataError, match=r"projection_density at 100 um .*2, 4, 5") as caught:
        ask(store)
    hint = str(caught.value.hint)
    assert "Fetch them: bsv-store fetch --ids 2,4,5 --kind projection_density --spacing 100\nOr average with" in hint
    assert "`bsv-store aggregate --fetch`" in hint
    assert _count(store, "dataset") == 0


def test_missing_volumes_can_be_left_out_and_are_recorded(store: Store) -> None:
    fill(store, volumes=(1, 3))
    version = ask(store, missing="leave_out", grouping=by_coordinate("AP", bins=1))
    assert [(group.n, group.center) for group in version.groups] == [(2, 8250.0)]
    assert {member.experiment_id: member.reason for member in version.left_out} == dict.fromkeys(
        (2, 4, 5), "the projection_density at 100 um is not in the store"
    )
    np.testing.assert_allclose(version.mean[0], mean_of((1, 3)), rtol=1e-6)
    # What was missing has come: another answer.
    add_volume(store, 2)
    assert [group.n for group in ask(store, missing="leave_out", grouping=by_coordinate("AP", bins=1)).groups] == [3]


def test_nothing_but_missing_data_is_an_error(store: Store) -> None:
    fill(store, volumes=())
    with pytest.raises(MissingDataError, match=r"^the selected experiment is left out; 1: "):
        ask(store, Selection(ids=[1]), missing="leave_out")
    with pytest.raises(MissingDataError, match=r"^all 5 selected experiments are left out; 1: ") as caught:
        ask(store, missing="leave_out")
    assert "--kind projection_density" in str(caught.value.hint)
    assert "`bsv-store aggregate --fetch`" in str(caught.value.hint)


def test_a_mask_that_all_experiments_are_left_out_for_is_what_the_hint_fetches(store: Store) -> None:
    fill(store)
    with pytest.raises(MissingDataError, match=r"all 5 .*data_mask at 100 um") as caught:
        ask(store, missing="leave_out", weight_by_data_mask=True)
    assert "--kind data_mask" in str(caught.value.hint)


def test_volumes_of_experiments_in_no_group_are_not_needed(store: Store) -> None:
    fill(store, volumes=(6, 7))
    version = ask(store, EVERYBODY, by_region(["MOp"]))
    assert version.groups[0].experiment_ids == (6, 7)
    assert len(version.left_out) == 5


def test_missing_injection_volume_is_an_error_never_a_division_by_one(store: Store) -> None:
    fill(store, unionizes=(1, 2, 3, 4))
    forget_listed_volumes(store)
    with pytest.raises(MissingDataError, match=r"injection volume .*\b5\b") as caught:
        ask(store, normalize="injection_volume")
    assert "Sync the unionize tables: bsv-store sync unionizes --ids 5" in str(caught.value.hint)
    left_out = ask(store, normalize="injection_volume", missing="leave_out").left_out
    assert [member.experiment_id for member in left_out] == [5]
    add_unionizes(store, [5])
    assert ask(store, normalize="injection_volume").groups[0].n == 5


def test_without_unionize_rows_the_injection_volume_of_the_list_is_the_divisor(store: Store) -> None:
    fill(store, unionizes=(1, 2, 3, 4))
    version = ask(store, normalize="injection_volume")
    assert version.left_out == ()
    members = version.members.set_index("experiment_id")
    assert members["divisor_source"].dropna().to_dict() == {5: "list"}
    assert members.loc[5, "divisor"] == BY_ID[5].volume
    assert {each.experiment_id: each.divisor_source for each in store.dataset("test").experiments}[5] == "list"

    add_unionizes(store, [5])
    (report,) = store.datasets.stale("test")
    assert [(change.experiment_id, change.reason) for change in report.members.changed] == [
        (5, "divisor from the unionize rows instead of the list")
    ]
    again = ask(store, normalize="injection_volume")
    assert again.fingerprint != version.fingerprint
    np.testing.assert_array_equal(again.mean, version.mean)


def test_the_volume_of_an_older_registration_is_no_divisor(store: Store) -> None:
    fill(store, unionizes=(1, 2, 3, 4))
    with sealed_changes(store.database) as connection:
        connection.execute(update(Experiment).where(Experiment.id == 5).values(source_kind="csv_2016"))
    with pytest.raises(MissingDataError, match=r"the injection volume is not known \(no unionize rows\).*\b5\b"):
        ask(store, normalize="injection_volume")


def test_unknown_injected_side_is_an_error_where_the_rule_needs_it(store: Store) -> None:
    fill(store, unionizes=(1, 2, 3, 4, 5, 6))
    ask(store, EVERYBODY)
    with pytest.raises(MissingDataError, match=r"injected hemisphere .*\b7\b"):
        ask(store, EVERYBODY, hemisphere_rule="subtract_contralateral")
    version = ask(store, EVERYBODY, hemisphere_rule="subtract_contralateral", missing="leave_out")
    assert [member.experiment_id for member in version.left_out] == [7]


def test_bilateral_injections_follow_the_stated_policy(filled: Store) -> None:
    # Only experiment 4 has 6 % on the minor side; experiment 3 has 0.2 %.
    assert ask(filled, hemisphere_rule="flip_to_right").groups[0].n == 5
    with pytest.raises(RecipeError, match=r"injected on both sides.*: 4\b"):
        ask(filled, hemisphere_rule="flip_to_right", bilateral_rule="error")
    version = ask(filled, hemisphere_rule="flip_to_right", bilateral_rule="leave_out")
    assert [(member.experiment_id, member.reason) for member in version.left_out] == [
        (4, "injected on both sides (6.2% of the injection on the smaller one)")
    ]
    assert ask(filled, bilateral_rule="error").groups[0].n == 5


def test_masks_are_inputs(filled: Store) -> None:
    plain = ask(filled, exclude_injection=False)
    with pytest.raises(MissingDataError, match="injection_fraction"):
        ask(filled, exclude_injection=True)
    inside = np.zeros((132, 80, 114), np.float32)
    inside[:66] = 0.5
    for identifier in range(1, 6):
        add_volume(filled, identifier, kind="injection_fraction", array=inside)
        add_volume(filled, identifier, kind="data_mask", array=np.ones_like(inside))
    masked = ask(filled, exclude_injection=True)
    assert np.isnan(masked.mean[0, :66]).all()
    np.testing.assert_array_equal(masked.mean[0, 66:], plain.mean[0, 66:])
    weighted = ask(filled, weight_by_data_mask=True)
    np.testing.assert_allclose(weighted.mean, plain.mean, rtol=1e-6)
    add_volume(filled, 1, kind="injection_fraction", array=np.zeros_like(inside))
    assert ask(filled, exclude_injection=True).number == weighted.number + 1


def test_statistics_agree_with_numpy(filled: Store) -> None:
    version = ask(filled, statistics=("n", "max", "min", "sem", "sd"), dtype="float64")
    stack = np.stack([voxels(identifier) for identifier in range(1, 6)]).astype(np.float64)
    assert version.recipe.statistics == ("mean", "sd", "sem", "min", "max", "n")
    np.testing.assert_allclose(version.statistic("sd")[0], stack.std(0, ddof=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(version.statistic("sem")[0], stack.std(0, ddof=1) / 5**0.5, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(version.statistic("max", group=0), stack.max(0))
    np.testing.assert_array_equal(version.statistic("min", group=0), stack.min(0))
    assert (version.statistic("n") == 5).all()


def test_withdrawn_experiment_counts_where_its_id_is_given(filled: Store) -> None:
    change_experiments(filled, [fact for fact in FACTS if fact.id != 2])
    assert ask(filled).groups[0].experiment_ids == (1, 3, 4, 5)
    assert ask(filled, Selection(ids=[1, 2])).groups[0].experiment_ids == (1, 2)


def test_empty_selection_and_unknown_ids_are_errors(filled: Store) -> None:
    with pytest.raises(EmptySelectionError):
        ask(filled, Selection(injected_in="VISpm", line="wild-type"))
    with pytest.raises(UnknownExperimentError, match="4711"):
        ask(filled, Selection(ids=[1, 4711]))
    assert _count(filled, "dataset") == 0


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 101, "a@1", "ü", "a\x00"])
def test_bad_names_are_refused_and_nothing_is_written(filled: Store, name: str) -> None:
    with pytest.raises(InputError, match="not a valid dataset name"):
        ask(filled, name=name)
    assert list((filled.path / "datasets").iterdir()) == []


def test_names_that_differ_by_case_alone_are_refused(filled: Store) -> None:
    ask(filled, name="Visual")
    with pytest.raises(InputError, match="only by case"):
        ask(filled, name="visual")


def test_damaged_volume_is_an_error_that_names_the_experiments(filled: Store) -> None:
    for identifier in (2, 4):
        _damage(filled, identifier)
    with pytest.raises(
        DamagedFileError, match=r"experiment 2 \(and 1 more: 4\).*differs from what was stored"
    ) as caught:
        ask(filled)
    for identifier in (2, 4):
        command = (
            f"bsv-store fetch --refresh --ids {identifier} --include-excluded --kind projection_density --spacing 100"
        )
        assert command in str(caught.value.hint)
    assert _count(filled, "dataset_version") == 0


@pytest.mark.parametrize("damage", ["changed", "truncated", "deleted"])
def test_a_damaged_volume_is_not_left_out_as_a_missing_one(filled: Store, damage: str) -> None:
    if damage == "changed":
        _damage(filled, 2)
    else:
        path = filled.path / str(filled.sql("select path from volume where experiment_id = 2")["path"][0])
        path.write_bytes(path.read_bytes()[:-1])
        if damage == "deleted":
            path.unlink()
    with pytest.raises(DamagedFileError, match="experiment 2: ") as caught:
        ask(filled, missing="leave_out")
    assert "leave" not in str(caught.value.hint)
    assert _count(filled, "dataset_version") == 0


def test_a_volume_replaced_while_averaging_is_read_again(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = compute_module.compute, 0

    def replaced(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            add_volume(filled, 3, seed=9)
        return real(*arguments, **options)

    monkeypatch.setattr("bsv_store.datasets.aggregate.compute", replaced)
    version = ask(filled)
    assert calls == 2
    total = sum(voxels(identifier, seed=9 if identifier == 3 else 0).astype(float) for identifier in range(1, 6))
    np.testing.assert_allclose(version.mean[0], total / 5, rtol=1e-6)


@pytest.mark.parametrize("budget", [1, 40_000_000, 70_000_000])
def test_cutting_the_work_does_not_change_a_bit(filled: Store, monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    """Slabs of one group, whole groups one by one, or two at a time."""
    parts: dict[str, Any] = {"hemisphere_rule": "subtract_contralateral", "normalize": "injection_volume"}
    grouping = by_field("primary_structure")
    whole = ask(filled, EVERYBODY, grouping, name="whole", **parts)
    monkeypatch.setattr(passes, "_BUDGET_BYTES", {100: budget})
    with counted() as work:
        cut = ask(filled, EVERYBODY, grouping, name="cut", **parts)
    assert cut.was_computed
    assert cut.content_sha256 == whole.content_sha256
    # A volume belongs to one group: only slabs cost more reading.
    assert len(work.read) == len(IDS) * (4 if budget == 1 else 1)


def test_progress_counts_every_volume(filled: Store) -> None:
    class Watcher:
        total, done, ended = 0, 0, 0

        def start(self, total: int, what: str) -> None:
            self.total = total

        def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
            self.done += count

        def finish(self) -> None:
            self.ended += 1

    watcher = Watcher()
    filled.aggregate(VISUAL, name="test", progress=watcher)
    assert (watcher.total, watcher.done, watcher.ended) == (5, 5, 1)


def _damage(store: Store, identifier: int) -> None:
    path = next((store.path / "volumes").rglob(f"{identifier}.*.h5"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _count(store: Store, table: str) -> int:
    return len(store.sql(f"SELECT id FROM {table}"))


def test_nothing_but_the_result_is_left_in_the_folder(filled: Store) -> None:
    version = ask(filled)
    assert [path.name for path in (filled.path / "datasets" / "test").iterdir()] == [Path(version.path).name]
    assert list((filled.path / "tmp").iterdir()) == []


def test_a_read_only_store_answers_what_it_has_and_writes_nothing(filled: Store) -> None:
    ask(filled)
    before = sorted(path.name for path in filled.path.rglob("*"))
    with open_store(filled.path, read_only=True) as reader:
        assert not ask(reader).was_computed
        with pytest.raises(ReadOnlyStoreError):
            ask(reader, Selection(ids=[1]))
        with pytest.raises(ReadOnlyStoreError):
            reader.datasets.rebuild("test")
        assert reader.datasets.rebuild("test", check_only=True).is_identical
    assert sorted(path.name for path in filled.path.rglob("*")) == before


def test_no_experiment_in_any_group_is_an_error(filled: Store) -> None:
    with pytest.raises(RecipeError, match="belongs to a group"):
        ask(filled, grouping=by_coordinate("AP", edges=[1.0, 2.0]))


def test_the_hint_about_an_unknown_side_is_no_download_that_cannot_help(store: Store) -> None:
    # Equal halves, and no coordinate.
    fill_with(store, [Fact(8, MOP, 4000, 0.0, 0.1), Fact(9, MOP, None, 0.1, 0.1)])
    with pytest.raises(MissingDataError, match="the injected hemisphere is not known: 1 experiment, 9") as caught:
        store.aggregate([8, 9], name="test", hemisphere_rule="fold_ipsilateral", bilateral_rule="larger_side")
    assert "sync unionizes" not in str(caught.value)
    assert "--hemisphere-rule none" in str(caught.value)


def test_the_hint_about_an_unknown_side_names_the_table_that_may_tell_it(store: Store) -> None:
    fill(store, volumes=[7], unionizes=[])
    with pytest.raises(MissingDataError, match="the injected hemisphere is not known: 1 experiment, 7") as caught:
        store.aggregate([7], name="test", hemisphere_rule="fold_ipsilateral")
    assert "bsv-store sync unionizes --ids 7" in str(caught.value)
