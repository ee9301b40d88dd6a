"""Printing versions."""

from __future__ import annotations

from collections import Counter
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from bsv_store.datasets.weights import members_with_weights, weight_words
from bsv_store_cli.output.formats import frame_rows, print_facts, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, day_time, fixed, number_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsv_store.datasets.groups import GroupInfo
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.vocabulary import DatasetStanding

_GROUP_COLUMNS = ("group", "label", "lower_um", "upper_um", "center_um", "n")
# If two coordinates are crossed.
_SECOND_COLUMNS = ("second_lower_um", "second_upper_um", "second_center_um")
# The label contains the edges.
_GROUP_TABLE = (
    Column("group", "group"),
    Column("label", "label"),
    Column("center_um", "center um", fixed(1), optional=True),
    Column("second_center_um", "second center um", fixed(1), optional=True),
    Column("n", "n"),
    Column("remark", "remark", optional=True),
)
_MEMBER_TABLE = (
    Column("experiment_id", "experiment"),
    Column("group", "group"),
    Column("group_label", "label"),
    Column("injected_hemisphere", "injected", optional=True),
    Column("divisor", "divided by", fixed(4)),
    Column("divisor_source", "divisor from", optional=True),
    Column("weight", "weight", fixed(4), optional=True),
)
_CHECK_TABLE = (
    Column("checked_at", "when", day_time),
    Column("checked_by", "by"),
    Column("outcome", "outcome"),
    Column("file", "file"),
    Column("largest_difference", "largest difference", optional=True),
    Column("note", "note", optional=True, whole=True, widest=60),
)
_LEFT_OUT_TABLE = (Column("experiment_id", "experiment"), Column("left_out_reason", "reason"))


def print_answer(version: DatasetVersion, output_format: str) -> None:
    """Print a summary of the result of an aggregation, and note which bins are empty."""
    for axis, empty in version.empty_ranges().items():
        stretches = ", ".join(f"{low:,.0f} to {high:,.0f}" for low, high in empty)
        note(f"Bins without experiments, which are not groups: {axis} {stretches} um.")
    note_empty_groups(version.empty_groups)
    _note_twins(version)
    if output_format != "table":
        _print_for_programs(version, output_format, members=False)
        return
    origin = origin_words(version.origin.standing, was_computed=version.was_computed)
    print_facts(
        [
            ("Dataset", f"{version.ref} ({origin})"),
            ("Values", _values(version)),
            ("Weights", weight_words(version) or None),
            ("File", version.path),
        ]
    )
    _print_groups(version)
    note_local(version.ref, version.origin.standing)
    reasons = Counter(item.reason for item in version.left_out)
    rows = [{"experiments": number, "left_out_reason": reason} for reason, number in reasons.most_common()]
    table = [Column("experiments", "experiments"), Column("left_out_reason", "reason")]
    print_rows(rows, "table", columns=(), table=table, title="Left out")


def note_local(ref: str, standing: DatasetStanding) -> None:
    """Note how to share a version that is only on this computer."""
    if standing == "local":
        name, _, _ = ref.partition("@")
        note(
            f"{ref} is not a version of the server. To share it: bsv-store dataset export {ref} {name}.bsv.zip, and "
            "import the bundle where the store's folder is."
        )


def origin_words(standing: DatasetStanding, *, was_computed: bool) -> str:
    """Whether a version that was asked for is new."""
    if standing == "local":
        return f"{'computed now' if was_computed else 'computed before'}, only on this computer"
    return "computed now" if was_computed else "already in the store"


def _note_twins(version: DatasetVersion) -> None:
    for twin in version.twins:
        note(f"{twin}.")


def note_empty_groups(groups: Iterable[GroupInfo]) -> None:
    """Note which groups are empty: their mean is 0 in the file and has no meaning."""
    labels = [group.label for group in groups]
    if labels:
        note(f"Groups without experiments (mean stored as 0): {', '.join(labels)}.")


def print_version(version: DatasetVersion, output_format: str, *, members: bool = False) -> None:
    """Print a version: recipe, groups, hashes and optionally its members."""
    _note_twins(version)
    if output_format != "table":
        _print_for_programs(version, output_format, members=members)
        return
    recipe = version.recipe
    print_facts(
        [
            ("Dataset", version.ref),
            ("Tags", ", ".join(version.tags) or None),
            ("Origin", None if version.origin.standing == "computed" else str(version.origin)),
            ("Exported as", version.provenance().exported_as),
            ("Values", _values(version)),
            ("Statistics", ", ".join(recipe.statistics) or None),
            ("Selection", recipe.selection.to_json()),
            ("Grouping", recipe.grouping.to_json()),
            ("Rules", _rules(version) or None),
            ("Comparison", None if recipe.comparison is None else comparison_text(version)),
            ("Created", f"{version.created_at:%Y-%m-%d %H:%M:%S}Z by {version.created_by}"),
            ("Software", version.software),
            ("Fingerprint", version.fingerprint),
            ("Content", version.content_sha256),
            ("File", version.path),
        ]
    )
    _print_groups(version)
    note_empty_groups(version.empty_groups)
    _print_checks(version)
    rows = frame_rows(members_with_weights(version) if members else version.members)
    left_out = [row for row in rows if row["group"] is None]
    print_rows(left_out, "table", columns=(), table=_LEFT_OUT_TABLE, title="Left out")
    if members:
        placed = sorted((row for row in rows if row["group"] is not None), key=lambda row: int(row["group"]))
        table = _MEMBER_TABLE if recipe.has_voxels else _MEMBER_TABLE[:3]
        print_rows(placed, "table", columns=(), table=table, title="Members")


def _print_for_programs(version: DatasetVersion, output_format: str, *, members: bool) -> None:
    if output_format == "json":
        print_json(_facts(version))
    elif members:
        frame = members_with_weights(version)
        print_rows(frame_rows(frame), output_format, columns=list(frame.columns))
    else:
        columns = (*_GROUP_COLUMNS, *_SECOND_COLUMNS) if len(version.axes) > 1 else _GROUP_COLUMNS
        print_rows(_group_rows(version), output_format, columns=columns)


def _facts(version: DatasetVersion) -> dict[str, Any]:
    """The version as plain values."""
    return {
        "ref": version.ref,
        "name": version.name,
        "number": version.number,
        "tags": version.tags,
        "was_computed": version.was_computed,
        "origin": version.origin,
        "twins": version.twins,
        "created_at": version.created_at,
        "created_by": version.created_by,
        "software": version.software,
        "fingerprint": version.fingerprint,
        "content_sha256": version.content_sha256,
        "path": version.path,
        "size_bytes": version.size_bytes,
        "quantity": version.quantity,
        "recipe": version.recipe.to_dict(),
        "groups": version.groups,
        "checks": version.checks,
        "left_out": [{"experiment_id": item.experiment_id, "reason": item.reason} for item in version.left_out],
    }


def _values(version: DatasetVersion) -> str:
    how = f"{version.recipe.spacing_um} um" if version.recipe.has_voxels else "by structure"
    return f"{version.quantity}, {how}"


def _rules(version: DatasetVersion) -> str:
    """The parts of the recipe that differ from the defaults, except those with a line of their own."""
    own_line = {"kind", "spacing_um", "normalize", "selection", "grouping", "statistics", "comparison"}
    if not version.recipe.has_voxels:
        return ", ".join([*version.rules, f"missing: {version.recipe.missing}"])
    values = version.recipe.to_dict()
    parts = (part for part in fields(version.recipe) if part.name not in own_line and part.default is not MISSING)
    return ", ".join(
        f"{part.name.replace('_', ' ')}: {values[part.name]}"
        for part in parts
        if values.get(part.name, part.default) != part.default
    )


def comparison_text(version: DatasetVersion) -> str:
    """How the groups of a version were compared, in one line."""
    # Most commands do not print comparisons.
    from bsv_store.averaging.comparison.comparison import Comparison

    comparison = version.recipe.comparison
    assert comparison is not None
    first, second = (group.label for group in version.groups)
    parts = [
        f"{first} minus {second}",
        f"{comparison.test}, up to {number_of(comparison.permutations, 'permutation')}",
        f"seed {comparison.seed}",
    ]
    if comparison.covariates:
        parts.append(f"covariates {', '.join(comparison.covariates)}")
    if isinstance(comparison, Comparison) and comparison.cluster != "none":
        parts.append(f"clusters: {comparison.cluster}")
    return "; ".join(parts)


def _print_checks(version: DatasetVersion) -> None:
    rows = [
        {
            "checked_at": check.checked_at,
            "checked_by": check.checked_by,
            "outcome": check.outcome,
            "file": f"{check.file_state}, restored" if check.was_restored else check.file_state,
            # Only if something differs.
            "largest_difference": check.largest_difference if check.outcome == "different" else None,
            "note": check.note,
        }
        for check in version.checks
    ]
    print_rows(rows, "table", columns=(), table=_CHECK_TABLE, title="Checks")


def _print_groups(version: DatasetVersion) -> None:
    print_rows(_group_rows(version), "table", columns=_GROUP_COLUMNS, table=_GROUP_TABLE, title="Groups")


def _group_rows(version: DatasetVersion) -> list[dict[str, Any]]:
    return [
        {
            "group": group.number,
            "label": group.label,
            "lower_um": group.lower,
            "upper_um": group.upper,
            "center_um": group.center,
            "n": group.n,
            "remark": "no experiments" if group in version.empty_groups else None,
            "second_lower_um": group.second_lower,
            "second_upper_um": group.second_upper,
            "second_center_um": group.second_center,
        }
        for group in version.groups
    ]
