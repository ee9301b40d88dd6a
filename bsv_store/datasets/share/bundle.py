"""Bundles: one file with everything about a version, for import into another store or for an archive.

A zip file with ``bundle.json`` (origin, hashes), ``result.nc`` (the result file, which contains recipe, inputs and
members), ``members.csv``, ``citation.txt``, ``references.bib`` and ``README.txt``. Reading a bundle checks everything:
the hash of the file, the fingerprint of the inputs, the content hash of the arrays.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsv_store.averaging.grouping.assignment import CoordinateRange
from bsv_store.averaging.inputs import fingerprint_of
from bsv_store.averaging.members import Member, ids_by_group, members_from_json
from bsv_store.averaging.recipe import Recipe, canonical_json
from bsv_store.datasets.groups import GroupInfo
from bsv_store.datasets.new_version import NewVersion
from bsv_store.datasets.refs import check_name
from bsv_store.datasets.result.contents import read_inputs
from bsv_store.datasets.result.file import EncodedResult, checked_stream, content_hash
from bsv_store.datasets.share.citation import citation_of
from bsv_store.errors import BsvStoreError, FormatError, FrameError
from bsv_store.formats.input_file import require_regular_file
from bsv_store.volumes.files import store_errors
from bsv_store.volumes.grid import FRAME

if TYPE_CHECKING:
    import h5py

    from bsv_store.datasets.share.source import VersionSource

BUNDLE_VERSION = 1

_RESULT = "result.nc"
_MANIFEST = "bundle.json"
_MANIFEST_BYTES = 100_000
_BLOCK_BYTES = 1 << 20
# A fixed date, so that the same version gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_README = """\
This file holds one dataset version of a bsv-store: group averages of volumes of the Allen Mouse Brain Connectivity
Atlas, with everything that is needed to interpret them.

result.nc       the averages: netCDF-4 (HDF5); open it with xarray, h5py, MATLAB's h5read, R's rhdf5 ...
members.csv     the experiments, their groups, and those that were left out with the reason
citation.txt    a draft of the citation for a paper; check it before you publish it
references.bib  the references
bundle.json     hashes and origin, for `bsv-store dataset import`
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The checked content of a bundle.

    Attributes
    ----------
    name : str
        Of the dataset in the store that exported it.
    version : NewVersion
    result : EncodedResult
        A temporary file.
    """

    name: str
    version: NewVersion
    result: EncodedResult


def write_bundle(version: VersionSource, path: Path) -> None:
    """Write a version to a bundle; the same version gives the same bytes.

    Raises
    ------
    DamagedFileError
        If the result file in the store differs from what was published.
    """
    manifest = {
        "bundle_version": BUNDLE_VERSION,
        "name": version.name,
        "number": version.number,
        "fingerprint": version.fingerprint,
        "content_sha256": version.content_sha256,
        "file_sha256": version.file_sha256,
        "size_bytes": version.size_bytes,
        "algorithm_version": version.algorithm_version,
        "created_at": version.created_at.isoformat(),
        "created_by": version.created_by,
        "software": version.software,
    }
    citation = citation_of(version)
    texts = {
        _MANIFEST: json.dumps(manifest, indent=2),
        "README.txt": _README,
        "members.csv": version.members.to_csv(index=False, lineterminator="\n"),
        "citation.txt": str(citation),
        "references.bib": citation.bibtex,
    }
    with (
        checked_stream(
            version.path, size_bytes=version.size_bytes, file_sha256=version.file_sha256, what=version.ref
        ) as stream,
        zipfile.ZipFile(path, "w") as archive,
    ):
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), text, zipfile.ZIP_DEFLATED)
        # The result file is already compressed.
        with archive.open(zipfile.ZipInfo(_RESULT, _DATE), "w") as target:
            while block := stream.read(_BLOCK_BYTES):
                target.write(block)


def read_bundle(path: Path, temporary: Path) -> Bundle:
    """The content of a bundle, every part of it checked.

    Parameters
    ----------
    path : pathlib.Path
    temporary : pathlib.Path
        Where the result file is extracted, which may be large. The caller removes it.

    Raises
    ------
    FormatError
        If the file is not a valid bundle, or its parts are inconsistent.
    FrameError
        If its coordinates are in another frame.
    NoSpaceError, StoreError
        If the result file cannot be extracted.
    """
    require_regular_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _manifest(archive, path)
            _extract(archive, manifest, path, temporary)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, BsvStoreError):
            raise
        raise FormatError(f"{path} is not a readable bundle: {error}", hint=_EXPORT_HINT) from error
    return _checked(path, manifest, temporary)


_EXPORT_HINT = "Export it again from the original store: bsv-store dataset export NAME FILE.bsv.zip"


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    if archive.getinfo(_MANIFEST).file_size > _MANIFEST_BYTES:
        raise FormatError(f"{path} is not a valid bundle: its {_MANIFEST} is too large")
    value = json.loads(archive.read(_MANIFEST))
    if not isinstance(value, dict):
        raise FormatError(f"{path} is not a valid bundle: its {_MANIFEST} is not a JSON object")
    if value.get("bundle_version") != BUNDLE_VERSION:
        raise FormatError(
            f"{path} is a bundle of version {value.get('bundle_version')!r}; this bsv-store reads {BUNDLE_VERSION}",
            hint="Upgrade the package: pip install --upgrade bsv-store",
        )
    for key, kind in _MANIFEST_TYPES.items():
        if not isinstance(value.get(key), kind) or isinstance(value.get(key), bool):
            raise FormatError(f"{path} is not a valid bundle: {key} in its {_MANIFEST} is {value.get(key)!r}")
    return value


_MANIFEST_TYPES: Mapping[str, type] = {
    "name": str,
    "number": int,
    "fingerprint": str,
    "content_sha256": str,
    "file_sha256": str,
    "size_bytes": int,
    "algorithm_version": int,
    "created_at": str,
    "created_by": str,
    "software": str,
}


def _extract(archive: zipfile.ZipFile, manifest: Mapping[str, Any], path: Path, temporary: Path) -> None:
    """Write the result file to a temporary path."""
    size_bytes, digest = 0, hashlib.sha256()
    with store_errors(temporary):
        target = temporary.open("xb")
    with target, archive.open(_RESULT) as stream:
        # At most the announced size, even if the archive would decompress to more.
        while size_bytes <= manifest["size_bytes"] and (block := stream.read(_BLOCK_BYTES)):
            size_bytes += len(block)
            digest.update(block)
            with store_errors(temporary):
                target.write(block)
    if size_bytes != manifest["size_bytes"] or digest.hexdigest() != manifest["file_sha256"]:
        raise FormatError(f"the result file in {path} differs from what was exported", hint=_EXPORT_HINT)


def _checked(path: Path, manifest: Mapping[str, Any], result: Path) -> Bundle:
    import h5py

    name = check_name(manifest["name"])
    try:
        # Its bytes were checked when it was extracted.
        with result.open("rb") as stream, h5py.File(stream, "r") as file:
            inputs, content_sha256 = _verified(path, manifest, file)
        created_at = datetime.fromisoformat(manifest["created_at"]).astimezone(UTC)
        recipe = Recipe.from_json(inputs["recipe"])
        experiments = members_from_json(inputs)
        groups = _groups(inputs, experiments)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        if isinstance(error, BsvStoreError):
            raise
        raise FormatError(f"the result file in {path} is not valid: {error}", hint=_EXPORT_HINT) from error
    version = NewVersion(
        recipe=recipe,
        fingerprint=manifest["fingerprint"],
        algorithm_version=manifest["algorithm_version"],
        groups=groups,
        experiments=experiments,
        created_by=manifest["created_by"],
        software=manifest["software"],
        created_at=created_at,
    )
    return Bundle(name, version, EncodedResult(result, manifest["size_bytes"], manifest["file_sha256"], content_sha256))


def _verified(path: Path, manifest: Mapping[str, Any], file: h5py.File) -> tuple[dict[str, Any], str]:
    """The inputs and the content hash, both checked against the manifest."""
    if file.attrs["frame"] != FRAME:
        raise FrameError(
            f"{path} is in the frame {file.attrs['frame']!r}, this store is in {FRAME}",
            hint="Frames cannot be mixed: use another store.",
        )
    text = read_inputs(file)
    inputs: dict[str, Any] = json.loads(text)
    if fingerprint_of(text) != manifest["fingerprint"] or canonical_json(inputs) != text:
        raise FormatError(f"the inputs in {path} do not match its fingerprint", hint=_EXPORT_HINT)
    if inputs["algorithm_version"] != manifest["algorithm_version"]:
        raise FormatError(f"{path} has two different algorithm versions", hint=_EXPORT_HINT)
    content_sha256 = content_hash(file, inputs["recipe"]["statistics"])
    if content_sha256 != manifest["content_sha256"]:
        raise FormatError(f"the arrays in {path} do not match their hash", hint=_EXPORT_HINT)
    return inputs, content_sha256


def _groups(inputs: Mapping[str, Any], members: Sequence[Member]) -> tuple[GroupInfo, ...]:
    ids = ids_by_group(members)
    return tuple(
        GroupInfo.of(number, group["label"], [CoordinateRange(**part) for part in group["ranges"]], ids.get(number, []))
        for number, group in enumerate(inputs["groups"])
    )
