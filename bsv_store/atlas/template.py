"""Reading the average template: checks against the annotation, arrays, and export to image files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.annotation import check_planes
from bsv_store.catalog.annotations import all_annotations
from bsv_store.catalog.templates import find_template
from bsv_store.errors import DamagedFileError, FrameError, MissingDataError
from bsv_store.formats.image import Image
from bsv_store.formats.output_file import check_target
from bsv_store.formats.table import IMAGE_FORMATS, checked_format, write_file
from bsv_store.volumes.annotation import opened_annotation
from bsv_store.volumes.dense_file import ap_planes, dataset_slabs
from bsv_store.volumes.grid import ARRAY_AXES, Grid, checked_spacing
from bsv_store.volumes.template import Template, TemplateFile, opened_template

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.annotation import AnnotationFile
    from bsv_store.volumes.files import StoreFiles

# Spacing at which template and annotation are compared.
_LATTICE_UM = 200
_MIN_CORRELATION = 0.5
# How much better it fits with reversed axes if they are reversed, and which axes may be.
_BETTER_BY = 0.05
_REVERSALS: tuple[tuple[int, ...], ...] = ((0,), (1,), (0, 1))


@dataclass(frozen=True, slots=True)
class TemplateFit:
    """How well a template fits the annotation of the store.

    Attributes
    ----------
    annotation_um : int or None
        Spacing of the annotation; None if the store has none that can be read.
    correlation : float or None
        Between the intensity and being inside the brain.
    """

    annotation_um: int | None = None
    correlation: float | None = None

    def remarks(self) -> tuple[str, ...]:
        """The result, one sentence."""
        if self.correlation is None:
            return ("It was not compared with an annotation, because the store has none that can be read.",)
        where = f"the brain in the annotation at {self.annotation_um} um (correlation {self.correlation:.2f})"
        if self.correlation < _MIN_CORRELATION:
            return (f"Warning: it does not look like {where}.",)
        return (f"It fits {where}.",)


def check_template(database: Database, files: StoreFiles, template: Template, *, what: str) -> TemplateFit:
    """Compare a template with the store's annotation: the brain must be bright and have the same orientation.

    A reversed ML axis is not detected, because the halves of the brain are too similar.

    Raises
    ------
    FrameError
        If it fits better with its AP or DV axis reversed.
    """
    with database.reading() as connection:
        stored = all_annotations(connection)
    for file in reversed(stored):
        try:
            inside = _lattice_of_annotation(files, file) != 0
        except DamagedFileError:
            # `verify` reports it. An annotation of another spacing may be intact.
            continue
        return _compared(_lattice(template.grid, template.slabs()), inside, file.grid.spacing_um, what=what)
    return TemplateFit()


def _compared(values: NDArray[Any], inside: NDArray[np.bool_], annotation_um: int, *, what: str) -> TemplateFit:
    found = _correlation(values, inside)
    fits = {axes: _correlation(np.flip(values, axes), inside) for axes in _REVERSALS}
    best = max(fits, key=lambda axes: fits[axes])
    if fits[best] > found + _BETTER_BY:
        raise FrameError(
            f"{what} fits the annotation at {annotation_um} um only with its "
            f"{' and '.join(ARRAY_AXES[axis] for axis in best)} axis reversed",
            hint="Save it with the axes of Allen's files: anterior to posterior, superior to inferior, left to right.",
        )
    return TemplateFit(annotation_um, found)


def _correlation(values: NDArray[Any], inside: NDArray[np.bool_]) -> float:
    if values.std() == 0 or inside.all() or not inside.any():
        return 0.0
    return float(np.corrcoef(values.ravel(), inside.ravel().astype(np.float64))[0, 1])


def _lattice_of_annotation(files: StoreFiles, file: AnnotationFile) -> NDArray[Any]:
    with opened_annotation(files, file) as ids:
        return _lattice(file.grid, dataset_slabs(ids, file.grid))


def _lattice(grid: Grid, slabs: Iterable[tuple[int, NDArray[Any]]]) -> NDArray[Any]:
    """The voxels at the centers of the cells of a coarse lattice."""
    step = _LATTICE_UM // grid.spacing_um
    first_ap, dv, ml = (slice(step // 2, None, step) for _ in range(3))
    wanted = range(grid.shape[0])[first_ap]
    return np.stack(
        [slab[ap - start][dv, ml] for start, slab in slabs for ap in wanted if start <= ap < start + len(slab)]
    )


def stored_template(database: Database, spacing_um: int) -> TemplateFile:
    """The file of the template of a spacing, as recorded in the catalog.

    Raises
    ------
    MissingDataError
        If the store does not have it; the hint is the command that downloads it.
    InputError
        If the spacing is not valid.
    """
    spacing_um = checked_spacing(spacing_um)
    with database.reading() as connection:
        found = find_template(connection, spacing_um)
    if found is None:
        raise MissingDataError(
            f"the store has no template at {spacing_um} um", hint=f"Download it: {sync_command(spacing_um)}"
        )
    return found


def sync_command(spacing_um: int) -> str:
    """The command that downloads a template."""
    return f"bsv-store sync template --spacing {spacing_um}"


@contextmanager
def template_of(database: Database, files: StoreFiles, spacing_um: int) -> Iterator[Any]:
    """An HDF5 dataset of the template at a spacing, shape (ap, dv, ml), decompressed on access.

    Raises
    ------
    MissingDataError
        If the store does not have it; the hint is the command that downloads it.
    DamagedFileError
        If its file differs from what was published.
    """
    with opened_template(files, stored_template(database, spacing_um)) as values:
        yield values


def read_template(
    database: Database, files: StoreFiles, *, spacing_um: int = 100, ap: slice = slice(None)
) -> NDArray[Any]:
    """See :meth:`bsv_store.store.atlas.Atlas.template`.

    Raises
    ------
    MissingDataError, DamagedFileError, InputError
        As `template_of`; or if ``ap`` is not a slice.
    """
    check_planes(ap)
    with template_of(database, files, spacing_um) as values:
        return ap_planes(values, ap)


def export_template(
    database: Database,
    files: StoreFiles,
    target: Path,
    *,
    spacing_um: int = 100,
    like_allen: bool = False,
    overwrite: bool = False,
) -> TemplateFile:
    """See :meth:`bsv_store.store.atlas.Atlas.export_template`.

    Raises
    ------
    MissingDataError, DamagedFileError
        As `template_of`.
    InputError
        If the ending is not one of `IMAGE_FORMATS`, the parent folder does not exist, the target exists and
        ``overwrite`` is False, or the spacing is not valid.
    NoSpaceError
        If the disk is full.
    """
    # Checked before the template is read.
    chosen = checked_format(target, IMAGE_FORMATS, options={"like_allen": like_allen})
    check_target(target, overwrite=overwrite, marker=chosen.marker)
    file = stored_template(database, spacing_um)
    with opened_template(files, file) as values:
        image = Image(
            grid=file.grid,
            dtype=file.dtype,
            slabs=lambda _group: dataset_slabs(values, file.grid),
            title=f"average template at {spacing_um} um",
            name="average template",
            content="template",
            like_allen=like_allen,
            facts=template_facts(file),
        )
        write_file(image, target, IMAGE_FORMATS, overwrite=overwrite)
    return file


def template_facts(file: TemplateFile) -> dict[str, str]:
    """The facts about a template for the headers of exports."""
    return {"template": file.name, "template_sha256": file.array_sha256, "source": file.source}
