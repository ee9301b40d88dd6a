"""The packages that the extra ``stats`` installs, loaded when they are first needed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
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
    return _scipy("special", "p values of t")


def ndimage() -> Any:
    """The module ``scipy.ndimage``.

    Raises
    ------
    InputError
        If SciPy is not installed.
    """
    return _scipy("ndimage", "clusters of voxels")


def sparse() -> Any:
    """The module ``scipy.sparse``, with ``scipy.sparse.csgraph``.

    Raises
    ------
    InputError
        If SciPy is not installed.
    """
    found = _scipy("sparse", "clusters of voxels")
    import_module("scipy.sparse.csgraph")
    return found


def _scipy(module: str, what: str) -> Any:
    try:
        # SciPy loads its modules on access.
        return getattr(import_module("scipy"), module)
    except ImportError as error:
        raise InputError(f"{what} require SciPy, which is not installed", hint=_HINT) from error


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which each matrix product uses one thread, so that threads that compute products do not compete.

    Without threadpoolctl nothing is limited: the results are the same, and take up to three times as much CPU time.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits
