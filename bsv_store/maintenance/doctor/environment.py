"""Checks of Python and of the packages: versions that are too old, or have known bugs."""

from __future__ import annotations

import importlib
import platform
import re
import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata

from bsv_store._version import __version__
from bsv_store.catalog.database.sqlite_errors import SAFE_WAL_VERSION
from bsv_store.maintenance.doctor.finding import Finding

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*(?P<least>[0-9.]+)(?:\s*;\s*(?P<marker>.*))?"
)
_EXTRAS = ("postgres", "plot", "xarray", "dask", "remote", "zarr", "fast")
_LEAST_PYTHON = (3, 11)
# Needed for RETURNING.
_LEAST_SQLITE = (3, 35, 0)


def environment_findings() -> Iterator[Finding]:
    """Check the versions of Python, of the required packages, of HDF5 and of SQLite, and the compiled loop."""
    yield _python()
    yield _packages()
    yield _hdf5()
    yield _sqlite()
    yield _compiled_loop()


def _python() -> Finding:
    details = {"python": platform.python_version(), "platform": platform.platform(), "bsv_store": __version__}
    found = f"Python {platform.python_version()} on {platform.platform()}, bsv-store {__version__}"
    if sys.version_info < _LEAST_PYTHON:
        return Finding("python", "fault", found, "Use Python 3.11 or newer.", details)
    if sys.version_info.releaselevel != "final":
        return Finding("python", "note", f"{found}: a prerelease", "Use a release of Python.", details)
    return Finding("python", "ok", found, None, details)


def _packages() -> Finding:
    try:
        required = metadata.requires("bsv-store") or []
    except metadata.PackageNotFoundError:
        return Finding("packages", "note", "bsv-store is not installed as a package", "pip install bsv-store")
    versions: dict[str, str] = {}
    problems: list[str] = []
    for requirement in required:
        found = _REQUIREMENT.match(requirement)
        marker = "" if found is None else found["marker"] or ""
        extra = re.search(r"""extra\s*==\s*["']([^"']+)""", marker)
        if found is None or (extra is not None and extra[1] not in _EXTRAS):
            continue
        try:
            version = metadata.version(found["name"])
        except metadata.PackageNotFoundError:
            if extra is None:
                problems.append(f"{found['name']} is missing")
            continue
        versions[found["name"]] = version
        if _numbers(version) < _numbers(found["least"]):
            problems.append(f"{found['name']} {version} is older than {found['least']}")
    if problems:
        return Finding("packages", "fault", "; ".join(problems), "pip install --upgrade bsv-store", versions)
    return Finding("packages", "ok", f"{len(versions)} packages, none too old", None, versions)


def _hdf5() -> Finding:
    try:
        import h5py
    except ImportError as error:
        return Finding("hdf5", "fault", f"h5py cannot be loaded: {error}", "pip install --force-reinstall h5py")
    used, built = h5py.version.hdf5_version_tuple, h5py.version.hdf5_built_version_tuple
    details = {"h5py": h5py.version.version, "hdf5": h5py.version.hdf5_version}
    found = f"h5py {h5py.version.version}, HDF5 {h5py.version.hdf5_version}"
    if used[:2] != built[:2]:
        return Finding(
            "hdf5",
            "warning",
            f"{found}, but h5py was built for HDF5 {'.'.join(map(str, built))}",
            "Reading may crash. Install h5py and HDF5 from one source: pip install --force-reinstall h5py",
            details,
        )
    return Finding("hdf5", "ok", found, None, details)


def _sqlite() -> Finding:
    version = sqlite3.sqlite_version
    details = {"sqlite": version}
    if sqlite3.sqlite_version_info < _LEAST_SQLITE:
        return Finding(
            "sqlite", "fault", f"SQLite {version} is too old", "Use a Python with SQLite 3.35 or newer.", details
        )
    if sqlite3.sqlite_version_info < SAFE_WAL_VERSION:
        needed = ".".join(map(str, SAFE_WAL_VERSION))
        return Finding(
            "sqlite",
            "note",
            f"SQLite {version}: a write-ahead log needs {needed}; the rollback journal, the default, works",
            None,
            details,
        )
    return Finding("sqlite", "ok", f"SQLite {version}", None, details)


def _compiled_loop() -> Finding:
    try:
        version = metadata.version("bsv-store-fast")
    except metadata.PackageNotFoundError:
        remedy = "Optional: pip install 'bsv-store[fast]'. Averages of many experiments then take half the time."
        return Finding("compiled_loop", "note", "not installed; averages are computed with NumPy", remedy)
    details = {"bsv_store_fast": version}
    try:
        importlib.import_module("bsv_store_fast")
    except ImportError as error:
        found = f"bsv-store-fast {version} cannot be loaded: {error}; averages are computed with NumPy"
        remedy = "pip install --force-reinstall bsv-store-fast"
        return Finding("compiled_loop", "warning", found, remedy, details)
    return Finding("compiled_loop", "ok", f"bsv-store-fast {version}", None, details)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(each) for each in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
