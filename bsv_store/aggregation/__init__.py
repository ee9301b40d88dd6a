"""Grouping experiments and averaging their volumes in one streaming pass: pure computing, no files, no database."""

from __future__ import annotations

from bsv_store.aggregation.assignment import Ancestry, Assignment, CoordinateRange, Group, LeftOut, Subject, assign
from bsv_store.aggregation.grouping import (
    CoordinateGrouping,
    CrossedGrouping,
    FieldGrouping,
    Grouping,
    NoGrouping,
    RegionGroup,
    RegionGrouping,
    by_coordinate,
    by_field,
    by_region,
    crossed,
    grouping_from_json,
    no_grouping,
)
from bsv_store.aggregation.hemisphere import (
    BILATERAL_POLICIES,
    HEMISPHERE_RULES,
    BilateralPolicy,
    HemisphereRule,
    bilateral_policy,
    halves,
    hemisphere_rule,
    needs_side,
    process_volume,
)
from bsv_store.aggregation.kernel import Addend, GroupAccumulator, checked_dtype, checked_statistics
from bsv_store.aggregation.pooling import STATISTICS, Statistic
from bsv_store.aggregation.regions import RegionTable, region_means
from bsv_store.aggregation.result import GroupResult, joined
from bsv_store.aggregation.slabs import bytes_per_plane, slabs_within

__all__ = [
    "BILATERAL_POLICIES",
    "HEMISPHERE_RULES",
    "STATISTICS",
    "Addend",
    "Ancestry",
    "Assignment",
    "BilateralPolicy",
    "CoordinateGrouping",
    "CoordinateRange",
    "CrossedGrouping",
    "FieldGrouping",
    "Group",
    "GroupAccumulator",
    "GroupResult",
    "Grouping",
    "HemisphereRule",
    "LeftOut",
    "NoGrouping",
    "RegionGroup",
    "RegionGrouping",
    "RegionTable",
    "Statistic",
    "Subject",
    "assign",
    "bilateral_policy",
    "by_coordinate",
    "by_field",
    "by_region",
    "bytes_per_plane",
    "checked_dtype",
    "checked_statistics",
    "crossed",
    "grouping_from_json",
    "halves",
    "hemisphere_rule",
    "joined",
    "needs_side",
    "no_grouping",
    "process_volume",
    "region_means",
    "slabs_within",
]
