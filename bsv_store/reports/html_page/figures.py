"""The figures of a page: every call of a figure function is here."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import EmptySelectionError, LeftOutWarning, MissingDataError, UnknownStructureError
from bsv_store.figures.slices import NO_ANNOTATION
from bsv_store.reports.anatomy import brain_of
from bsv_store.reports.differences import structure_differences
from bsv_store.reports.injections import injection_map
from bsv_store.reports.ranking import ranked_targets
from bsv_store.reports.voxels import projections, slices
from bsv_store.text import joined, label_in_prose
from bsv_store.vocabulary import ANIMAL_WEIGHTS, THEMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.figure import Figure

    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import Theme

_DPI = 200


@dataclass(frozen=True, slots=True)
class PageFigure:
    """A figure of a page.

    Attributes
    ----------
    heading : str
    caption : str
        One or two sentences; or why there is no figure.
    description : str
        Replaces the image for readers who do not see it.
    images : mapping of Theme to str
        Data URI of a PNG for each theme; empty if the store does not have the data for it.
    width, height : int
        Pixels.
    """

    heading: str
    caption: str
    description: str
    images: Mapping[Theme, str]
    width: int = 0
    height: int = 0


def page_figures(store: Store, version: DatasetVersion, *, emphasize: Sequence[str] = ()) -> Iterator[PageFigure]:
    """The figures of a version, in the order of the page; slices emphasize these structures.

    Raises
    ------
    InputError
        If Matplotlib is not installed.
    DamagedFileError
        If the result file is missing or damaged.
    """
    members = Selection(ids=[each for group in version.groups for each in group.experiment_ids], include_excluded=True)
    weight_by, weighted = version.recipe.weight_by, ANIMAL_WEIGHTS[version.recipe.weight_by].rule
    if version.recipe.has_voxels:
        yield from _voxel_figures(store, version, emphasize)
    else:
        yield _figure(
            "Differences",
            "Difference of each structure with its bootstrap interval, effect size and p; the most significant first.",
            f"Differences by structure of {version.ref}",
            lambda theme: structure_differences(store, version, theme=theme, footer=False),
        )
    yield _figure(
        "Injection sites",
        "Injection coordinates of the members, by group; the area of a symbol is proportional to the injection volume.",
        f"Map of the injection sites of {version.ref}",
        lambda theme: injection_map(store, groups=version, theme=theme, footer=False),
    )
    yield _figure(
        "Ranked targets",
        "Targets by normalized projection volume outside the injection sites: mean, standard error and single animals, "
        f"from the unionize tables of all members together{weighted and f', {weighted}'}.",
        f"Bars of the strongest targets of the members of {version.ref}",
        lambda theme: ranked_targets(store, members, weight_by=weight_by, theme=theme, footer=False),
    )


def _voxel_figures(store: Store, version: DatasetVersion, emphasize: Sequence[str]) -> Iterator[PageFigure]:
    """The figures of the means of the groups."""
    notes = f" Emphasized: {joined(list(emphasize), 'and')}." if emphasize else ""
    outlined = "" if brain_of(store).has_annotation else f" {NO_ANNOTATION}"
    notes += outlined
    if version.recipe.voxel_comparison is not None:
        yield from _comparison_figures(store, version, emphasize, notes)
    yield _figure(
        "Slices",
        f"Mean {version.quantity} of each group in coronal planes, on a common scale.{notes}",
        f"Coronal planes through the means of the groups of {version.ref}",
        lambda theme: slices(store, version, emphasize=list(emphasize) or None, theme=theme, footer=False),
    )
    yield _figure(
        "Maximum projections",
        f"Mean {version.quantity} of each group as maximum projections on a common scale. A projection shows the "
        f"strongest voxel along each line of sight, and not at which depth it lies.{outlined}",
        f"Maximum projections of the groups of {version.ref}",
        lambda theme: projections(store, version, theme=theme, footer=False),
    )


def _comparison_figures(
    store: Store, version: DatasetVersion, emphasize: Sequence[str], notes: str
) -> Iterator[PageFigure]:
    """The maps of a comparison by voxel."""
    first, second = (label_in_prose(group.label) for group in version.groups)
    summary = version.comparison_summary()
    outcome = (
        f"{summary.tested_voxels:,} voxels were tested. With p of at most {summary.alpha:g}, corrected for all of them "
        f"({summary.permutations:,} permutations), {first} is higher at {summary.higher:,} and {second} at "
        f"{summary.lower:,} voxels."
    )
    yield _figure(
        "Difference",
        f"Mean of {first} minus mean of {second}: {version.quantity}.{notes}",
        f"Coronal planes through the difference of the groups of {version.ref}",
        lambda theme: slices(
            store, version, statistic="difference", emphasize=list(emphasize) or None, theme=theme, footer=False
        ),
    )
    yield _figure(
        "t statistic",
        f"t of the difference at each tested voxel. {outcome}{notes}",
        f"Coronal planes through the t statistic of {version.ref}",
        lambda theme: slices(
            store, version, statistic="t", emphasize=list(emphasize) or None, theme=theme, footer=False
        ),
    )


def _figure(heading: str, caption: str, description: str, draw: Callable[[Theme], Figure]) -> PageFigure:
    images: dict[Theme, str] = {}
    width = height = 0
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LeftOutWarning)
            for row in THEMES.values():
                content = _png(draw(row.name))
                # Bytes 16 to 24 of a PNG are its width and height.
                width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
                images[row.name] = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    except (MissingDataError, UnknownStructureError, EmptySelectionError) as error:
        # The store has no annotation or tables for this figure.
        return PageFigure(heading, f"No figure: {error.message}. {error.hint or ''}".strip(), description, {})
    # The page is the place for them; each theme gives the same ones.
    remarks: dict[str, None] = {}
    for each in caught:
        if isinstance(each.message, LeftOutWarning):
            remarks[f"{each.message.message}."] = None
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return PageFigure(heading, " ".join([caption, *remarks]), description, images, width, height)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None}, facecolor=figure.get_facecolor())
    return buffer.getvalue()
