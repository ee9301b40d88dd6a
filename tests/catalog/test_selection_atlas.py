"""Selections against the real atlas: published figures, plain SQL, and an independent computation with pandas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bsv_store import Selection, Store
from bsv_store.errors import SelectionError, UnknownStructureError
from tests.catalog.undecided import unmeasured

# What is left out is tested in test_without_unionizes.py.
pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")

INSIDE = """
select e.experiment_id from experiments as e
join structure_ancestor as a on a.descendant_id = e.primary_structure_id
join structure as s on s.id = a.ancestor_id
where not e.withdrawn and s.acronym = :region and {line}
order by e.experiment_id
"""
OF_LINE = """
e.experiment_id in (
    select x.experiment_id from experiment_line as x join transgenic_line as t on t.id = x.transgenic_line_id
    where t.name = :line)
"""


@pytest.mark.parametrize(
    ("selection", "statement", "parameters", "count"),
    [
        (Selection(), "select experiment_id from experiments where not withdrawn order by experiment_id", {}, 2992),
        (
            Selection(injected_in="VISp", line="wild-type"),
            INSIDE.format(line="e.transgenic_line is null"),
            {"region": "VISp"},
            33,
        ),
        (
            Selection(injected_in="Isocortex", line="any-cre"),
            INSIDE.format(line="e.transgenic_line is not null"),
            {"region": "Isocortex"},
            1209,
        ),
        (
            Selection(injected_in="Isocortex", line="Rbp4-Cre_KL100"),
            INSIDE.format(line=OF_LINE),
            {"region": "Isocortex", "line": "Rbp4-Cre_KL100"},
            105,
        ),
    ],
)
def test_published_counts_as_selection_and_as_sql(
    atlas_2020: Store, selection: Selection, statement: str, parameters: dict[str, Any], count: int
) -> None:
    ids = atlas_2020.select(selection)
    frame = atlas_2020.experiments(selection)
    found = atlas_2020.sql(statement, parameters)
    assert len(ids) == count
    assert list(ids) == found["experiment_id"].tolist() == frame["experiment_id"].tolist()


def test_prefix_of_an_acronym_selects_nothing_more(atlas_2020: Store) -> None:
    visp = atlas_2020.experiments(Selection(injected_in="VISp"))
    vis = atlas_2020.experiments(Selection(injected_in="VIS"))
    assert set(visp["primary_structure"]) == {"VISp"}
    assert "VISpm" in set(vis["primary_structure"])
    assert "VISC" not in set(vis["primary_structure"])


def test_summary_of_everything(atlas_2020: Store) -> None:
    counts = atlas_2020.catalog.summary()
    assert counts.total == 2992
    assert dict(counts.products) == {5: 2331, 35: 183, 36: 173, 44: 119, 31: 77, 42: 62, 45: 47}
    assert dict(counts.sexes) == {"M": 1797, "F": 1195}
    assert sum(number for _, number in counts.lines) == 2992


@pytest.mark.parametrize(
    ("text", "first"),
    [("VISP", "VISp"), ("CUL4 5", "CUL4, 5"), ("mmme", "MMme"), ("Caudoputamen", "CP"), ("Isocortx", "Isocortex")],
)
def test_near_names_in_the_real_ontology(atlas_2020: Store, text: str, first: str) -> None:
    with pytest.raises(UnknownStructureError, match="Did you mean") as caught:
        atlas_2020.atlas.structure_tree(text)
    assert caught.value.hint is not None
    assert first in caught.value.hint
    found = atlas_2020.atlas.find_structures(text)
    assert first in [row.acronym for row in found.structures]
    assert found.exact == (text not in ("CUL4 5", "Isocortx"))


def test_real_ontology_up_and_down(atlas_2020: Store, data: Path) -> None:
    nodes = json.loads((data / "allensdk_cache" / "structures.json").read_bytes())
    acronyms = {node["id"]: node["acronym"] for node in nodes}
    ancestors = atlas_2020.sql(
        """SELECT d.acronym, a.acronym AS ancestor FROM structure_ancestor AS p
        JOIN structure AS d ON d.id = p.descendant_id JOIN structure AS a ON a.id = p.ancestor_id
        ORDER BY p.distance DESC""",
    )
    isocortex = {row.id for row in atlas_2020.atlas.structure_tree(315)}
    assert ancestors.groupby("acronym")["ancestor"].apply(list).to_dict() == {
        node["acronym"]: [acronyms[id_] for id_ in node["structure_id_path"]] for node in nodes
    }
    assert isocortex == {node["id"] for node in nodes if 315 in node["structure_id_path"]}


# -- real unionize records --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def psu(data: Path) -> pd.DataFrame:
    """The real unionize tables as pandas reads them, with the side of each row relative to the injection."""
    files = sorted((data / "allensdk_cache").glob("experiment_*/structure_unionizes.csv"))
    rows = pd.concat([pd.read_csv(file, index_col=0) for file in files], ignore_index=True)
    root = rows[(rows["structure_id"] == 997) & rows["is_injection"]]
    sides = root.pivot_table(index="experiment_id", columns="hemisphere_id", values="projection_volume", fill_value=0.0)
    injected = pd.Series(2, index=sides.index).where(sides[2] >= sides[1], 1)
    rows["injected"] = rows["experiment_id"].map(injected)
    return rows


@pytest.mark.parametrize("target_hemisphere", ["both", "left", "right", "ipsilateral", "contralateral"])
@pytest.mark.parametrize(
    ("target", "measure", "threshold"),
    [
        ("CP", "projection_volume", 0.0),
        ("CP", "projection_volume", 0.01),
        ("VISpm", "normalized_projection_volume", 0.1),
        ("TH", "projection_density", 0.005),
        ("SCs", "projection_energy", 1.0),
    ],
)
def test_target_search_agrees_with_pandas(
    atlas_psu: Store, psu: pd.DataFrame, target: str, measure: Any, threshold: float, target_hemisphere: Any
) -> None:
    selection = Selection(
        projecting_to=target, target_measure=measure, target_threshold=threshold, target_hemisphere=target_hemisphere
    )
    structure = atlas_psu.atlas.structure_tree(target)[0].id
    found = atlas_psu.select(selection)
    hemisphere = {
        "both": psu["hemisphere_id"] == 3,
        "left": psu["hemisphere_id"] == 1,
        "right": psu["hemisphere_id"] == 2,
        "ipsilateral": psu["hemisphere_id"] == psu["injected"],
        "contralateral": psu["hemisphere_id"] == 3 - psu["injected"],
    }[target_hemisphere]
    wanted = psu[(psu["structure_id"] == structure) & ~psu["is_injection"] & hemisphere & (psu[measure] > threshold)]
    assert found == tuple(sorted(set(wanted["experiment_id"])))


def test_some_experiments_project_and_some_do_not(atlas_psu: Store) -> None:
    strong = atlas_psu.select(Selection(projecting_to="CP", target_threshold=0.1))
    assert 0 < len(strong) < 40
    assert len(unmeasured(atlas_psu, Selection(projecting_to="CP"))) == 2995 - 40


def test_target_without_records_is_refused(atlas_psu: Store) -> None:
    with pytest.raises(SelectionError, match=r"MO1 .*\n.* MO \("):
        atlas_psu.select(Selection(projecting_to="MO1"))


def test_targets_are_not_judged_before_there_are_records(atlas_2020: Store) -> None:
    # The lateral ventricle is outside the set, and measured.
    assert atlas_2020.select(Selection(projecting_to="VL")) == ()
    assert len(unmeasured(atlas_2020, Selection(projecting_to="VL"))) == 2992


def test_target_outside_the_set_may_be_measured(atlas_psu: Store) -> None:
    assert len(atlas_psu.select(Selection(projecting_to="VL"))) > 0


def test_root_is_measured_though_no_member_of_the_set(atlas_psu: Store, psu: pd.DataFrame) -> None:
    assert len(atlas_psu.select(Selection(projecting_to="root"))) == psu["experiment_id"].nunique() == 40


def test_injection_volume_of_the_list_is_that_of_the_unionize_rows(atlas_psu: Store, psu: pd.DataFrame) -> None:
    ids = sorted(set(psu["experiment_id"]))
    rows = atlas_psu.catalog.unionizes(ids, structures="root", is_injection=True, hemisphere="both")
    volumes = rows.set_index("experiment_id")["projection_volume"].to_dict()
    frame = atlas_psu.experiments(ids).set_index("experiment_id")
    assert sorted(volumes) == ids
    sides = frame["injection_volume_left"] + frame["injection_volume_right"]
    assert volumes == pytest.approx(frame["injection_volume"].to_dict(), rel=1e-12)
    assert volumes == pytest.approx(sides.to_dict(), rel=1e-12)


def test_unionize_frame_is_the_real_table(atlas_psu: Store, psu: pd.DataFrame) -> None:
    key = ["experiment_id", "structure_id", "hemisphere_id", "is_injection"]
    ids = sorted(set(psu["experiment_id"]))[:3]
    frame = atlas_psu.catalog.unionizes(ids)
    visual = atlas_psu.catalog.unionizes(
        ids, structures=["VIS"], include_descendants=True, is_injection=False, hemisphere="both"
    )
    below = [row.id for row in atlas_psu.atlas.structure_tree("VIS")]
    expected = psu[psu["experiment_id"].isin(ids)].drop(columns="injected").sort_values(key, ignore_index=True)
    found = frame.drop(columns="structure").sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected[found.columns], check_exact=True)
    wanted = expected[
        expected["structure_id"].isin(below) & ~expected["is_injection"] & (expected["hemisphere_id"] == 3)
    ]
    assert len(wanted) > 10
    assert sorted(visual["id"]) == sorted(wanted["id"])
