"""The compiled loops of averages, from the package bsv-store-fast (the extra ``fast``)."""

from __future__ import annotations

from types import ModuleType


def _installed() -> ModuleType | None:
    try:
        import bsv_store_fast
    except ImportError:
        return None
    return bsv_store_fast


loops = _installed()
"""The functions ``add_parts`` and ``add_moments``; None if the package is not installed.

They divide and add in one pass, and release the global interpreter lock. NumPy takes several passes; the results are
identical to the last bit.
"""
