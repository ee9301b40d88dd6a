"""Bundles: one file with everything about a version, for import into another store or for an archive.

A zip file with ``bundle.json`` (origin, tags, hashes), ``result.nc`` (the result file, which contains recipe, inputs
and members), ``catalog.json`` (the experiments and the ontology), ``members.csv``, ``citation.txt``,
``references.bib`` and ``README.txt``. Reading a bundle checks everything: the hashes of the files, the fingerprint of
the inputs, the content hash of the arrays.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsv_store._version import __version__
from bsv_store.averaging.recorded import fingerprint_of
from bsv_store.catalog.portable import PortableCatalog, portable_from_json, portable_json
from bsv_store.datasets.groups import groups_of
from bsv_store.datasets.new_version import NewVersion
from bsv_store.datasets.provenance import Provenance
from bsv_store.datasets.refs import check_name, check_tag
from bsv_store.datasets.result.content_hash import arrays_without_groups, has_content
from bsv_store.datasets.result.file import EncodedResult, checked_stream
from bsv_store.datasets.result.slabs import TABLE, array_keys, verified_table
from bsv_store.datasets.share.bundle_schema import (
    CATALOG,
    EXPORT_HINT,
    MANIFEST,
    MANIFEST_BYTES,
    RESULT,
    TEXT_BYTES,
    check_archive,
    check_manifest,
    check_structure,
    check_values,
    read_inputs,
)
from bsv_store.datasets.share.citation import citation_of
from bsv_store.documents import json_value
from bsv_store.errors import BsvStoreError, DamagedFileError, FormatError, InputError
from bsv_store.formats.input_file import require_regular_file
from bsv_store.formats.zip_archive import ZIP_ERRORS, opened_archive, read_member
from bsv_store.volumes.files import store_errors
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS
from bsv_store.volumes.hdf5_probe import try_to_read

if TYPE_CHECKING:
    import h5py

    from bsv_store.averaging.recorded import RecordedInputs
    from bsv_store.datasets.share.source import VersionSource

BUNDLE_VERSION = 1

_BLOCK_BYTES = 1 << 20
# A fixed date, so that the same version gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_README = """\
This file holds one dataset version of a bsv-store: group averages of volumes of the Allen Mouse Brain Connectivity
Atlas, or a comparison of two groups, with everything that is needed to interpret them.

result.nc       the result: netCDF-4 (HDF5); open it with xarray, h5py, MATLAB's h5read, R's rhdf5 ...
catalog.json    the experiments as in the experiment list, and the structure ontology
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
    number : int
        Of the version in that store.
    version : NewVersion
    inputs : RecordedInputs
    result : EncodedResult
        A temporary file.
    catalog : PortableCatalog
        The experiments and the ontology.
    provenance : Provenance
    tags : tuple of str
    """

    name: str
    number: int
    version: NewVersion
    inputs: RecordedInputs
    result: EncodedResult
    catalog: PortableCatalog
    provenance: Provenance
    tags: tuple[str, ...]


def write_bundle(version: VersionSource, path: Path) -> None:
    """Write a version to a bundle; the same version and catalog give the same bytes.

    Raises
    ------
    InputError
        If the version was pickled, so that its catalog is not known.
    DamagedFileError
        If the result file in the store differs from what was published.
    """
    database = version.database
    if database is None:
        raise InputError(
            f"this copy of {version.ref} is not connected to its store, so its experiments are not known",
            hint=f"Look it up again: store.dataset({version.ref!r}).",
        )
    with database.reading() as connection:
        catalog = portable_json(connection, [each.experiment_id for each in version.experiments])
    provenance = version.provenance()
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
        "tags": list(version.tags),
        "provenance": asdict(replace(provenance, exported_as=provenance.exported_as or version.ref)),
        "catalog_sha256": hashlib.sha256(catalog.encode()).hexdigest(),
    }
    citation = citation_of(version)
    texts = {
        MANIFEST: json.dumps(manifest, indent=2),
        "README.txt": _README,
        CATALOG: catalog,
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
        with archive.open(zipfile.ZipInfo(RESULT, _DATE), "w") as target:
            while block := stream.read(_BLOCK_BYTES):
                target.write(block)


def read_bundle(path: Path, temporary: Path) -> Bundle:
    """The content of a bundle, with every part checked; see `bsv_store.datasets.share.bundle_schema`.

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
        with path.open("rb") as source, opened_archive(source) as archive:
            check_archive(archive, path)
            text = read_member(archive, archive.getinfo(MANIFEST), MANIFEST_BYTES)
            manifest = check_manifest(json_value(text), path, version=BUNDLE_VERSION)
            catalog = _catalog(archive, manifest, path)
            _extract(archive, manifest, path, temporary)
    except ZIP_ERRORS as error:
        if isinstance(error, BsvStoreError):
            raise
        raise FormatError(f"{path} is not a readable bundle: {error}", hint=EXPORT_HINT) from error
    return _checked(path, manifest, temporary, catalog)


def _catalog(archive: zipfile.ZipFile, manifest: Mapping[str, Any], path: Path) -> PortableCatalog:
    content = read_member(archive, archive.getinfo(CATALOG), TEXT_BYTES)
    if hashlib.sha256(content).hexdigest() != manifest["catalog_sha256"]:
        raise FormatError(f"the {CATALOG} in {path} differs from what was exported", hint=EXPORT_HINT)
    return portable_from_json(content.decode(), f"the {CATALOG} in {path}")


def _extract(archive: zipfile.ZipFile, manifest: Mapping[str, Any], path: Path, temporary: Path) -> None:
    """Write the result file to a temporary path."""
    size_bytes, digest = 0, hashlib.sha256()
    is_whole = archive.getinfo(RESULT).file_size == manifest["size_bytes"]
    if is_whole:
        with store_errors(temporary):
            target = temporary.open("xb")
        with target, archive.open(RESULT) as stream:
            while block := stream.read(_BLOCK_BYTES):
                size_bytes += len(block)
                digest.update(block)
                with store_errors(temporary):
                    target.write(block)
    if not is_whole or size_bytes != manifest["size_bytes"] or digest.hexdigest() != manifest["file_sha256"]:
        raise FormatError(f"the result file in {path} differs from what was exported", hint=EXPORT_HINT)


def _checked(path: Path, manifest: Mapping[str, Any], result: Path, catalog: PortableCatalog) -> Bundle:
    name = check_name(manifest["name"])
    tags = tuple(check_tag(tag) for tag in manifest["tags"])
    try:
        try_to_read(result)
        # Its bytes were checked when it was extracted.
        with result.open("rb") as stream, opened_hdf5(stream, what="it") as file:
            inputs, content_sha256 = _verified(path, manifest, file)
    except (*HDF5_ERRORS, DamagedFileError) as error:
        if isinstance(error, FormatError) and error.hint is not None:
            raise
        problem = error.message if isinstance(error, BsvStoreError) else str(error)
        raise FormatError(
            f"the result file in {path} is not valid: {problem}", hint=_other_release(manifest["software"])
        ) from error
    version = NewVersion(
        recipe=inputs.recipe,
        fingerprint=manifest["fingerprint"],
        algorithm_version=manifest["algorithm_version"],
        groups=groups_of(inputs),
        experiments=inputs.experiments(),
        created_by=manifest["created_by"],
        software=manifest["software"],
        created_at=manifest["created_at"],
    )
    described, selected = (
        {each.id for each in catalog.experiments.experiments},
        {each.experiment_id for each in inputs.experiments()},
    )
    if described != selected:
        raise FormatError(f"the {CATALOG} in {path} does not have the experiments of the version", hint=EXPORT_HINT)
    encoded = EncodedResult(result, manifest["size_bytes"], manifest["file_sha256"], content_sha256)
    provenance = Provenance(**manifest["provenance"])
    return Bundle(name, manifest["number"], version, inputs, encoded, catalog, provenance, tags)


def _other_release(software: str) -> str:
    here = f"bsv-store {__version__}"
    if software.split(",")[0] == here:
        return EXPORT_HINT
    return (
        f"It was computed with {software.split(',')[0]}, this is {here}. Recompute the average with this release, "
        "or open the result.nc in the bundle with xarray or h5py."
    )


def _verified(path: Path, manifest: Mapping[str, Any], file: h5py.File) -> tuple[RecordedInputs, str]:
    """The inputs and the content hash, both checked against the manifest."""
    text, inputs = read_inputs(file, path)
    if fingerprint_of(text) != manifest["fingerprint"]:
        raise FormatError(f"the inputs in {path} do not match its fingerprint", hint=EXPORT_HINT)
    if inputs.algorithm_version != manifest["algorithm_version"]:
        raise FormatError(f"the algorithm versions in the manifest and the inputs of {path} differ", hint=EXPORT_HINT)
    check_structure(file, inputs, path)
    content_sha256: str = manifest["content_sha256"]
    if not has_content(file, inputs.recipe, content_sha256):
        raise FormatError(f"the arrays in {path} do not match their hash", hint=EXPORT_HINT)
    arrays = arrays_without_groups(inputs.recipe)
    keys = array_keys(inputs.recipe.statistics, len(inputs.groups), arrays)
    if TABLE in file and verified_table(file, keys, file[TABLE].shape[1], content_sha256) is None:
        raise FormatError(f"the array {TABLE} in {path} does not match the arrays", hint=EXPORT_HINT)
    check_values(file, inputs, path)
    return inputs, content_sha256
