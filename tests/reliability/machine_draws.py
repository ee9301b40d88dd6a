"""The random choices of `test_state_machine`: experiments, selections, questions, and where calls run or are killed."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.reliability.model import IDS, LINE, Combined, Leaf, Part
from tests.reliability.model_answers import GROUPINGS, Question
from tests.reliability.tracked_store import How

NAMES = ("visual", "all")
TAGS = ("paper", "draft")
REASONS = ("torn tissue", "wrong virus")

SOME_IDS = st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True).map(lambda ids: tuple(sorted(ids)))
PARTS: tuple[Part, ...] = (
    Leaf(),
    Leaf(injected_in="VIS"),
    Leaf(injected_in="VISp", line="wild-type"),
    Leaf(line=LINE),
    Leaf(injected_hemisphere="right"),
    Leaf(with_volume="projection_density"),
    Leaf(with_volume="projection_density", include_excluded=True),
    Leaf(projecting_to="CP"),
    Leaf(with_unionizes=True, include_withdrawn=True),
    Leaf(min_injection_volume=0.25),
    Leaf(ids=IDS[:3]),
    Leaf(ids=IDS[:3], include_excluded=True),
    Combined("|", Leaf(injected_in="MOp"), Leaf(injected_hemisphere="left")),
    Combined("&", Leaf(injected_in="VIS"), Leaf(with_volume="injection_fraction")),
    Combined("-", Leaf(with_volume="projection_density"), Leaf(ids=IDS[1:3])),
)
LEAVES = st.builds(
    Leaf,
    injected_in=st.sampled_from([None, None, "VIS", "VISp", "Isocortex"]),
    line=st.sampled_from([None, None, "wild-type", LINE]),
    injected_hemisphere=st.sampled_from([None, None, "left", "right"]),
    min_injection_volume=st.sampled_from([None, None, 0.2, 0.3]),
    projecting_to=st.sampled_from([None, None, None, "LP"]),
    with_volume=st.sampled_from([None, None, None, "injection_fraction"]),
    with_unionizes=st.sampled_from([None, None, True, False]),
    ids=st.none() | SOME_IDS,
    exclude_ids=st.none() | st.none() | SOME_IDS,
    include_withdrawn=st.booleans(),
    include_excluded=st.booleans(),
)
ANY_PART = st.sampled_from(PARTS) | LEAVES | st.builds(Combined, st.sampled_from("|&-"), LEAVES, LEAVES)
QUESTIONS = st.builds(
    Question,
    part=st.sampled_from(PARTS),
    grouping=st.sampled_from(["none", *GROUPINGS]),
    kind=st.sampled_from(["projection_density", "projection_density", "projection_density", "injection_fraction"]),
    normalize=st.sampled_from(["none", "injection_volume"]),
    hemisphere_rule=st.sampled_from(
        ["none", "none", "subtract_contralateral", "flip_to_right", "flip_to_left", "fold_ipsilateral"]
    ),
    bilateral_rule=st.sampled_from(["larger_side", "error", "leave_out"]),
    exclude_injection=st.sampled_from([False, False, True]),
    weight_by_data_mask=st.sampled_from([False, False, False, True]),
    weight_by=st.sampled_from(["none", "none", "none", "injection_overlap"]),
    statistics=st.sampled_from([("mean",), ("mean", "sd", "n"), ("mean", "sum", "sem"), ("mean", "min", "max")]),
    missing=st.sampled_from(["leave_out", "leave_out", "error"]),
).filter(lambda question: not (question.weight_by_data_mask and question.weight_by != "none"))
WHICH = st.integers(0, 99)
SIDE = st.sampled_from([0, 0, 0, 1])

WRITING = ("publish:written", "publish:renamed", "publish:synced")
FETCHING = (*WRITING, "fetch:downloaded", "fetch:published", "fetch:published@2", "fetch:recorded", "fetch:committed")
COMPUTING = (
    *WRITING,
    "publish:renamed@2",
    "aggregate:computed",
    "number:recorded",
    "version:published",
    "version:inserted",
    "version:committed",
)
TRASHING = ("trash:recorded", "trash:moved", "unused:moved")
DELETING = (*TRASHING, "delete:removed", "delete:committed")
COLLECTING = (*TRASHING, "gc:temporary", "gc:files", "gc:purged", "gc:recorded", "gc:committed")
REPAIRING = (*WRITING, *TRASHING, "repair:announced", "repair:quarantined", "repair:recorded", "repair:fetched")


def how_made(*points: str) -> st.SearchStrategy[How]:
    """Where a call is made: mostly in this process."""
    here: list[How] = [0, 1]
    return st.sampled_from([*here * 4, "child", *points])
