"""One file with all of a dataset version, for another store to import and verify, or for an archive.

A zip file with ``bundle.json`` (what it is, hashes), ``result.nc`` (the result file as it stands in the store; it
carries recipe, inputs and members), ``members.csv``, ``citation.txt``, ``references.bib`` and ``README.txt``. On import
nothing is believed: the file against its hash, the fingerprint against the inputs that it is the hash of, the content
hash against the arrays.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsv_store.averaging.grouping.assignment import CoordinateRange
from bsv_store.averaging.inputs import fingerprint_of
from bsv_store.averaging.recipe import Recipe, canonical_json
from bsv_store.datasets.records import GroupInfo, Member, NewVersion
from bsv_store.datasets.refs import check_name
from bsv_store.datasets.result.file import checked_stream, content_hash, result_path
from bsv_store.datasets.share.citation import citation_of
from bsv_store.errors import BsvStoreError, FormatError, FrameError
from bsv_store.volumes.files import store_errors
from bsv_store.volumes.grid import FRAME

if TYPE_CHECKING:
    import h5py

    from bsv_store.datasets.stored import StoredVersion

BUNDLE_VERSION = 1

_RESULT = "result.nc"
_MANIFEST = "bundle.json"
_MANIFEST_BYTES = 100_000
_BLOCK_BYTES = 1 << 20
# One date for all: the same version gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_README = """\
This file holds one dataset version of a bsv-store: group averages of volumes of the Allen Mouse Brain Connectivity
Atlas, with all that is needed to know what they are.

result.nc       the averages: netCDF-4 (HDF5); open it with xarray, h5py, MATLAB's h5read, R's rhdf5 ...
members.csv     the experiments, their groups, and those that were left out with the reason
citation.txt    a draft of what to write in a paper; check it before you publish it
references.bib  the references
bundle.json     hashes and origin, for `bsv-store dataset import`
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The checked content of a bundle.

    Attributes
    ----------
    name : str
        Of the dataset in the store that it comes from.
    result : pathlib.Path
        Where the result file is now.
    version : NewVersion
        What is to be recorded; its path is that under `name`.
    """

    name: str
    result: Path
    version: NewVersion


def write_bundle(version: StoredVersion, path: Path) -> None:
    """Write a version to a bundle; the same version gives the same bytes.

    Raises
    ------
    DamagedFileError
        If the result file in the store is not what was published.
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
        # The result file is compressed already.
        with archive.open(zipfile.ZipInfo(_RESULT, _DATE), "w") as target:
            while block := stream.read(_BLOCK_BYTES):
                target.write(block)


def read_bundle(path: Path, room: Path) -> Bundle:
    """The content of a bundle, every part of it checked; the result file, which may be large, goes to a path.

    Parameters
    ----------
    path : pathlib.Path
    room : pathlib.Path
        A temporary path for the result file; the caller removes it.

    Raises
    ------
    FormatError
        If it is no bundle, damaged, or its parts do not belong together.
    FrameError
        If its coordinates are those of another frame.
    NoSpaceError, StoreError
        If there is no room for the result file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _manifest(archive, path)
            _take_out(archive, manifest, path, room)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, BsvStoreError):
            raise
        raise FormatError(f"{path} is not a readable bundle: {error}", hint=_AGAIN) from error
    return _checked(path, manifest, room)


_AGAIN = "Export it again from the store that it comes from (`bsv-store dataset export NAME FILE.bsv.zip`)."


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    if archive.getinfo(_MANIFEST).file_size > _MANIFEST_BYTES:
        raise FormatError(f"{path} is no bundle: its {_MANIFEST} is far too large")
    value = json.loads(archive.read(_MANIFEST))
    if not isinstance(value, dict):
        raise FormatError(f"{path} is no bundle: its {_MANIFEST} is no object")
    if value.get("bundle_version") != BUNDLE_VERSION:
        raise FormatError(
            f"{path} is a bundle of version {value.get('bundle_version')!r}; this bsv-store reads {BUNDLE_VERSION}",
            hint="Upgrade the package: pip install --upgrade bsv-store",
        )
    for key, kind in _MANIFEST_TYPES.items():
        if not isinstance(value.get(key), kind) or isinstance(value.get(key), bool):
            raise FormatError(f"{path} is no bundle: {key} in its {_MANIFEST} is {value.get(key)!r}")
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


def _take_out(archive: zipfile.ZipFile, manifest: Mapping[str, Any], path: Path, room: Path) -> None:
    """Write the result file to a path."""
    size_bytes, digest = 0, hashlib.sha256()
    with store_errors(room):
        target = room.open("xb")
    with target, archive.open(_RESULT) as stream:
        # Never more than was announced, whatever the archive would unpack to.
        while size_bytes <= manifest["size_bytes"] and (block := stream.read(_BLOCK_BYTES)):
            size_bytes += len(block)
            digest.update(block)
            with store_errors(room):
                target.write(block)
    if size_bytes != manifest["size_bytes"] or digest.hexdigest() != manifest["file_sha256"]:
        raise FormatError(f"the result file in {path} is not what was exported", hint=_AGAIN)


def _checked(path: Path, manifest: Mapping[str, Any], result: Path) -> Bundle:
    import h5py

    name = check_name(manifest["name"])
    try:
        # Its bytes were hashed as they were written.
        with result.open("rb") as stream, h5py.File(stream, "r") as file:
            inputs, content_sha256 = _verified(path, manifest, file)
        created_at = datetime.fromisoformat(manifest["created_at"]).astimezone(UTC)
        recipe = Recipe.from_json(inputs["recipe"])
        groups, experiments = _groups(inputs), _experiments(inputs)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        if isinstance(error, BsvStoreError):
            raise
        raise FormatError(f"the result file in {path} is not one of a bsv-store: {error}", hint=_AGAIN) from error
    version = NewVersion(
        recipe=recipe,
        fingerprint=manifest["fingerprint"],
        algorithm_version=manifest["algorithm_version"],
        content_sha256=content_sha256,
        path=result_path(name, manifest["fingerprint"], manifest["file_sha256"]),
        size_bytes=manifest["size_bytes"],
        file_sha256=manifest["file_sha256"],
        groups=groups,
        experiments=experiments,
        created_by=manifest["created_by"],
        software=manifest["software"],
        created_at=created_at,
    )
    return Bundle(name, result, version)


def _verified(path: Path, manifest: Mapping[str, Any], file: h5py.File) -> tuple[dict[str, Any], str]:
    """The inputs and the content hash, both checked against the manifest."""
    if file.attrs["frame"] != FRAME:
        raise FrameError(
            f"{path} lies in the frame {file.attrs['frame']!r}, this store holds {FRAME}",
            hint="Frames are never mixed: keep it in a store of its own.",
        )
    text = file["inputs"].asstr()[()]
    inputs: dict[str, Any] = json.loads(text)
    if fingerprint_of(text) != manifest["fingerprint"] or canonical_json(inputs) != text:
        raise FormatError(f"the inputs in {path} do not have the fingerprint that they should have", hint=_AGAIN)
    if inputs["algorithm_version"] != manifest["algorithm_version"]:
        raise FormatError(f"{path} names two algorithm versions", hint=_AGAIN)
    content_sha256 = content_hash(file, inputs["recipe"]["statistics"])
    if content_sha256 != manifest["content_sha256"]:
        raise FormatError(f"the arrays in {path} do not have the hash that they should have", hint=_AGAIN)
    return inputs, content_sha256


def _groups(inputs: Mapping[str, Any]) -> tuple[GroupInfo, ...]:
    members: dict[int, list[int]] = {}
    for entry in inputs["members"]:
        members.setdefault(entry["group"], []).append(entry["experiment_id"])
    return tuple(
        GroupInfo.of(
            number, group["label"], [CoordinateRange(**part) for part in group["ranges"]], members.get(number, [])
        )
        for number, group in enumerate(inputs["groups"])
    )


def _experiments(inputs: Mapping[str, Any]) -> tuple[Member, ...]:
    members = [
        Member(
            entry["experiment_id"],
            entry["group"],
            divisor=entry["divisor"],
            injected_hemisphere=entry["injected"],
            array_sha256=entry["volume"],
            injection_fraction_sha256=entry["exclude"],
            data_mask_sha256=entry["weights"],
        )
        for entry in inputs["members"]
    ]
    left_out = [Member(entry["experiment_id"], None, reason=entry["reason"]) for entry in inputs["left_out"]]
    return tuple(sorted([*members, *left_out], key=lambda member: member.experiment_id))
