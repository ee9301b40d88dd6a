"""The tables of docs/averages.md and docs/comparisons.md, from the rows of `bsv_store.vocabulary`.

``python -m bsv_store.averaging.guide docs/averages.md docs/comparisons.md`` updates the pages. Each table is between
the lines ``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bsv_store.vocabulary import (
    ANIMAL_WEIGHTS,
    BILATERAL_RULES,
    COMPARISON_MAPS,
    COVARIATES,
    GROUPING_FIELDS,
    HEMISPHERE_RULES,
    MISSING_POLICIES,
    NORMALIZATIONS,
    STATISTICS,
)

_TABLE = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def tables() -> Mapping[str, str]:
    """The tables as Markdown, by name."""
    return {
        "normalizations": _table(
            ("`normalize`", "divisor"), ((row.name, row.description) for row in NORMALIZATIONS.values())
        ),
        "hemisphere_rules": _table(
            ("`hemisphere_rule`", "result"), ((row.name, row.formula) for row in HEMISPHERE_RULES.values())
        ),
        "bilateral_rules": _table(
            ("`bilateral_rule`", "experiments injected on both sides"),
            ((row.name, row.words) for row in BILATERAL_RULES.values()),
        ),
        "animal_weights": _table(
            ("`weight_by`", "weight of an experiment"), ((row.name, row.description) for row in ANIMAL_WEIGHTS.values())
        ),
        "missing": _table(
            ("`missing`", "experiments without some data"), ((row.name, row.words) for row in MISSING_POLICIES.values())
        ),
        "statistics": _table(
            ("statistic", "formula", "where it is NaN", "in a group without members"),
            (
                (row.name, row.formula, row.undefined, "0" if row.empty_value == 0 else "NaN")
                for row in STATISTICS.values()
            ),
        ),
        "grouping_fields": _table(
            ("field", "groups by", "not known"),
            (
                (row.name, row.words, f"group `{row.null_label}`" if row.null_label else "left out")
                for row in GROUPING_FIELDS.values()
            ),
        ),
        "covariates": _table(
            ("`covariates`", "value of an experiment"),
            ((row.name, f"{row.words} ({row.unit})") for row in COVARIATES.values()),
        ),
        "comparison_maps": _table(
            ("map", "value of a voxel", "with"),
            (
                (row.name, row.words, "every comparison" if row.cluster is None else f'`cluster="{row.cluster}"`')
                for row in COMPARISON_MAPS.values()
            ),
        ),
    }


def updated(page: str) -> str:
    """The page with current tables."""
    current = tables()
    return _TABLE.sub(lambda found: f"<!-- table: {found[1]} -->\n\n{current[found[1]]}\n<!-- end -->", page)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *((f"`{name}`", *cells) for name, *cells in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    import sys
    from pathlib import Path

    for argument in sys.argv[1:]:
        path = Path(argument)
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
