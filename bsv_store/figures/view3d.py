"""The 3-D view: one HTML file with its data and a small WebGL viewer, without network."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bsv_store._version import __version__
from bsv_store.figures.brain import EXTENT_MM
from bsv_store.figures.style import check_html_path, theme_row
from bsv_store.formats.output_file import atomic_output

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.figures.surface import Mesh
    from bsv_store.vocabulary import Theme


_LAST = 2**16 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points in space.

    Attributes
    ----------
    positions : ndarray of float64, shape (points, 3)
        AP, DV, ML in mm.
    strengths : ndarray of float64, shape (points,)
        0 to 1: the size of the point.
    """

    positions: NDArray[np.float64]
    strengths: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """What is drawn with one color and has one line in the legend. Items of the same name share their line.

    Attributes
    ----------
    name, color : str
    shape : Mesh or Points
    opacity : float
        0 to 1. Translucent items are drawn in their order, so the inner ones must come first.
    rim : float
        Additional opacity where a surface is seen from its side, as of glass.
    """

    name: str
    color: str
    shape: Mesh | Points
    opacity: float = 1.0
    rim: float = 0.0


def view_html(
    items: Sequence[Item],
    *,
    sides: tuple[str, str] = ("L", "R"),
    title: str,
    notes: Sequence[str],
    fingerprint: str | None,
    theme: Theme,
    footer: bool,
) -> str:
    """The page; ``sides`` are the labels of the left and the right half."""
    colors = theme_row(theme)
    mark = [f"Fingerprint {fingerprint[:12]}."] if fingerprint else []
    scene = {
        "title": title,
        "footer": " ".join([*notes, *mark]) if footer else "",
        "background": colors.background,
        "extent": [*EXTENT_MM.values()],
        "sides": sides,
        "items": [_encoded(item) for item in items],
    }
    variables = {
        "scheme": colors.name,
        "background": colors.background,
        "ink": colors.ink,
        "muted": colors.muted,
        "warning": colors.warning,
    }
    parts = {
        "GENERATOR": f"bsv-store {__version__}",
        "DESCRIPTION": escape(f"Fingerprint {fingerprint}" if fingerprint else "", quote=True),
        "TITLE": escape(title, quote=True) or "3-D view",
        "COLORS": f":root {{ {' '.join(f'--{name}: {value};' for name, value in variables.items())} }}",
        "STYLE": _asset("view.css"),
        # A script element ends at the first "</script".
        "SCENE": json.dumps(scene, ensure_ascii=False).replace("<", "\\u003c"),
        "SCRIPT": _asset("view.js"),
    }
    pieces = _asset("view.html").split("@")
    return "".join(piece if number % 2 == 0 else parts[piece] for number, piece in enumerate(pieces))


def write_view(text: str, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write the page into a file.

    Raises
    ------
    InputError
        If the suffix is not .html, or the file exists or cannot be written.
    NoSpaceError
        If the disk is full.
    """
    target = check_html_path(path)
    with atomic_output(target, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return target


def encoded_bytes(shape: Mesh | Points) -> int:
    """The size of a shape in the page."""
    if isinstance(shape, Points):
        return int(7 * len(shape.positions) * 4 / 3)
    index = 2 if len(shape.vertices) <= _LAST else 4
    return int((9 * len(shape.vertices) + 3 * index * len(shape.faces)) * 4 / 3)


def _encoded(item: Item) -> dict[str, Any]:
    kind: Literal["mesh", "points"] = "points" if isinstance(item.shape, Points) else "mesh"
    common = {"name": item.name, "color": item.color, "kind": kind, "opacity": item.opacity, "rim": item.rim}
    if isinstance(item.shape, Points):
        return {
            **common,
            "count": len(item.shape.positions),
            "positions": _base64(_positions(item.shape.positions)),
            "strengths": _base64(np.clip(item.shape.strengths * 255, 0, 255).astype(np.uint8)),
        }
    wide = len(item.shape.vertices) > _LAST
    return {
        **common,
        "count": int(item.shape.faces.size),
        "wide": wide,
        "positions": _base64(_positions(item.shape.vertices)),
        "normals": _base64(np.clip(np.rint(item.shape.normals * 127), -127, 127).astype(np.int8)),
        "indices": _base64(item.shape.faces.astype("<u4" if wide else "<u2")),
    }


def _positions(points: NDArray[np.float64]) -> NDArray[Any]:
    """Fractions of the extent of the CCF, in steps of 0.2 um."""
    return np.asarray(np.clip(np.rint(points / np.array([*EXTENT_MM.values()]) * _LAST), 0, _LAST), "<u2")


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _asset(name: str) -> str:
    return files("bsv_store.figures").joinpath("viewer", name).read_text(encoding="utf-8")
