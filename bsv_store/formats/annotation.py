"""The CCF annotation in the form of the Allen Institute and of AllenSDK's cache: an NRRD file of structure ids."""

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
from bsv_store.volumes.annotation import Annotation

_LARGEST_ID = np.iinfo(np.uint32).max
_NEAREST = "Resample annotations by nearest neighbor; interpolated ids have no meaning."


def read_annotation_nrrd(
    source: bytes | Path, *, what: str, spacing_um: int | None = None, on_block: Callable[[], None] = do_nothing
) -> Annotation:
    """The annotation in an NRRD file; its ids are not compared with the ontology.

    Memory: a block of the file and the compressed annotation.

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

    Raises
    ------
    FormatError
        If it is not such an NRRD file, is truncated, has bytes after its end, or contains values other than integers
        from 0 to 2**32 - 1. Floating-point files are read if their dtype represents all integers up to the largest id
        exactly.
    FrameError
        If the grid is not a CCFv3 grid, or has another spacing than requested.
    InputError
        If the file cannot be read.
    """
    with opened_nrrd(source, what=what, spacing_um=spacing_um) as file:
        return Annotation.from_blocks(file.grid, _ids(file, what=what), on_block=on_block)


def _ids(file: NrrdBlocks, *, what: str) -> Iterator[NDArray[Any]]:
    is_float = file.dtype.kind == "f"
    # float32 does not represent all integers above 2**24; Allen has ids above 600 million.
    exact = 1 << (np.finfo(file.dtype).nmant + 1) if is_float else _LARGEST_ID
    for block in file.blocks:
        if is_float and not (np.isfinite(block).all() and (block == np.trunc(block)).all()):
            raise FormatError(f"{what} must contain structure ids, got numbers with fractions", hint=_NEAREST)
        if int(block.min()) < 0 or int(block.max()) > _LARGEST_ID:
            raise FormatError(f"{what} contains numbers that are not structure ids", hint=DAMAGED_HINT)
        if is_float and int(block.max()) >= exact:
            raise FormatError(
                f"{what} contains ids as {file.dtype.name}, which is exact only below {exact:,}; "
                f"the id {int(block.max()):,} may have been rounded",
                hint="Save it with 32-bit integers, or download Allen's file: `bsv-store sync annotation`.",
            )
        yield block.astype(np.uint32) if is_float else block
