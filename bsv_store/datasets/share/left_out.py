"""The reasons for leaving out experiments, counted, without the values of single experiments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bsv_store.averaging.members import Member

# Reasons that name a value of the experiment, and what they have in common.
_WITH_VALUES = (
    (re.compile(r"(AP|DV|ML) -?[\d,.e+]+ um lies outside the bin edges"), r"\1 coordinate outside the bin edges"),
    (
        re.compile(r".+ is neither one of the listed regions nor inside one"),
        "primary injection structure outside the listed regions",
    ),
    (re.compile(r"(injected on both sides) \(.*\)"), r"\1"),
)


def counted_reasons(members: Iterable[Member]) -> tuple[tuple[str, int], ...]:
    """Each reason for leaving out experiments with its number of experiments, most frequent first.

    An experiment with several reasons counts for their combination.
    """
    reasons = ["; ".join(map(_common, (member.reason or "unknown").split("; "))) for member in members]
    return tuple(sorted(Counter(reasons).items(), key=lambda item: (-item[1], item[0])))


def _common(reason: str) -> str:
    for pattern, replacement in _WITH_VALUES:
        found = pattern.fullmatch(reason)
        if found is not None:
            return found.expand(replacement)
    return reason
