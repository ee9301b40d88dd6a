"""The routes of images for the OpenAPI document, which are not made from rows of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bsv_store.server.data.operation import DescribedRoute, Parameter
from bsv_store.server.data.parameters import choice
from bsv_store.server.data.schemas import an_object, list_of
from bsv_store.server.images.sources import DEFAULT_KIND, DEFAULT_SPACING_UM
from bsv_store.vocabulary import COLOR_SCALES, COMPARISON_MAPS, HEMISPHERES, PLANES, STATISTICS, THEMES, VOLUME_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

_BINARY: Final = ("application/octet-stream",)
_GZIP: Final = ("application/gzip",)

_CONTENT = Parameter(
    name="content", kind="string", words="SHA-256 of the values that are expected: the answer then never changes."
)
_VERSION = Parameter(name="version", kind="string", words="A version. Give either it or an experiment.")
_STATISTIC = choice("statistic", {**STATISTICS, **COMPARISON_MAPS}, "An array of the version.", default="mean")
_SOURCE = (
    _VERSION,
    _STATISTIC,
    Parameter(name="group", kind="integer", words="Number of a group of the version, from 0.", least=0),
    Parameter(name="minus", kind="integer", words="Subtract this group.", least=0),
    Parameter(name="experiment", kind="integer", words="Allen's id of an experiment.", least=1),
    choice("kind", VOLUME_KINDS, f"Kind of the volume of the experiment, by default {DEFAULT_KIND}."),
    Parameter(
        name="spacing_um",
        kind="integer",
        words=f"Edge of a voxel of the volume in um, by default {DEFAULT_SPACING_UM}.",
        least=10,
        most=100,
    ),
    _CONTENT,
)
_PLANE = (
    choice("plane", PLANES, "Orientation.", default="coronal"),
    Parameter(name="index", kind="integer", words="Number of the plane, from 0. Give either it or at_um.", least=0),
    Parameter(name="at_um", kind="number", words="Position of the plane in um."),
)
_SPACING = Parameter(
    name="spacing_um", kind="integer", words="Of the annotation, by default the one that figures draw.", least=10
)
_COLORS = (
    choice("scale", COLOR_SCALES, "Scale of the colors."),
    Parameter(name="vmin", kind="number", words="Value of the first color."),
    Parameter(name="vmax", kind="number", words="Value of the last color."),
    Parameter(name="map", kind="string", words="Name of a color map, see /v1/images/colors."),
    choice("theme", THEMES, "Colors of the background.", default="light"),
    Parameter(name="zoom", kind="integer", words="Pixels for each voxel.", default=1, least=1, most=8),
)
_LIST: Mapping[str, Any] = {"type": "array"}
_VALUES = (
    "Row by row, little-endian, in the type of the header Bsv-Dtype and the shape of Bsv-Shape; NaN means no data. "
    "Compressed by gzip if the client accepts it."
)


def _image(name: str, path: str, summary: str, *parameters: Parameter, **more: Any) -> DescribedRoute:
    return DescribedRoute(
        route_name=f"image_{name}",
        path=f"/v1/images/{path}",
        summary=summary,
        group="images",
        parameters=parameters,
        **more,
    )


def _precomputed(name: str, source: str, parameters: tuple[Parameter, ...]) -> tuple[DescribedRoute, DescribedRoute]:
    """The two addresses of a source in the format of Neuroglancer."""
    path = f"precomputed/{source}"
    chunk = (
        Parameter(name="key", kind="string", words="Key of the scale in the info."),
        Parameter(name="chunk", kind="string", words="Ranges of voxels, such as 0-64_0-64_0-64."),
    )
    return (
        _image(f"precomputed_{name}", f"{path}/info", "The info of Neuroglancer's precomputed format", *parameters),
        _image(
            f"precomputed_{name}_chunk",
            f"{path}/{{key}}/{{chunk}}",
            "A chunk of Neuroglancer's precomputed format",
            *parameters,
            *chunk,
            media_types=_BINARY,
        ),
    )


DESCRIBED: Final = (
    _image("info", "info", "Facts about a version or a volume: grid, groups, arrays, units", *_SOURCE),
    _image("slice", "slice", "The values of a plane", *_SOURCE, *_PLANE, media_types=_BINARY, description=_VALUES),
    _image(
        "slice_png",
        "slice.png",
        "A plane as a PNG image, in the colors of the figures",
        *_SOURCE,
        *_PLANE,
        *_COLORS,
        media_types=("image/png",),
    ),
    _image("range", "range", "Extremes, quantiles and a histogram of the values", *_SOURCE),
    _image("colors", "colors", "The color maps and themes"),
    _image("structures", "structures", "Id, acronym, name, color and parent of each structure", schema=_LIST),
    _image(
        "position",
        "position",
        "A point in a structure, um",
        Parameter(name="structure", kind="string", words="Acronym or name.", is_required=True, example="VISp"),
        Parameter(
            name="hemisphere",
            kind="string",
            words="Hemisphere, if the structure is in both.",
            choices=tuple(HEMISPHERES),
            default="right",
        ),
    ),
    _image(
        "annotation",
        "annotation",
        "The structure ids of a plane; 0 is outside the brain",
        _SPACING,
        *_PLANE,
        media_types=_BINARY,
        description=_VALUES,
    ),
    _image(
        "outlines",
        "outlines",
        "The outlines of structures in a plane, um",
        _SPACING,
        Parameter(name="level", kind="integer", words="Structures of this level of the ontology.", least=0),
        Parameter(name="structure_set", kind="integer", words="Structures of this set.", least=1),
        Parameter(name="structure", kind="string", words="One structure; can be repeated."),
        *_PLANE,
        schema=an_object(spacing_um={"type": "integer"}, outlines=list_of("object")),
    ),
    _image("volume", "volume.nii.gz", "A group or a volume at 100 or 50 um as NIfTI", *_SOURCE, media_types=_GZIP),
    _image("brain", "brain.nii.gz", "The voxels in the brain at 100 or 50 um as NIfTI", _SPACING, media_types=_GZIP),
    _image(
        "regions",
        "regions.csv",
        "The mean of each group of a version in each structure",
        Parameter(name="version", kind="string", words="A version.", is_required=True),
        _CONTENT,
        media_types=("text/csv; charset=utf-8",),
    ),
    *_precomputed(
        "version",
        "version/{version}/{statistic}/{group}",
        (
            Parameter(name="version", kind="string", words="A version."),
            _STATISTIC,
            Parameter(name="group", kind="string", words="A number, two as in 1-0 for a difference, or all for a map."),
        ),
    ),
    *_precomputed(
        "experiment",
        "experiment/{experiment}/{kind}/{spacing_um}",
        (
            Parameter(name="experiment", kind="integer", words="Allen's id of an experiment.", least=1),
            choice("kind", VOLUME_KINDS, "Kind of the volume."),
            Parameter(name="spacing_um", kind="integer", words="Edge of a voxel in um.", least=10, most=100),
        ),
    ),
)
