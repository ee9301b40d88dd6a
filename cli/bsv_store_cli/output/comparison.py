"""Printing comparisons of two groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bsv_store.vocabulary import EFFECT_SIZES, MEASURED_HEMISPHERES, TWO_SAMPLE_STATISTICS
from bsv_store_cli.output.datasets import comparison_text, note_local, origin_words, print_answer
from bsv_store_cli.output.formats import frame_rows, print_facts, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, count, number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bsv_store.datasets.version import DatasetVersion

# Longer labels would make the table wider than a terminal.
_MAX_LABEL = 10


def print_voxel_comparison(version: DatasetVersion, output_format: str) -> None:
    """Print the version, then the outcome: numbers of tested and significant voxels, and the critical value of t."""
    print_answer(version, output_format)
    if output_format != "table":
        return
    summary = version.comparison_summary()
    first, second = (group.label for group in version.groups)
    computed = number_of(summary.permutations, "permutation")
    critical = summary.critical_t.get(summary.alpha)
    is_known = critical is not None and critical == critical
    say("")
    print_facts(
        [
            ("Comparison", comparison_text(version)),
            ("Permutations", f"all {summary.permutations:,} distinct ones" if summary.exact else f"{computed}, random"),
            ("Tested", number_of(summary.tested_voxels, "voxel")),
            (
                f"p <= {summary.alpha:g}",
                f"{first} higher: {count(summary.higher)}; {second} higher: {count(summary.lower)}",
            ),
            ("Critical |t|", f"{critical:.3g}" if is_known else None),
        ]
    )
    note("p is corrected for all tested voxels by the maximum of |t|.")
    note(f"Maps: {', '.join(version.recipe.maps)}.")


# Rows of the table of a comparison by structure that `dataset show` prints.
_SHOWN = 20


def print_stored_comparison(version: DatasetVersion, output_format: str) -> None:
    """Print the first rows of the table of a comparison by structure, after the facts about the version."""
    if output_format == "table" and not version.recipe.has_voxels:
        say("")
        print_structure_comparison(version.comparison_table(limit=_SHOWN), output_format, cut="all: dataset export")


def print_structure_comparison(frame: pd.DataFrame, output_format: str, *, cut: str = "--limit") -> None:
    """Print a table of structures, and notes about the test; ``cut`` tells how to see more rows."""
    facts = frame.attrs
    rows = frame_rows(frame)
    labels = facts["labels"]
    heads = labels if _are_short(labels) else ["mean a", "mean b"]
    table = (
        Column("structure", "structure"),
        Column("side", "side", optional=True),
        Column("mean_a", heads[0], _short),
        Column("mean_b", heads[1], _short),
        Column("difference", "difference", _short),
        Column("interval", f"{100 * facts['confidence']:.6g}% interval", right=True, spare=True),
        Column("effect_size", EFFECT_SIZES[facts["effect_size"]].symbol, lambda value: _number(value, ".2f")),
        Column("p_permutation", "p", _p),
        Column("p_max_t", "p max-t", _p),
        Column("structure_name", "name", spare=True),
    )
    has_sides = len(facts["hemisphere"]) > 1
    shown = [
        {
            **row,
            "side": (MEASURED_HEMISPHERES[row["hemisphere"]].short or "both") if has_sides else None,
            "interval": _interval(row["lower"], row["upper"]),
        }
        for row in rows
    ]
    print_rows(shown if output_format == "table" else rows, output_format, columns=list(frame.columns), table=table)
    _note_facts(facts, shown=len(frame), cut=cut)
    if "was_computed" in facts:
        origin = origin_words(facts["standing"], was_computed=facts["was_computed"])
        note(f"Dataset: {facts['dataset']} ({origin}).")
        note_local(facts["dataset"], facts["standing"])


def _are_short(labels: Sequence[str]) -> bool:
    return all(len(label) <= _MAX_LABEL for label in labels)


def _note_facts(facts: dict[str, Any], *, shown: int, cut: str) -> None:
    from bsv_store.averaging.comparison.design import at_equal_covariates, narrow_intervals

    named = zip("ab", facts["labels"], facts["n"], strict=True)
    groups = "; ".join(
        f"{side}: n = {n}" if label == side else f"{side}: {label} (n = {n})" for side, label, n in named
    )
    note(f"{groups}.")
    is_cut = shown < facts["tests"]
    without = f"; {len(facts['without_signal'])} without signal are not tested" if facts["without_signal"] else ""
    note(f"{number_of(facts['tests'], 'test')}{f', {shown} shown ({cut})' if is_cut else ''}{without}.")
    sides = ", ".join("both hemispheres" if each == "both" else each for each in facts["hemisphere"])
    unit = f", {facts['unit']}" if facts["unit"] else ""
    note(f"Values: {facts['measure']}{unit}; {sides}.")
    first, second = facts["labels"] if _are_short(facts["labels"]) else "ab"
    adjusted = at_equal_covariates(facts["covariates"])
    narrow = narrow_intervals(facts["n"])
    note(
        f"Difference: {first} - {second}{f' {adjusted}' if adjusted else ''}, with its bootstrap interval."
        f"{f' {narrow}' if narrow else ''}"
    )
    permutations = number_of(facts["permutations"], "permutation")
    kind = f"all {permutations}" if facts["exact"] else f"{permutations}, seed {facts['seed']}"
    covariates = f", covariates {', '.join(facts['covariates'])}" if facts["covariates"] else ""
    note(f"p: {TWO_SAMPLE_STATISTICS[facts['test']].methods}{covariates}, two-sided, {kind}.")
    note("p max-t: corrected for all tests by the maximum of |t|.")
    if facts["without_unionizes"]:
        note(f"{number_of(len(facts['without_unionizes']), 'experiment')} had no table.")


def _interval(lower: float | None, upper: float | None) -> str:
    return "" if lower is None or upper is None else f"[{lower:.2g}, {upper:.2g}]"


def _short(value: float | None) -> str:
    return _number(value, ".3g")


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
