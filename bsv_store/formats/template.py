"""The average template in the form of the Allen Institute and of AllenSDK's cache: an NRRD file of intensities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FormatError
from bsv_store.formats.fields import DAMAGED_HINT
from bsv_store.formats.nrrd import NrrdBlocks, opened_nrrd
from bsv_store.progress import do_nothing
from bsv_store.vocabulary import TemplateDtype
from bsv_store.volumes.template import Template

_LARGEST = np.iinfo(np.uint16).max


def read_template_nrrd(
    source: bytes | Path, *, what: str, spacing_um: int | None = None, on_block: Callable[[], None] = do_nothing
) -> Template:
    """The template in an NRRD file.

    Memory: a block of the file and the compressed template.

    Parameters
    ----------
    source : bytes or Path
        The file's content or path.
    what : str
        Name of the file, for errors.
    spacing_um : int, optional
        Spacing that the file must have.
    on_block : callable
        Called repeatedly while the file is decompressed; may raise to stop the work.

    Returns
    -------
    Template
        uint16 for files of integers, such as Allen's; float32 for others.

    Raises
    ------
    FormatError
        If it is not such an NRRD file, is truncated, has bytes after its end, has the same value everywhere, or
        contains values other than finite numbers that are not negative, or integers above 65,535.
    FrameError
        If the grid is not a CCFv3 grid, or has another spacing than requested.
    InputError
        If the file cannot be read.
    """
    with opened_nrrd(source, what=what, spacing_um=spacing_um) as file:
        dtype: TemplateDtype = "float32" if file.dtype.kind == "f" else "uint16"
        return Template.from_blocks(file.grid, dtype, _checked(file, what=what), on_block=on_block)


def _checked(file: NrrdBlocks, *, what: str) -> Iterator[NDArray[Any]]:
    is_float = file.dtype.kind == "f"
    low, high = np.inf, -np.inf
    for block in file.blocks:
        if is_float and not np.isfinite(block).all():
            raise FormatError(f"{what} contains values that are not finite numbers", hint=DAMAGED_HINT)
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        if low < 0:
            raise FormatError(f"{what} contains negative values; a template has intensities", hint=DAMAGED_HINT)
        if not is_float and high > _LARGEST:
            raise FormatError(
                f"{what} contains integers above {_LARGEST:,}, up to {int(high):,}: it is not a template",
                hint="A file of structure ids is an annotation: bsv-store ingest annotation.",
            )
        if high > np.finfo(np.float32).max:
            raise FormatError(f"{what} contains values that are too large", hint=DAMAGED_HINT)
        yield block
    if low == high:
        raise FormatError(f"{what} has the value {low:g} everywhere: it is not an image", hint=DAMAGED_HINT)
