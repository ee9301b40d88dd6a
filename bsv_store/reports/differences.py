"""The figure of a stored comparison by structure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bsv_store.averaging.comparison.design import at_equal_covariates, narrow_intervals
from bsv_store.catalog.search.found import check_limit
from bsv_store.check import boolean
from bsv_store.figures.differences import Difference, draw_differences
from bsv_store.figures.layout import title_or
from bsv_store.figures.style import PAGE_MM, check_width, figure_class
from bsv_store.reports.anatomy import color_of, rows_of
from bsv_store.statistics.features import checked_share
from bsv_store.text import joined, number_of
from bsv_store.vocabulary import EFFECT_SIZES, MEASURED_HEMISPHERES, TWO_SAMPLE_STATISTICS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import ComparisonOrder, Theme


def structure_differences(
    store: Store,
    version: str | DatasetVersion,
    *,
    sort_by: ComparisonOrder = "p",
    limit: int | None = 20,
    alpha: float = 0.05,
    standardized: bool = True,
    title: str | None = None,
    width_mm: float = PAGE_MM,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """The differences of a comparison by structure with their intervals and p values.

    Points are filled where p, corrected for all tests by the maximum of the absolute t, is at most ``alpha``. Small
    squares have Allen's color of the structure.

    Parameters
    ----------
    store : Store
    version : str or DatasetVersion
        Made by `Store.compare_structures` with a name.
    sort_by : {'p', 'effect_size', 'difference'}
        Which rows come first.
    limit : int, optional
        Maximum number of rows; None for all.
    alpha : float
        Level of significance.
    standardized : bool
        Draw effect sizes, with the intervals of the differences in the same unit, so that weak and strong structures
        can be compared. Otherwise draw the differences in the unit of the measure.
    title : str, optional
        '' for none.
    width_mm : float
        A column is about 85 mm wide, a page about 180 mm.
    theme : {'light', 'dark'}
    footer : bool
        Write what was tested, and the fingerprint, below the figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UnknownDatasetError
        If the store does not have the version.
    InputError
        If the version is not a comparison by structure, an argument is not valid, or Matplotlib is not installed.
    DamagedFileError
        If the result file is missing or differs from what was published.
    """
    figure_class()
    in_deviations = boolean("standardized", standardized)
    with_footer, width, level = boolean("footer", footer), check_width(width_mm), checked_share("alpha", alpha)
    count = check_limit(limit)
    found = store.dataset(version)
    frame = found.comparison_table(sort_by=sort_by, limit=count)
    facts = frame.attrs
    structures = rows_of(store, [int(each) for each in frame["structure_id"]])
    has_sides = len(facts["hemisphere"]) > 1
    effect = EFFECT_SIZES[facts["effect_size"]].title
    rows = []
    for row in frame.to_dict("records"):
        difference, size = float(row["difference"]), float(row["effect_size"])
        # Standard deviations per unit of the measure.
        unit = (size / difference if difference else math.nan) if in_deviations else 1.0
        text = (f"{difference:.3g}" if in_deviations else f"{size:.2f}").replace("-", "−")
        rows.append(
            Difference(
                row["structure"],
                row["structure_name"],
                color_of(structures[row["structure"]]),
                row["hemisphere"] if has_sides else "",
                size if in_deviations else difference,
                float(row["lower"]) * unit,
                float(row["upper"]) * unit,
                "–" if math.isnan(size) and not in_deviations else text,
                float(row["p_permutation"]),
                float(row["p_max_t"]),
            )
        )
    first, second = facts["labels"]
    counts = [f"{label} (n = {n})" for label, n in zip(facts["labels"], facts["n"], strict=True)]
    computed = number_of(facts["permutations"], "permutation")
    where = joined([MEASURED_HEMISPHERES[side].words for side in facts["hemisphere"]], "and")
    test = TWO_SAMPLE_STATISTICS[facts["test"]].methods
    adjusted = at_equal_covariates(facts["covariates"])
    scale = f" of the difference, on the scale of {effect}" if in_deviations else ""
    intervals = f"Lines: {100 * facts['confidence']:.6g} % bootstrap intervals{scale}."
    return draw_differences(
        rows,
        quantity=effect if in_deviations else f"difference of {found.quantity}",
        higher=(first, second),
        head="difference" if in_deviations else effect,
        alpha=level,
        title=title_or(title, f"{found.ref}: {counts[0]} − {counts[1]}"),
        notes=[
            f"{found.quantity[0].upper()}{found.quantity[1:]}, {where}; "
            f"{len(rows):,} of {number_of(facts['tests'], 'test')}.",
            *([f"Differences {adjusted}."] if adjusted else []),
            " ".join(filter(None, [intervals, narrow_intervals(facts["n"])])),
            f"p: two-sided {test}, {f'all {computed}' if facts['exact'] else computed}.",
            f"Filled: p max-t, corrected for all tests, at most {level:g}.",
        ],
        fingerprint=found.fingerprint,
        width_mm=width,
        theme=theme,
        footer=with_footer,
    )
