"""Ranked targets of a selection and ranked sources of a target, against pandas on the matrix by experiment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bsv_store import Selection, Store
from bsv_store.errors import InputError, MissingDataError, MissingUnionizesWarning, UnknownStructureError

SOME = Selection(ids=[101, 102, 103, 201])


def by_experiment(store: Store, selection: Selection, hemisphere: str, measure: str) -> pd.DataFrame:
    return store.catalog.matrix(
        selection,
        rows="experiments",
        targets=TARGETS,
        hemisphere=hemisphere,  # type: ignore[arg-type]
        measure=measure,  # type: ignore[arg-type]
    )


TARGETS = ["CM", "VISpm", "CP"]


@pytest.mark.parametrize("measure", ["projection_volume", "normalized_projection_volume", "projection_density"])
@pytest.mark.parametrize("order", ["both", "ipsilateral", "contralateral"])
def test_targets_have_mean_and_standard_error_over_animals(small_store: Store, measure: str, order: str) -> None:
    frame = small_store.search.targets_of(SOME, targets=TARGETS, measure=measure, hemisphere=order)  # type: ignore[arg-type]
    frame = frame.set_index("structure")
    for hemisphere, prefix in (("both", ""), ("ipsilateral", "ipsilateral_"), ("contralateral", "contralateral_")):
        values = by_experiment(small_store, SOME, hemisphere, measure)
        np.testing.assert_allclose(frame[f"{prefix}mean"], values.mean()[frame.index], rtol=1e-12)
        np.testing.assert_allclose(frame[f"{prefix}sem"], values.sem()[frame.index], rtol=1e-12)
    ranking = frame["mean" if order == "both" else f"{order}_mean"]
    assert (ranking.diff().dropna() <= 0).all()
    assert set(frame["n"]) == {4}
    assert frame.attrs["measure"] == measure


def test_sources_and_what_overlaps_them_are_left_out_unless_requested(small_store: Store) -> None:
    only = Selection(ids=[103])
    acronyms = set(small_store.search.targets_of(only, structure_set=SET)["structure"])
    everything = set(small_store.search.targets_of(only, structure_set=SET, include_sources=True)["structure"])
    # 103 was injected in VISpm, which lies in VIS, Isocortex, grey and root.
    assert "VISpm" in everything
    assert everything - acronyms == everything & {"VISpm", "VIS", "Isocortex", "grey", "root"}
    named = small_store.search.targets_of(only, targets="VISpm")
    assert named["structure"].to_list() == ["VISpm"]
    assert named["sem"].isna().all()


SET = 184527634


def test_targets_inside_a_structure(small_store: Store) -> None:
    found = small_store.search.targets_of(SOME, structure_set=SET, within="TH", include_sources=True)
    assert set(found["structure"]) == {"TH", "CM"}
    assert small_store.search.targets_of(SOME, targets="CP", within="TH").empty


def test_sources_have_their_animals_and_no_blank_rows(small_store: Store) -> None:
    with pytest.warns(MissingUnionizesWarning):
        frame = small_store.search.sources_of("CP", measure="projection_volume")
    values = small_store.catalog.matrix(
        Selection(ids=[int(i) for i in small_store.select() if i not in frame.attrs["without_unionizes"]]),
        targets="CP",
        hemisphere="both",
        measure="projection_volume",
    )
    assert not frame["mean"].isna().any()
    assert frame.attrs["without_unionizes"]
    expected = values["CP"].dropna().sort_values(ascending=False, kind="stable")
    assert frame["structure"].to_list() == expected.index.to_list()
    np.testing.assert_allclose(frame["mean"], expected, rtol=1e-12)
    assert frame["n"].sum() == len(small_store.select()) - len(frame.attrs["without_unionizes"])


def test_sources_can_be_pooled(small_store: Store) -> None:
    frame = small_store.search.sources_of("CP", selection=SOME, sources=["VIS"], measure="projection_volume")
    values = by_experiment(small_store, SOME, "both", "projection_volume")["CP"]
    assert (frame["structure"].to_list(), frame["n"].to_list()) == (["VIS"], [4])
    assert frame["mean"][0] == pytest.approx(values.mean(), rel=1e-12)
    assert frame["sem"][0] == pytest.approx(values.sem(), rel=1e-12)


def test_experiments_without_tables_are_an_error_on_request(small_store: Store) -> None:
    with pytest.raises(MissingDataError):
        small_store.search.sources_of("CP", missing="error")
    with pytest.raises(MissingDataError):
        small_store.search.targets_of(missing="error")


def test_a_selection_without_any_table_is_an_error_and_no_warning(small_store: Store) -> None:
    with pytest.warns(MissingUnionizesWarning):
        lost = small_store.search.sources_of("CP").attrs["without_unionizes"]
    search = small_store.search
    for ask in (lambda: search.sources_of("CP", selection=lost), lambda: search.targets_of(lost, targets="CP")):
        with pytest.raises(MissingDataError) as caught:
            ask()
        words = f"none of the selected experiments ({len(lost)}) has a unionize table in the store"
        assert caught.value.message == words
        assert "bsv-store sync unionizes" in str(caught.value.hint)


def test_wrong_arguments_are_refused(small_store: Store) -> None:
    with pytest.raises(InputError, match="hemisphere must be one of"):
        small_store.search.targets_of(SOME, hemisphere="left")
    with pytest.raises(InputError, match="does not measure"):
        small_store.search.sources_of("VISp1")
    with pytest.raises(UnknownStructureError):
        small_store.search.targets_of(SOME, structure_set=SET, within="nowhere")
    with pytest.raises(InputError, match="limit"):
        small_store.search.targets_of(SOME, limit=0)


@pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")
def test_animals_are_weighted_by_the_overlap_of_their_injection(atlas_psu: Store) -> None:
    selection = Selection(injected_in="VIS", with_unionizes=True)
    plain = atlas_psu.search.targets_of(selection, targets=["CP", "LP"], weight_by="none")
    weighted = atlas_psu.search.targets_of(selection, targets=["CP", "LP"], weight_by="injection_overlap")
    values = atlas_psu.catalog.matrix(
        selection,
        rows="experiments",
        targets=["CP", "LP"],
        hemisphere="ipsilateral",
        measure="normalized_projection_volume",
    )
    experiments = atlas_psu.experiments(selection).set_index("experiment_id")
    weight = 1 - experiments.injection_outside_primary.loc[values.index].to_numpy()
    assert (weight > 0).all()
    for name in ("CP", "LP"):
        own = values[name].to_numpy()
        mean = np.average(own, weights=weight)
        variance = (weight * (own - mean) ** 2).sum() / (weight.sum() - (weight**2).sum() / weight.sum())
        sem = np.sqrt(variance * (weight**2).sum()) / weight.sum()
        row = weighted.set_index("structure").loc[name]
        assert (row["ipsilateral_mean"], row["ipsilateral_sem"]) == pytest.approx((mean, sem))
    assert not np.allclose(plain["mean"], weighted["mean"])
    assert weighted.attrs["weight_by"] == "injection_overlap"


@pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")
def test_sources_are_weighted_by_the_overlap_with_the_source(atlas_psu: Store) -> None:
    options: dict[str, Any] = {"selection": Selection(with_unionizes=True), "sources": ["VIS", "HY"]}
    frame = atlas_psu.search.sources_of("CP", weight_by="injection_overlap", **options).set_index("structure")
    overlap = atlas_psu.search.sources("HY", selection=options["selection"]).set_index("experiment_id")
    weight = overlap["injection_overlap"].sort_index()
    assert (weight < 1).any()
    values = atlas_psu.catalog.matrix(
        Selection(ids=weight.index.tolist()),
        rows="experiments",
        targets="CP",
        hemisphere="both",
        measure="normalized_projection_volume",
    )
    expected = np.average(values["CP"].loc[weight.index], weights=weight)
    assert (frame.loc["HY", "mean"], frame.loc["HY", "n"]) == (pytest.approx(expected), (weight > 0).sum())
    with pytest.raises(InputError, match="weight_by must be one of none, injection_overlap"):
        atlas_psu.search.sources_of("CP", weight_by="volume")  # type: ignore[arg-type]
