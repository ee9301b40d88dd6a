"""A version that is not published yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from bsv_store.averaging.members import Member
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.datasets.groups import GroupInfo


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version that is not published yet.

    Attributes
    ----------
    created_at : datetime.datetime or None
        None = now.
    """

    recipe: Recipe
    fingerprint: str
    algorithm_version: int
    groups: tuple[GroupInfo, ...]
    experiments: tuple[Member, ...]
    created_by: str
    software: str
    created_at: datetime | None = None
