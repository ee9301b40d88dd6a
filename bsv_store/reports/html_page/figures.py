"""The figures of a page: every call of a figure function is here."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.reports.groups import draw_groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def page_figures(store: Store, version: DatasetVersion) -> Iterator[PageFigure]:
    """The figures of a version, in the order of the page.

    Raises
    ------
    InputError
        If Matplotlib is not installed.
    DamagedFileError
        If the result file is missing or damaged.
    """
    groups = len(version.groups)
    yield _page_figure(
        "Maximum projections",
        f"Mean {version.quantity} of each group as maximum projections on a common scale. A projection shows the "
        "strongest voxel along each line of sight, and not at which depth it lies.",
        f"Maximum projections of {groups} groups of {version.ref}",
        draw_groups(version),
    )


def _page_figure(heading: str, caption: str, description: str, figure: Figure) -> PageFigure:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    content = buffer.getvalue()
    # Bytes 16 to 24 of a PNG are its width and height.
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    image = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return PageFigure(heading, caption, description, {"light": image}, width, height)
