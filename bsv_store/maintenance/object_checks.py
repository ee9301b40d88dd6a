"""Checks of one object of the store: its file, and what the file contains."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

import xxhash

from bsv_store.averaging.members import members_from_json
from bsv_store.averaging.recipe import Recipe
from bsv_store.averaging.recorded import fingerprint_of
from bsv_store.catalog.annotations import find_annotation
from bsv_store.catalog.templates import find_template
from bsv_store.catalog.volumes import find_volumes
from bsv_store.datasets.recorded_rows import as_recorded
from bsv_store.datasets.refs import parse_ref
from bsv_store.datasets.result.content_hash import has_content
from bsv_store.datasets.result.contents import read_inputs
from bsv_store.datasets.table import find_version
from bsv_store.documents import json_value
from bsv_store.errors import BsvStoreError, DamagedFileError, UnknownDatasetError
from bsv_store.file_systems import read_errors
from bsv_store.maintenance.findings import REPAIR, RESTORE, Finding, replace_version
from bsv_store.vocabulary import VOLUME_KINDS, VerifyDepth
from bsv_store.volumes.annotation import annotation_from_image
from bsv_store.volumes.encoding import array_sha256
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS, int_attribute, text_attribute
from bsv_store.volumes.library import VolumeFile, dense_slabs, read_array
from bsv_store.volumes.template import template_from_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.plausibility.judge import Plausibility
    from bsv_store.vocabulary import FindingKind
    from bsv_store.volumes.annotation import AnnotationFile
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.stored_object import StoredObject
    from bsv_store.volumes.template import TemplateFile

    T = TypeVar("T", AnnotationFile, TemplateFile)

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ObjectCheck:
    """The result of checking one object.

    Attributes
    ----------
    findings : tuple of Finding
    size_bytes : int
        Number of bytes that were read and hashed.
    found_sha256 : str or None
        Hash of the file's bytes; None if they were not read.
    was_decoded : bool
        Whether the content was decoded and compared with its recorded hash.
    """

    findings: tuple[Finding, ...] = ()
    size_bytes: int = 0
    found_sha256: str | None = None
    was_decoded: bool = False


@dataclass(frozen=True, slots=True)
class ObjectChecker:
    """Checks objects; may be used by several threads.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    plausibility : Plausibility or None
        Compares volumes with the catalog when they are decoded; it must have learned about their experiments.
    """

    database: Database
    files: StoreFiles
    plausibility: Plausibility | None = None

    def check(self, stored: StoredObject, depth: VerifyDepth, *, is_proven: bool) -> ObjectCheck:
        """Check an object.

        Parameters
        ----------
        is_proven : bool
            Whether the recorded hash of the content needs no proof at depth 'deep', because the row is sealed, or this
            content was decoded earlier.
        """
        found = quick_finding(self.files, stored)
        if found is not None and found.kind != "wrong_permissions":
            return ObjectCheck((found,))
        permissions = () if found is None else (found,)
        if depth == "quick":
            return ObjectCheck(permissions)
        if depth == "deep" or depth == "decode":
            checked = self._read(stored, decode=depth == "decode" or not is_proven)
            return ObjectCheck(
                (*permissions, *checked.findings), checked.size_bytes, checked.found_sha256, checked.was_decoded
            )
        assert_never(depth)

    def _read(self, stored: StoredObject, *, decode: bool) -> ObjectCheck:
        path = self.files.path(stored.path)
        try:
            sha256, size_bytes = file_sha256(path)
        except FileNotFoundError:
            return ObjectCheck((_finding(stored, "missing", "the file does not exist"),))
        except OSError as error:
            return ObjectCheck((_finding(stored, "unreadable", f"the file cannot be read: {error.strerror or error}"),))
        if sha256 != stored.file_sha256:
            text = "the bytes of the file are not the ones that were stored"
            return ObjectCheck((_finding(stored, "damaged_file", text),), size_bytes, sha256)
        if stored.kind == "volume":
            findings = self._volume(stored) if decode else []
        elif stored.kind == "annotation":
            findings = self._atlas_file(stored, find_annotation, _problem_of_annotation) if decode else []
        elif stored.kind == "template":
            findings = self._atlas_file(stored, find_template, _problem_of_template) if decode else []
        elif stored.kind == "version":
            findings = self._version(stored, decode=decode)
        else:
            assert_never(stored.kind)
        return ObjectCheck(tuple(findings), size_bytes, sha256, decode)

    # -- content ------------------------------------------------------------------------------------------------------

    def _volume(self, stored: StoredObject) -> list[Finding]:
        file = self.volume(stored)
        if file is None:
            return []
        try:
            problem = _problem_of_volume(self.files, file)
        except DamagedFileError as error:
            problem = error.message
        if problem is not None:
            return [_finding(stored, "damaged_content", problem)]
        if self.plausibility is None:
            return []
        verdict = self.plausibility.judge_stored(file)
        return [_finding(stored, "implausible", verdict.text)] if verdict.problems else []

    def volume(self, stored: StoredObject) -> VolumeFile | None:
        """The row of a volume; None if it has been deleted or replaced."""
        experiment_id, kind, spacing_um = volume_of_key(stored.key)
        with self.database.reading() as connection:
            file = find_volumes(connection, [experiment_id], kind=kind, spacing_um=spacing_um).get(experiment_id)
        return None if file is None or file.path != stored.path else file

    def _atlas_file(
        self,
        stored: StoredObject,
        find: Callable[[Connection, int], T | None],
        problem_of: Callable[[StoreFiles, T], str | None],
    ) -> list[Finding]:
        with self.database.reading() as connection:
            file = find(connection, spacing_of_key(stored.key))
        if file is None or file.path != stored.path:
            return []
        try:
            problem = problem_of(self.files, file)
        except DamagedFileError as error:
            problem = error.message
        return [] if problem is None else [_finding(stored, "damaged_content", problem)]

    def _version(self, stored: StoredObject, *, decode: bool) -> list[Finding]:
        try:
            version = find_version(self.database, self.files, parse_ref(ref_of_key(stored.key)), check_rows=False)
        except UnknownDatasetError:
            return []
        except BsvStoreError as error:
            remedy = replace_version(ref_of_key(stored.key))
            return [_finding(stored, "inconsistent_rows", error.message, remedy)]
        if version.relative_path != stored.path:
            return []
        try:
            return _problems_of_version(stored, version, decode=decode)
        except DamagedFileError as error:
            return [_finding(stored, "damaged_file", error.message)]
        except HDF5_ERRORS as error:
            return [_finding(stored, "damaged_content", f"the file cannot be decoded: {error}")]


def quick_finding(files: StoreFiles, stored: StoredObject) -> Finding | None:
    """The problem with presence, type, size or permissions of the file of an object, if any."""
    try:
        found = os.lstat(files.path(stored.path))
    except (FileNotFoundError, NotADirectoryError):
        return _finding(stored, "missing", "the file does not exist")
    except OSError as error:
        return _finding(stored, "unreadable", f"the file cannot be accessed: {error.strerror or error}")
    except DamagedFileError as error:
        return _finding(stored, "inconsistent_rows", error.message, RESTORE)
    return finding_of(files, stored, found.st_mode, found.st_size)


def finding_of(files: StoreFiles, stored: StoredObject, mode: int, size_bytes: int) -> Finding | None:
    """The problem with type, size or permissions of a file, if any."""
    if not stat.S_ISREG(mode):
        return _finding(stored, "wrong_type", f"it is a {_type_words(mode)}, not a regular file")
    if size_bytes != stored.size_bytes:
        return _finding(stored, "wrong_size", f"the file has {size_bytes:,} bytes, not {stored.size_bytes:,}")
    if missing_permissions(mode, files.file_mode):
        return _finding(stored, "wrong_permissions", permissions_text(mode, files.file_mode))
    return None


def missing_permissions(mode: int, wanted: int) -> int:
    """The permission bits that a file or folder should have but does not. Group sharing (setgid) is not compared."""
    return 0 if os.name == "nt" else wanted & 0o777 & ~mode


def permissions_text(mode: int, wanted: int) -> str:
    """The problem with permissions, in words."""
    return f"the permissions are {stat.S_IMODE(mode) & 0o777:03o}, not {wanted & 0o777:03o}"


def _type_words(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "folder"
    return "symbolic link" if stat.S_ISLNK(mode) else "special file"


# -- keys -------------------------------------------------------------------------------------------------------------


def volume_of_key(key: str) -> tuple[int, Any, int]:
    """Experiment id, kind and spacing in um of the volume with this key."""
    _, kind, spacing_um, experiment_id = key.split("/")
    return int(experiment_id), VOLUME_KINDS[kind].name if kind in VOLUME_KINDS else kind, int(spacing_um)


def spacing_of_key(key: str) -> int:
    """Spacing in um of the annotation or template with this key."""
    return int(key.rpartition("/")[2])


def ref_of_key(key: str) -> str:
    """Reference of the dataset version with this key, such as ``visual@3``."""
    return key.partition("/")[2]


# -- files ------------------------------------------------------------------------------------------------------------

_WRONG_XXH3 = "the recorded XXH3 is not that of the file, so it cannot be read"
_buffers = threading.local()


def file_sha256(path: os.PathLike[str] | str) -> tuple[str, int]:
    """SHA-256 of a file's bytes, and their number. Read in bounded memory; threads run in parallel.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    buffer = getattr(_buffers, "buffer", None)
    if buffer is None:
        buffer = _buffers.buffer = memoryview(bytearray(_BLOCK_BYTES))
    digest, size_bytes = hashlib.sha256(), 0
    with FileIO(os.fspath(path)) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            size_bytes += count
    return digest.hexdigest(), size_bytes


def _problem_of_volume(files: StoreFiles, file: VolumeFile) -> str | None:
    """Decode a volume as every reader does, and compare it with its row."""
    layout = file.layout
    stated = _stated(files, file)
    if stated != (file.kind, file.experiment_id, layout.grid.spacing_um):
        return "the file is that of another volume: {} of experiment {} at {} um".format(*stated)
    if layout.has_slabs:
        digest = hashlib.sha256()
        for _, slab in dense_slabs(files, file):
            digest.update(slab.astype("<f4", copy=False).data)
        found = digest.hexdigest()
    else:
        found = array_sha256(read_array(files, file))
    return None if found == layout.array_sha256 else "the decoded voxels are not the ones that were stored"


def _stated(files: StoreFiles, file: VolumeFile) -> tuple[str, int, int]:
    """Kind, experiment and spacing that the attributes of the file name."""
    try:
        with (
            files.opened(file.path, size_bytes=file.layout.size_bytes) as stream,
            opened_hdf5(stream, what=file.path) as opened,
        ):
            kind = text_attribute(opened, "kind")
            return kind, int_attribute(opened, "experiment_id"), int_attribute(opened, "spacing_um")
    except HDF5_ERRORS as error:
        raise DamagedFileError(f"the file cannot be decoded: {error}") from error


def _image(files: StoreFiles, file: AnnotationFile | TemplateFile) -> bytes | None:
    """The bytes of a file; None if the XXH3 in its row is not theirs."""
    with read_errors(files.path(file.path)):
        image = files.path(file.path).read_bytes()
    return image if xxhash.xxh3_64_hexdigest(image) == file.file_xxh3 else None


def _problem_of_template(files: StoreFiles, file: TemplateFile) -> str | None:
    image = _image(files, file)
    if image is None:
        return _WRONG_XXH3
    template, _ = template_from_image(image, what=file.path)
    if (template.grid, template.dtype, template.array_sha256) != (file.grid, file.dtype, file.array_sha256):
        return "the decoded values are not the ones that were stored"
    return None


def _problem_of_annotation(files: StoreFiles, file: AnnotationFile) -> str | None:
    image = _image(files, file)
    if image is None:
        return _WRONG_XXH3
    annotation, _ = annotation_from_image(image, what=file.path)
    if (annotation.grid, annotation.array_sha256) != (file.grid, file.array_sha256):
        return "the decoded ids are not the ones that were stored"
    if (len(annotation.structure_ids), annotation.annotated_voxels) != (file.structure_count, file.annotated_voxels):
        return "the numbers of structures and voxels are not the recorded ones"
    return None


def _problems_of_version(stored: StoredObject, version: DatasetVersion, *, decode: bool) -> list[Finding]:
    """Compare the result file of a version, whose bytes are intact, with its rows."""
    found = []
    with version.path.open("rb") as stream, opened_hdf5(stream, what=f"the file of {version.ref}") as file:
        text = read_inputs(file)
        if fingerprint_of(text) != version.fingerprint:
            problem = "the inputs in the file do not have the recorded fingerprint"
            return [_finding(stored, "wrong_fingerprint", problem, RESTORE)]
        found += [_finding(stored, "inconsistent_rows", problem, RESTORE) for problem in _contradictions(version, text)]
        if decode and not has_content(file, version.recipe, version.content_sha256):
            found.append(_finding(stored, "damaged_content", "the decoded arrays are not the ones that were stored"))
    return found


def _contradictions(version: DatasetVersion, text: str) -> list[str]:
    """How the rows of a version differ from the inputs in its file."""
    content = json_value(text)
    found = []
    if Recipe.from_json(content["recipe"]) != version.recipe:
        found.append("the recorded recipe is not the one in the file")
    if [group["label"] for group in content["groups"]] != [group.label for group in version.groups]:
        found.append("the recorded groups are not the ones in the file")
    if as_recorded(version, members_from_json(content)) != version.experiments:
        found.append("the recorded members are not the ones in the file")
    return found


def _finding(stored: StoredObject, kind: FindingKind, problem: str, remedy: str = REPAIR) -> Finding:
    return Finding(stored.key, stored.path, kind, problem, remedy)
