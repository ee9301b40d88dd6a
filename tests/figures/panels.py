"""The axes of figures, for tests of what was drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def panels(figure: Figure) -> list[Any]:
    """The axes of a figure.

    Matplotlib declares what it drew by base classes, such as ``Collection`` for the symbols of a scatter plot.
    """
    return list(figure.axes)
