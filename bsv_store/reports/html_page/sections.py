"""The sections of a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from bsv_store.averaging.comparison.design import at_equal_covariates, narrow_intervals
from bsv_store.averaging.grouping.grouping import selections_of
from bsv_store.averaging.grouping.words import grouping_words
from bsv_store.catalog.selection.words import selection_words
from bsv_store.datasets.groups import group_in_prose
from bsv_store.datasets.share.citation import CHECK_FIRST
from bsv_store.datasets.share.left_out import counted_reasons
from bsv_store.reports.html_page.markup import Content, Markup, element, joined
from bsv_store.reports.html_page.pictures import bar, chip
from bsv_store.reports.html_page.quality import LIMIT, MEASURE, MIN_ANIMALS
from bsv_store.reports.html_page.tables import Cell, Column, DataTable, Row, number
from bsv_store.text import label_in_prose, number_of
from bsv_store.vocabulary import (
    ANIMAL_WEIGHTS,
    EFFECT_SIZES,
    MEASURED_HEMISPHERES,
    TWO_SAMPLE_STATISTICS,
)
from bsv_store.volumes.grid import ARRAY_AXES, MIDLINE_UM

if TYPE_CHECKING:
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.reports.html_page.facts import PageFacts
    from bsv_store.reports.html_page.figures import PageFigure

# Longer labels would make the table wider than the page.
_MAX_HEADING = 20
_COORDINATES = {axis: f"injection_{axis.lower()}" for axis in ARRAY_AXES}


def lead(facts: PageFacts) -> Markup:
    """The question in words, the main numbers, and warnings."""
    version = facts.version
    members = len(version.experiments) - len(version.left_out)
    tiles = [
        ("Experiments", f"{members:,}"),
        ("Groups", f"{len(version.groups):,}"),
        ("Left out", f"{len(version.left_out):,}"),
        ("Outliers", f"{sum(bool(each.problems) for each in facts.quality):,}"),
        ("Voxels", f"{version.recipe.spacing_um} um") if version.recipe.has_voxels else ("Compared", "by structure"),
        ("Computed", f"{version.created_at:%Y-%m-%d}"),
    ]
    return joined(
        element("p", question(version), class_="lead"),
        element(
            "dl", (element("div", element("dt", name), element("dd", value)) for name, value in tiles), class_="tiles"
        ),
        (element("p", text, class_="warning", role="note") for text in _warnings(facts)),
    )


def question(version: DatasetVersion) -> str:
    """What a version answers, in a sentence."""
    members = len(version.experiments) - len(version.left_out)
    grouped = grouping_words(version.recipe.grouping)
    groups = "" if grouped is None else f", grouped {grouped}"
    if version.recipe.comparison is not None:
        labels = [label_in_prose(group.label) for group in version.groups]
        first, second = (group_in_prose(group) for group in version.groups)
        by = "voxel" if version.recipe.has_voxels else "structure"
        sides = selections_of(version.recipe.grouping)
        selected = [f"{label}: {selection_words(side.selection)}." for label, side in zip(labels, sides, strict=False)]
        return " ".join(
            [
                f"Comparison of {first} and {second} by {by}: {version.quantity}.",
                *(selected or [f"Selected: {selection_words(version.recipe.selection)}."]),
            ]
        )
    weighted = ANIMAL_WEIGHTS[version.recipe.weight_by].rule
    experiments = f"{number_of(members, 'experiment')}{weighted and f', {weighted}'}"
    return f"Mean {version.quantity} of {experiments}{groups}. Selected: {selection_words(version.recipe.selection)}."


def _warnings(facts: PageFacts) -> list[str]:
    version = facts.version
    found = [] if version.origin.can_answer else [f"{version.ref} was {version.origin}."]
    found += [f"{twin}." for twin in version.twins]
    if facts.stale_missing is not None:
        found.append(
            f"It is not known whether the store has changed since {version.ref} was computed: {facts.stale_missing}."
        )
    elif facts.stale is not None and facts.stale.is_stale:
        found.append(
            f"The store has changed since {version.ref} was computed: see bsv-store dataset stale {version.ref}."
        )
    if version.empty_groups:
        labels = ", ".join(group.label for group in version.empty_groups)
        found.append(f"{number_of(len(version.empty_groups), 'group')} without experiments: {labels}.")
    return found


def figures(facts: PageFacts) -> Markup:
    """The figures with their captions."""
    return joined(joined(element("h3", each.heading), _figure(each)) for each in facts.figures)


def _figure(figure: PageFigure) -> Markup:
    if not figure.images:
        return element("p", figure.caption, class_="warning")
    dark = figure.images.get("dark")
    picture = element(
        "picture",
        None if dark is None else element("source", srcset=dark, media="screen and (prefers-color-scheme: dark)"),
        element("img", src=figure.images["light"], alt=figure.description, width=figure.width, height=figure.height),
    )
    frame = element("div", picture, class_="picture", tabindex=0, role="region", aria_label=figure.heading)
    return element("figure", frame, element("figcaption", figure.caption))


def strongest_heading(facts: PageFacts) -> str:
    """The heading of the section that `targets` writes."""
    return "Strongest structures" if facts.version.recipe.has_voxels else "Compared structures"


def targets(facts: PageFacts) -> Markup:
    """The strongest structures of each group, or the table of a comparison by structure."""
    if not facts.version.recipe.has_voxels:
        return _compared(facts)
    frame = facts.targets
    if frame is None:
        return element("p", facts.targets_missing, class_="warning")
    sides = [name for name in frame.columns if name in MEASURED_HEMISPHERES and name != "both"]
    largest = float(frame["both"].abs().max()) if len(frame) else 0.0
    columns = [
        Column("Structure"),
        Column("Name"),
        Column("Group"),
        Column("Mean", is_number=True),
        Column("Share of the largest", is_number=True),
        *(Column(side.capitalize(), is_number=True) for side in sides),
        Column("Voxels", is_number=True),
    ]
    rows = [
        Row(
            [
                Cell([chip(facts.colors.get(row["structure_id"])), row["structure"]], row["structure"]),
                row["name"],
                row["group_label"],
                number(row["both"]),
                Cell(bar(row["both"], largest), row["both"]),
                *(number(row[side]) for side in sides),
                int(row["voxels"]),
            ]
        )
        for row in frame.to_dict("records")
    ]
    injection = "without the voxels of the injection sites" if facts.version.recipe.exclude_injection else "included"
    weighted = ANIMAL_WEIGHTS[frame.attrs["weight_by"]].rule
    described = (
        f"Means of {facts.version.quantity}{weighted and f', {weighted},'} over structures: both hemispheres together, "
        f"then each of them. The strongest of each group; the structures of the injection are {injection}. Annotation: "
        f"{frame.attrs['annotation']}."
    )
    table = DataTable("targets", "Strongest structures of each group", columns, rows, "Thalamus", moves_shared=True)
    return joined(element("p", described), table.markup())


def _compared(facts: PageFacts) -> Markup:
    """The table of a comparison by structure."""
    frame = facts.version.comparison_table()
    attributes = frame.attrs
    first, second = (label_in_prose(label) for label in attributes["labels"])
    is_short = all(len(label) <= _MAX_HEADING for label in attributes["labels"])
    has_sides = len(attributes["hemisphere"]) > 1
    heads = attributes["labels"] if is_short else ("first group", "second group")
    effect = EFFECT_SIZES[attributes["effect_size"]].title
    columns = [
        Column("Structure"),
        Column("Name"),
        *([Column("Hemisphere")] if has_sides else []),
        # The columns that do not fit into the width of a page come last.
        Column("Difference", is_number=True),
        Column("Interval", is_number=True),
        Column(effect, is_number=True),
        Column("p", is_number=True),
        Column("p, FDR", is_number=True),
        Column("p, max-t", is_number=True),
        *(Column(f"Mean, {head}", is_number=True) for head in heads),
        Column("t", is_number=True),
    ]
    rows = [
        Row(
            [
                Cell([chip(facts.colors.get(row["structure_id"])), row["structure"]], row["structure"]),
                row["structure_name"],
                *([row["hemisphere"]] if has_sides else []),
                number(_float(row["difference"])),
                Cell(_interval(row["lower"], row["upper"]), _float(row["lower"])),
                number(_float(row["effect_size"]), ".2f"),
                *(number(_float(row[name]), ".4f") for name in ("p_permutation", "p_fdr", "p_max_t")),
                *(number(_float(row[name])) for name in ("mean_a", "mean_b")),
                number(_float(row["t"]), ".2f"),
            ]
        )
        for row in frame.to_dict("records")
    ]
    computed = number_of(attributes["permutations"], "permutation")
    test = TWO_SAMPLE_STATISTICS[attributes["test"]].methods
    side = "" if has_sides else f"; hemisphere: {attributes['hemisphere'][0]}"
    adjusted = at_equal_covariates(attributes["covariates"])
    narrow = narrow_intervals(attributes["n"])
    described = (
        "Each animal is a replicate; signal inside the injection site is not included"
        f"{side}. The difference is {first} minus {second}{f' {adjusted}' if adjusted else ''}, "
        f"with its {100 * attributes['confidence']:.6g} % bootstrap interval. {f'{narrow} ' if narrow else ''}p is "
        "two-sided, "
        f"from {f'all {computed}' if attributes['exact'] else computed} ({test}); p, FDR is p under normality, "
        f"adjusted by the procedure of Benjamini and Hochberg, and p, max-t is corrected for all "
        f"{number_of(attributes['tests'], 'test')} by the maximum of |t|."
    )
    table = DataTable("targets", "Compared structures", columns, rows, "Thalamus", moves_shared=True)
    return joined(element("p", described), table.markup())


def _interval(lower: float, upper: float) -> str:
    return "" if lower != lower or upper != upper else f"{lower:.2g} to {upper:.2g}"


def quality(facts: PageFacts) -> Markup:
    """Experiments per group, those left out, and animals that differ from the others."""
    return joined(
        element("h3", "Groups"),
        _group_table(facts),
        element("h3", "Left out"),
        _left_out(facts.version),
        element("h3", "Outliers"),
        _outliers(facts),
    )


def _group_table(facts: PageFacts) -> Markup:
    columns = [
        Column("Group"),
        Column("n", is_number=True),
        Column("AP, mean ± sd (um)", is_number=True),
        Column("DV, mean ± sd (um)", is_number=True),
        # A mean of ML over injections on both sides would be near the midline.
        Column("From the midline, mean ± sd (um)", is_number=True),
        Column("Injection, median (mm³)", is_number=True),
    ]
    rows = []
    for group in facts.version.groups:
        members = facts.experiments.reindex(list(group.experiment_ids))
        from_midline = (members["injection_ml"] - MIDLINE_UM).abs()
        spread = [_spread(each) for each in (members["injection_ap"], members["injection_dv"], from_midline)]
        rows.append(Row([group.label, group.n, *spread, number(_float(members["injection_volume"].median()))]))
    return DataTable("groups", "Groups with their experiments and injection coordinates", columns, rows).markup()


def _spread(values: Any) -> Cell:
    known = values.dropna().to_numpy(float)
    if not known.size:
        return Cell("", None)
    mean, sd = float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else math.nan
    return Cell(f"{mean:,.0f}" if math.isnan(sd) else f"{mean:,.0f} ± {sd:,.0f}", mean)


def _left_out(version: DatasetVersion) -> Markup:
    if not version.left_out:
        return element("p", "No selected experiment was left out.")
    counted = element(
        "ul", (element("li", f"{count}: {reason}") for reason, count in counted_reasons(version.left_out))
    )
    columns = [Column("Experiment"), Column("Reason")]
    rows = [Row([str(member.experiment_id), member.reason or "unknown"]) for member in version.left_out]
    table = DataTable("left-out", "Experiments that were left out", columns, rows)
    return joined(counted, element("details", element("summary", "All of them"), table.markup()))


def _outliers(facts: PageFacts) -> Markup:
    rule = (
        f"Two values of each animal are compared with the others of its group: the Pearson correlation of its "
        f"{MEASURE.replace('_', ' ')} by summary structure and hemisphere (ipsilateral, contralateral; outside the "
        "injection site) with the mean of the others, and its projection volume per injection volume. Outliers have a "
        f"robust z-score below -{LIMIT} for Fisher's z of the correlation, or beyond ±{LIMIT} for the logarithm of the "
        f"signal; the scale is 1.4826 median absolute deviations. Groups of fewer than {MIN_ANIMALS} animals are not "
        "judged."
    )
    found = [each for each in facts.quality if each.problems]
    compared = sum(each.correlation is not None for each in facts.quality)
    judged = sum(each.correlation_z is not None or each.signal_z is not None for each in facts.quality)
    result: Content
    if found:
        result = element("ul", (element("li", f"{each.experiment_id}: {'; '.join(each.problems)}") for each in found))
    elif judged:
        result = element("p", f"None of the {judged} judged animals is an outlier.")
    else:
        result = element("p", f"No group has {MIN_ANIMALS} animals that can be compared.")
    profiles = f"The profiles of {compared} of {len(facts.quality)} animals were compared."
    return joined(
        result,
        element("p", rule, class_="soft"),
        element("p", profiles, f" {facts.quality_missing}" if facts.quality_missing else None, class_="soft"),
    )


def members(facts: PageFacts, *, identifier: Callable[[int], Content] = str) -> Markup:
    """The members with what is known of them; ``identifier`` returns what stands for an experiment."""
    columns = [
        Column("Experiment"),
        Column("Group"),
        *([Column("Weight", is_number=True)] if facts.weights else []),
        Column("Structure"),
        Column("Line"),
        Column("Sex"),
        Column("Injected"),
        *(Column(f"{axis} (um)", is_number=True) for axis in ARRAY_AXES),
        Column("Injection (mm³)", is_number=True),
        Column("Divisor", is_number=True),
        Column("Signal", is_number=True),
        Column("Profile r", is_number=True),
        Column("Remarks"),
    ]
    labels = {group.number: group.label for group in facts.version.groups}
    judged = {each.experiment_id: each for each in facts.quality}
    rows = []
    for member in facts.version.experiments:
        if member.group is None:
            continue
        known = facts.experiments.loc[member.experiment_id]
        found = judged[member.experiment_id]
        rows.append(
            Row(
                [
                    Cell(identifier(member.experiment_id), str(member.experiment_id)),
                    labels[member.group],
                    *([number(facts.weights[member.experiment_id])] if facts.weights else []),
                    _string(known["primary_structure"]),
                    _string(known["transgenic_line"]) or "wild-type",
                    _string(known["sex"]),
                    _string(member.injected_hemisphere) or _string(known["injected_hemisphere"]),
                    *(number(_float(known[column]), ",.0f") for column in _COORDINATES.values()),
                    number(_float(known["injection_volume"])),
                    number(member.divisor),
                    number(found.signal),
                    number(found.correlation, ".3f"),
                    ", ".join([*filter(None, [found.remark]), *(["not in the list"] if known["withdrawn"] else [])]),
                ],
                is_outlier=bool(found.problems),
            )
        )
    described = (
        "Signal is the projection volume per injection volume, profile r the correlation with the others of the "
        "group; both are explained under Outliers."
    )
    table = DataTable("members", "Members of the groups", columns, rows, "VISp wild-type", moves_shared=True)
    return joined(element("p", described), table.markup())


def recipe_words(facts: PageFacts) -> Markup:
    """The recipe in words and as JSON."""
    recipe = facts.version.recipe
    return joined(_facts(recipe.in_words()), _folded("Recipe (JSON)", recipe.to_json()))


def methods(facts: PageFacts) -> Markup:
    """The recipe, and the draft of the methods text with the references."""
    citation = facts.citation
    return joined(
        recipe_words(facts),
        element("h3", "Methods text"),
        element("p", CHECK_FIRST, class_="soft"),
        element("p", citation.methods),
        element("p", citation.acknowledgement),
        _folded("References (BibTeX)", citation.bibtex),
    )


def provenance(facts: PageFacts) -> Markup:
    """Where the numbers come from."""
    version, known = facts.version, facts.provenance
    checks = [f"{check.outcome} ({check.checked_at:%Y-%m-%d}, {check.checked_by})" for check in version.checks]
    listed = [
        ("Dataset version", version.ref),
        ("Exported as", known.exported_as),
        ("Tags", ", ".join(version.tags)),
        ("Fingerprint", version.fingerprint),
        ("SHA-256 of the arrays", version.content_sha256),
        ("Standing", str(version.origin)),
        ("Rebuilt", "; ".join(checks)),
        ("Computed", f"{version.created_at:%Y-%m-%d %H:%M:%S} UTC by {version.created_by}"),
        ("Software", version.software),
        ("Algorithm", f"version {version.algorithm_version}"),
        ("Experiment list", known.experiment_list),
        ("Ontology", known.ontology),
        ("Annotation", known.annotation),
        ("SHA-256 of the annotation", known.annotation_sha256),
    ]
    has_voxels = version.recipe.has_voxels
    what = "Volumes that were averaged" if has_voxels else "Unionize tables that were compared"
    hashed = "SHA-256 of the volume" if has_voxels else "SHA-256 of the values"
    columns = [Column("Experiment"), Column("State"), Column("Source"), Column(hashed)]
    rows = [
        Row([str(each.experiment_id), each.state, each.source or "", each.array_sha256])
        for each in facts.lineage.members
    ]
    inputs = DataTable("inputs", what, columns, rows)
    lists = [
        Row([each.what, each.kind, _string(each.upstream_date), each.source, each.content_sha256])
        for each in facts.lineage.snapshots
    ]
    list_columns = [Column("Content"), Column("Kind"), Column("Date"), Column("Source"), Column("SHA-256")]
    snapshots = DataTable("lists", "Lists and ontologies of this store at that time", list_columns, lists)
    return joined(
        _facts(listed),
        element("details", element("summary", "Lists and ontologies of this store at that time"), snapshots.markup()),
        element("details", element("summary", what), inputs.markup()),
    )


def _facts(values: Iterable[tuple[str, str | None]]) -> Markup:
    return element(
        "dl", ((element("dt", name), element("dd", value)) for name, value in values if value), class_="facts"
    )


def _folded(summary: str, text: str) -> Markup:
    return element("details", element("summary", summary), element("pre", text))


def _string(value: object) -> str:
    """A value of a table as text; '' if it is missing."""
    return "" if value is None or value != value else str(value)


def _float(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
