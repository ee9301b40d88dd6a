"""SciPy, which the extra ``stats`` installs, loaded when it is first needed."""

from __future__ import annotations

from typing import Any

from bsv_store.errors import InputError

_HINT = "Install it: pip install 'bsv-store[stats]'"


def special() -> Any:
    """The module ``scipy.special``.

    Raises
    ------
    InputError
        If SciPy is not installed.
    """
    try:
        from scipy import special as module
    except ImportError as error:
        raise InputError("p values of t require SciPy, which is not installed", hint=_HINT) from error
    return module


def ndimage() -> Any:
    """The module ``scipy.ndimage``.

    Raises
    ------
    InputError
        If SciPy is not installed.
    """
    try:
        from scipy import ndimage as module
    except ImportError as error:
        raise InputError("clusters of voxels require SciPy, which is not installed", hint=_HINT) from error
    return module
