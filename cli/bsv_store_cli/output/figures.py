"""Writing figures into files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bsv_store.store.store import Store


def write_figure(target: Path, draw: Callable[[Store], Figure], *, dpi: int, overwrite: bool) -> None:
    """Draw a figure and write it; the file is checked first, because drawing may take long."""
    from bsv_store.figures.style import check_path, save_figure

    check_path(target, overwrite=overwrite)
    with opened_store() as store:
        figure = draw(store)
    save_figure(figure, target, dpi=dpi, overwrite=overwrite)
    note(f"Wrote {target}.")
