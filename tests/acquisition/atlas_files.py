"""Files of annotations and templates, and what a store has of them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tests.formats.bodies import nrrd, raw

if TYPE_CHECKING:
    from bsv_store import Store


def packed(values: NDArray[np.generic], dtype: str, kind: str, **changes: str) -> bytes:
    """An NRRD file of a 100 um array, with changes of the fields of its header."""
    return nrrd(gzip.compress(raw(values, dtype), 1), type=kind, **changes)


def written(folder: Path, content: bytes, name: str) -> Path:
    """The path of a new file."""
    path = folder / name
    path.write_bytes(content)
    return path


def leftovers(store: Store, table: Literal["annotation", "template"]) -> list[str]:
    """Files of annotations or templates that no row names, and temporaries."""
    recorded = set(store.sql(f"SELECT path FROM {table}")["path"])
    found = [*store.path.glob(f"volumes/{table}/*/*"), *store.path.glob("tmp/*")]
    return [path.name for path in found if path.relative_to(store.path).as_posix() not in recorded]


def damage(path: Path, how: str) -> None:
    """Cut a file ('cut'), flip a bit of it ('flipped') or give it the name of another content ('renamed')."""
    good = path.read_bytes()
    if how == "cut":
        path.write_bytes(good[:-1])
    elif how == "flipped":
        path.write_bytes(good[:500] + bytes([good[500] ^ 1]) + good[501:])
    elif how == "renamed":
        path.rename(path.with_name(f"{path.name.partition('.')[0]}.{'0' * 16}.h5"))
