"""``bsv-store compare``."""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from bsv_store.vocabulary import (
    CLUSTER_STATISTICS,
    COMPARISON_ORDERS,
    COVARIATES,
    EFFECT_SIZES,
    MEASURED_HEMISPHERES,
    MISSING_POLICIES,
    TWO_SAMPLE_STATISTICS,
)
from bsv_store_cli.help import RowChoice, SectionedCommand, SectionOption, WordChoice
from bsv_store_cli.options.averaging import averaging_options
from bsv_store_cli.options.compared import side_of
from bsv_store_cli.options.completion import complete_selections
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.options.measure import measure_option
from bsv_store_cli.options.ranking import target_options_by
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.comparison import print_structure_comparison, print_voxel_comparison
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.datasets.groups import GroupInfo
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import (
        BilateralRule,
        ClusterStatistic,
        ComparisonOrder,
        Covariate,
        EffectSize,
        HemisphereRule,
        Measure,
        MeasuredHemisphere,
        MissingPolicy,
        Normalization,
        ResultDtype,
        Statistic,
        TwoSampleStatistic,
        VolumeKind,
    )

_STRUCTURE = "By structure"
_VOXEL = "By voxel"
_structure_option = functools.partial(click.option, cls=SectionOption, section=_STRUCTURE)
_voxel_option = functools.partial(click.option, cls=SectionOption, section=_VOXEL)

# Parameters that have a meaning for one kind of comparison only.
_ONLY: dict[str, tuple[str, ...]] = {
    "structure": (
        "targets",
        "structure_set",
        "within",
        "include_sources",
        "include_fiber_tracts",
        "measure",
        "hemisphere",
        "effect_size",
        "bootstrap",
        "confidence",
        "sort_by",
        "limit",
    ),
    "voxel": (
        "kind",
        "spacing_um",
        "normalize",
        "hemisphere_rule",
        "bilateral_rule",
        "exclude_injection",
        "statistics",
        "dtype",
        "cluster",
        "cluster_threshold_p",
        "workers",
    ),
}
# Those of an average, which are those of the version if groups of a version are compared.
_AVERAGING = (
    "kind",
    "spacing_um",
    "normalize",
    "hemisphere_rule",
    "bilateral_rule",
    "exclude_injection",
    "statistics",
    "dtype",
)


@click.command(cls=SectionedCommand, context_settings={"ignore_unknown_options": True})
@click.argument("sides", nargs=-1, metavar="A B | NAME[@VERSION] --groups A B", shell_complete=complete_selections)
@click.option(
    "--by", type=WordChoice(["structure", "voxel"]), default="structure", show_default=True, help="What is compared."
)
@click.option("--groups", nargs=2, metavar="A B", help="Compare two groups of a dataset version, by number or label.")
@click.option(
    "--labels",
    nargs=2,
    metavar="A B",
    help="Labels of the two groups.  [default: names of saved selections, or the criteria that differ]",
)
@click.option(
    "--name",
    metavar="NAME",
    help="Store the result as a version of this dataset.  [required by voxel]",
)
@click.option(
    "--test",
    type=RowChoice(TWO_SAMPLE_STATISTICS),
    help="Statistic of the test.  [default: welch; with covariates student]",
)
@click.option(
    "--covariate",
    "covariates",
    multiple=True,
    type=RowChoice(COVARIATES),
    metavar="NAME",
    help=f"Take into account {', '.join(COVARIATES).replace('_', '-')}; repeatable.",
)
@click.option(
    "--permutations",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Number of permutations.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of the random permutations."
)
@click.option(
    "--missing",
    type=RowChoice(MISSING_POLICIES),
    help="Experiments without data that are needed.  [default: leave-out by structure, error by voxel]",
)
@target_options_by(_structure_option)
@measure_option()
@_structure_option(
    "--hemisphere",
    multiple=True,
    type=RowChoice(MEASURED_HEMISPHERES),
    help="Hemisphere of the structures; repeatable.  [default: both]",
)
@_structure_option(
    "--effect-size", type=RowChoice(EFFECT_SIZES), default="hedges-g", show_default=True, help="Effect size to report."
)
@_structure_option(
    "--bootstrap",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Number of bootstrap draws for the interval.",
)
@_structure_option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    metavar="SHARE",
    help="Confidence level of the interval.",
)
@_structure_option(
    "--sort-by",
    "sort_by",
    type=RowChoice(COMPARISON_ORDERS),
    default="p",
    show_default=True,
    help="What rows are sorted by.",
)
@volume_options
@averaging_options(_VOXEL, with_weights=False)
@_voxel_option(
    "--cluster",
    type=RowChoice(CLUSTER_STATISTICS),
    default="none",
    show_default=True,
    help="Also p of the extent of clusters, or of threshold-free cluster enhancement.",
)
@_voxel_option(
    "--cluster-threshold-p",
    type=float,
    default=0.001,
    show_default=True,
    metavar="P",
    help="Uncorrected p at which voxels form clusters.",
)
@_voxel_option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Number of processes and threads.  [default: all processors for the test]",
)
@limit_and_format_options(20, "Maximum number of structures to print.")
@click.pass_context
def compare(
    context: click.Context,
    sides: tuple[str, ...],
    by: Literal["structure", "voxel"],
    groups: tuple[str, str] | None,
    labels: tuple[str, str] | None,
    test: TwoSampleStatistic | None,
    covariates: tuple[Covariate, ...],
    permutations: int,
    seed: int,
    missing: MissingPolicy | None,
    targets: tuple[str, ...],
    structure_set: int | None,
    within: str | None,
    include_sources: bool,
    include_fiber_tracts: bool,
    measure: Measure,
    hemisphere: tuple[MeasuredHemisphere, ...],
    effect_size: EffectSize,
    bootstrap: int,
    confidence: float,
    sort_by: ComparisonOrder,
    name: str | None,
    kind: VolumeKind,
    spacing_um: int,
    normalize: Normalization,
    hemisphere_rule: HemisphereRule,
    bilateral_rule: BilateralRule,
    exclude_injection: bool,
    statistics: tuple[Statistic, ...],
    dtype: ResultDtype,
    cluster: ClusterStatistic,
    cluster_threshold_p: float,
    workers: int | None,
    limit: int | None,
    output_format: str,
) -> None:
    """Compare two groups of experiments, by structure or by voxel.

    A and B are saved selections, selections as JSON, ids (1,2,3), @FILE with either, or the options of select in
    quotes. By structure, the unionize tables are compared; with --name, the result is stored as a dataset version. By
    voxel, it always is. Each experiment is one animal; p is two-sided, by permutation.

    \b
    Examples:
      bsv-store compare "--injected-in VISp --line wild-type" "--injected-in VISl --line wild-type"
      bsv-store compare young old --within TH --name age-in-thalamus
      bsv-store compare young old --by voxel --name age --normalize injection-volume
      bsv-store compare visual-by-AP@2 --groups 0 4 --within TH
    """  # noqa: D301 (click wants the character)
    _check(context, by, sides, groups=groups, labels=labels, name=name)
    with opened_store() as store, progress_bar() as progress:
        if by == "voxel" and groups is not None:
            assert name is not None
            version = store.datasets.compare_groups(
                sides[0],
                *groups,
                name=name,
                test=test,
                covariates=covariates,
                permutations=permutations,
                seed=seed,
                cluster=cluster,
                cluster_threshold_p=cluster_threshold_p,
                missing=missing or "error",
                progress=progress,
                workers=workers,
            )
        elif by == "voxel":
            assert name is not None
            a, b, given = _sides(context, store, sides, groups, labels)
            version = store.compare_voxels(
                a,
                b,
                name=name,
                labels=given,
                kind=kind,
                spacing_um=spacing_um,
                normalize=normalize,
                hemisphere_rule=hemisphere_rule,
                bilateral_rule=bilateral_rule,
                exclude_injection=exclude_injection,
                statistics=statistics or ("mean",),
                missing=missing or "error",
                dtype=dtype,
                test=test,
                covariates=covariates,
                permutations=permutations,
                seed=seed,
                cluster=cluster,
                cluster_threshold_p=cluster_threshold_p,
                progress=progress,
                workers=workers,
            )
        else:
            a, b, given = _sides(context, store, sides, groups, labels)
            frame = store.compare_structures(
                a,
                b,
                name=name,
                labels=given,
                targets=targets or None,
                structure_set=structure_set,
                within=within,
                include_sources=include_sources,
                include_fiber_tracts=include_fiber_tracts,
                measure=measure,
                hemisphere=hemisphere or "both",
                test=test,
                effect_size=effect_size,
                covariates=covariates,
                permutations=permutations,
                bootstrap=bootstrap,
                confidence=confidence,
                seed=seed,
                sort_by=sort_by,
                limit=limit,
                missing=missing or "leave_out",
                progress=progress,
            )
    if by == "voxel":
        print_voxel_comparison(version, output_format)
    else:
        print_structure_comparison(frame, output_format)


def _check(
    context: click.Context,
    by: Literal["structure", "voxel"],
    sides: tuple[str, ...],
    *,
    groups: tuple[str, str] | None,
    labels: tuple[str, str] | None,
    name: str | None,
) -> None:
    # An option that does not exist was taken as a selection.
    for side in sides:
        if side.startswith("-") and not any(mark in side for mark in (" ", "=")):
            options = [name for each in context.command.params for name in each.opts if name.startswith("--")]
            raise click.NoSuchOption(side, possibilities=difflib.get_close_matches(side, options), ctx=context)
    wanted = 2 if groups is None else 1
    if len(sides) != wanted:
        what = "two sides, A and B" if groups is None else "one dataset version with --groups"
        raise click.UsageError(f"compare takes {what}, got {len(sides)}: {' '.join(sides) or 'nothing'}", context)
    if groups is not None and labels is not None:
        raise click.UsageError("--labels cannot be combined with --groups", context)
    other = "voxel" if by == "structure" else "structure"
    unused = [each for each in _ONLY[other] if _is_given(context, each)]
    if unused:
        raise click.UsageError(f"{_spelling(context, unused[0])} needs --by {other}", context)
    ruled = [each for each in _AVERAGING if _is_given(context, each)]
    if groups is not None and by == "voxel" and ruled:
        raise click.UsageError(
            f"{_spelling(context, ruled[0])} cannot be combined with --groups: the rules of the version are used",
            context,
        )
    if by == "voxel" and name is None:
        raise click.UsageError("--by voxel needs --name, the dataset that the result is stored in", context)


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _spelling(context: click.Context, name: str) -> str:
    return next(each.opts[-1] for each in context.command.params if each.name == name)


def _sides(
    context: click.Context,
    store: Store,
    sides: tuple[str, ...],
    groups: tuple[str, str] | None,
    labels: tuple[str, str] | None,
) -> tuple[Selection | GroupInfo, Selection | GroupInfo, tuple[str, str] | None]:
    """The two sides and their labels."""
    from bsv_store.datasets.comparison import default_labels
    from bsv_store.datasets.groups import group_number

    if groups is not None:
        version = store.dataset(sides[0])
        first, second = (version.groups[group_number(version.groups, each, what=version.ref)] for each in groups)
        return first, second, None
    one, other = (side_of(context, text) for text in sides)
    default = default_labels(one.selection, other.selection, names=(one.name, other.name))
    return one.selection, other.selection, labels or default
