"""Members of an average, and the forms in which they are recorded.

The forms are JSON (from which fingerprints are computed; also in result files and bundles), rows of the table
``dataset_member``, columns of result files, and data frames. All are derived from the fields of `Member`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from bsv_store.errors import FormatError
from bsv_store.text import SHA256, shown
from bsv_store.vocabulary import DIVISOR_SOURCES, HEMISPHERES

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.vocabulary import DivisorSource, Hemisphere


@dataclass(frozen=True, slots=True)
class MemberColumn:
    """How a field of `Member` is recorded.

    Attributes
    ----------
    field : str
        Name of the field.
    name : str
        Name of the column in data frames and, with the prefix ``member_``, in result files.
    table : str
        Name of the column in the table ``dataset_member``.
    json : str or None
        Key in the inputs of a version; None = not part of them.
    dtype : str
        In data frames.
    in_file : bool
        Whether result files have it as a column.
    is_optional : bool
        Whether the key is omitted from the JSON if the value is None. Fields added later are optional, so that the
        fingerprints of earlier versions do not change.
    """

    field: str
    name: str
    table: str
    json: str | None
    dtype: str
    in_file: bool
    words: str
    is_optional: bool


class _Recorded(TypedDict, total=False):
    """How a field is recorded; by default the names are those of the field, and the dtype is object."""

    name: str
    table: str
    json: str
    dtype: str
    in_file: bool
    words: str
    is_optional: bool


def _recorded(**facts: Unpack[_Recorded]) -> Mapping[str, Any]:
    return {"dtype": "object", **facts}


@dataclass(frozen=True, slots=True)
class Member:
    """A selected experiment: the group that it is averaged in, or the reason why it was left out.

    Attributes
    ----------
    group : int or None
        Number of the group, from 0; None = left out.
    reason : str or None
        Why it was left out.
    divisor : float or None
        What its volume was divided by; 1 = not normalized.
    injected_hemisphere : {'left', 'right'} or None
        If the hemisphere rule used it.
    array_sha256 : str or None
        Hash of its volume.
    injection_fraction_sha256, data_mask_sha256 : str or None
        Hashes of its masks, if the recipe uses them.
    divisor_source : {'list'} or None
        'list' if the divisor is from the experiment list; None if it is from the unionize rows, or not normalized.
    weight : float or None
        Its weight, above 0 and at most 1, if the recipe weights experiments. None if it was left out, and in rows from
        before schema revision 0021.
    """

    experiment_id: int = field(metadata=_recorded(json="experiment_id", dtype="int64"))
    group: int | None = field(
        default=None,
        metadata=_recorded(
            table="group_number", json="group", dtype="Int64", in_file=True, words="number of the group, -1 = left out"
        ),
    )
    reason: str | None = field(
        default=None,
        metadata=_recorded(name="left_out_reason", table="left_out_reason", in_file=True, words="why it was left out"),
    )
    divisor: float | None = field(
        default=None,
        metadata=_recorded(
            json="divisor", dtype="Float64", in_file=True, words="divisor of the volume, 1 = not normalized"
        ),
    )
    injected_hemisphere: Hemisphere | None = field(
        default=None,
        metadata=_recorded(json="injected", in_file=True, words="injected hemisphere, if the hemisphere rule used it"),
    )
    array_sha256: str | None = field(
        default=None, metadata=_recorded(json="volume", in_file=True, words="SHA-256 of the array of the volume")
    )
    injection_fraction_sha256: str | None = field(default=None, metadata=_recorded(json="exclude"))
    data_mask_sha256: str | None = field(default=None, metadata=_recorded(json="weights"))
    divisor_source: DivisorSource | None = field(
        default=None, metadata=_recorded(json="divisor_source", is_optional=True, words="source of the divisor")
    )
    # The inputs of a version have the weights of all members in a separate list.
    weight: float | None = field(default=None, metadata=_recorded(dtype="Float64"))

    def to_json(self) -> dict[str, Any]:
        """The member as plain JSON values, in the form of the inputs of a version."""
        if self.group is None:
            return {"experiment_id": self.experiment_id, "reason": self.reason}
        return {
            column.json: value
            for column in MEMBER_COLUMNS
            if column.json is not None
            and ((value := getattr(self, column.field)) is not None or not column.is_optional)
        }

    @classmethod
    def from_json(cls, value: Any) -> Member:
        """The member from the result of `to_json`.

        Raises
        ------
        FormatError
            If the form or a value is not valid.
        """
        if not isinstance(value, dict):
            raise FormatError(f"a member must be an object, got {shown(value)}")
        identifier = value.get("experiment_id")
        if type(identifier) is not int or not 0 < identifier < 2**63:
            raise FormatError(f"experiment_id must be a positive integer, got {shown(identifier)}")
        is_left_out = "group" not in value
        expected = {"experiment_id", "reason"} if is_left_out else _JSON_KEYS
        if set(value) - (set() if is_left_out else _OPTIONAL_KEYS) != expected:
            raise FormatError(f"experiment {identifier} must have exactly the keys {', '.join(sorted(expected))}")
        for name, part in value.items():
            if not _is_valid(name, part):
                raise FormatError(f"experiment {identifier}: {name} is not valid, got {shown(part)}")
        if is_left_out:
            return cls(identifier, reason=value["reason"])
        return cls(**{column.field: value[column.json] for column in MEMBER_COLUMNS if column.json in value})

    def to_row(self) -> tuple[Any, ...]:
        """The values in the order of ``MEMBER_COLUMNS``; ``Member(*row)`` is the inverse."""
        return tuple(getattr(self, column.field) for column in MEMBER_COLUMNS)


MEMBER_COLUMNS: tuple[MemberColumn, ...] = tuple(
    MemberColumn(
        each.name,
        each.metadata.get("name") or each.name,
        each.metadata.get("table") or each.name,
        each.metadata.get("json"),
        each.metadata["dtype"],
        each.metadata.get("in_file", False),
        each.metadata.get("words", ""),
        each.metadata.get("is_optional", False),
    )
    for each in fields(Member)
)


_JSON_KEYS = {column.json for column in MEMBER_COLUMNS if column.json is not None and not column.is_optional}
_OPTIONAL_KEYS = {column.json for column in MEMBER_COLUMNS if column.is_optional}


def is_finite_number(value: object) -> bool:
    """Whether a JSON value is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _is_valid(name: str, value: Any) -> bool:
    """Whether a value is valid for the member field with this JSON key."""
    if name == "experiment_id":
        return True
    if name == "group":
        return type(value) is int and value >= 0
    if name == "divisor":
        return is_finite_number(value) and value > 0
    if name == "injected":
        return value is None or (isinstance(value, str) and value in HEMISPHERES)
    if name == "divisor_source":
        return isinstance(value, str) and value in DIVISOR_SOURCES
    if name == "reason":
        return isinstance(value, str) and 0 < len(value) <= _MAX_REASON and value.isprintable()
    if value is None:
        return name != "volume"
    return isinstance(value, str) and SHA256.fullmatch(value) is not None


_MAX_REASON = 10_000


def members_from_json(content: Mapping[str, Any]) -> tuple[Member, ...]:
    """The members in the inputs of a version, ascending by experiment id, including those left out.

    Raises
    ------
    FormatError
        If the form or a value is not valid.
    """
    if not all(isinstance(content[part], list) for part in ("members", "left_out")):
        raise FormatError("members and left_out must be lists")
    members = [Member.from_json(entry) for entry in content["members"]]
    left_out = [Member.from_json(entry) for entry in content["left_out"]]
    if "weights" in content:
        weights = _weights_from_json(content["weights"], len(members))
        members = [replace(each, weight=weight) for each, weight in zip(members, weights, strict=True)]
    return in_order([*members, *left_out])


def _weights_from_json(value: Any, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise FormatError(f"the weights must be a list of {count} numbers, one for each member, got {shown(value)}")
    if wrong := [each for each in value if not (is_finite_number(each) and 0 < each <= 1)]:
        raise FormatError(f"a weight must be above 0 and at most 1, got {shown(wrong[0])}")
    return [float(each) for each in value]


def members_to_json(members: Iterable[Member]) -> dict[str, Any]:
    """Members in the form of the inputs of a version.

    The keys are ``members``; ``left_out``, with the reasons; and, if members have weights, ``weights`` in their order.
    """
    found: dict[str, list[Any]] = {"members": [], "left_out": []}
    for member in members:
        found["left_out" if member.group is None else "members"].append(member.to_json())
        if member.weight is not None:
            found.setdefault("weights", []).append(member.weight)
    return found


def without_weights(members: Iterable[Member]) -> tuple[Member, ...]:
    """The members without their weights, as in rows from before schema revision 0021."""
    return tuple(replace(member, weight=None) for member in members)


def in_order(members: Iterable[Member]) -> tuple[Member, ...]:
    """The members, ascending by experiment id."""
    return tuple(sorted(members, key=lambda member: member.experiment_id))


def ids_by_group(members: Iterable[Member]) -> dict[int, list[int]]:
    """Experiment ids of the members of each group."""
    found: dict[int, list[int]] = {}
    for member in members:
        if member.group is not None:
            found.setdefault(member.group, []).append(member.experiment_id)
    return found


def members_frame(members: Sequence[Member], labels: Mapping[int, str]) -> pd.DataFrame:
    """The members, one row each, with a column ``group_label`` after ``group``.

    Parameters
    ----------
    members : sequence of Member
    labels : mapping of int to str
        Label of each group by its number.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for column in MEMBER_COLUMNS:
        values = [getattr(member, column.field) for member in members]
        columns[column.name] = values if column.dtype == "object" else pd.array(values, dtype=column.dtype)
        if column.field == "group":
            columns["group_label"] = [None if group is None else labels[group] for group in values]
    return pd.DataFrame(columns)
