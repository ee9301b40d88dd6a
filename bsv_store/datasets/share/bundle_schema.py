"""The schema of bundles: what the manifest, the zip archive and the result file may contain.

The expected structure of the result file is not defined separately: the recorded inputs are decoded, an empty result
file is created for them as for any average, and the two are compared. Sizes are compared before content is read.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.averaging.comparison.structure_values import row_hash
from bsv_store.averaging.recorded import RecordedInputs
from bsv_store.datasets.provenance import Provenance
from bsv_store.datasets.result.columns import PROBABILITIES as COLUMN_PROBABILITIES
from bsv_store.datasets.result.columns import SIGNAL
from bsv_store.datasets.result.content_hash import arrays_without_groups
from bsv_store.datasets.result.contents import read_inputs as recorded_text
from bsv_store.datasets.result.file import ResultWriter
from bsv_store.datasets.result.slabs import TABLE
from bsv_store.errors import UPGRADE_HINT, FormatError, FrameError
from bsv_store.text import SHA256, listed, shown
from bsv_store.vocabulary import COMPARISON_MAPS, HEMISPHERE_RULES, STATISTICS
from bsv_store.volumes.grid import FRAME
from bsv_store.volumes.hdf5 import FILE_FORMAT
from bsv_store.volumes.hdf5_limits import check_chunk_size, check_storage

if TYPE_CHECKING:
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

EXPORT_HINT = "Export it again from the original store: bsv-store dataset export NAME FILE.bsv.zip"

# Arrays with values from 0 to 1.
PROBABILITIES = {row.name for row in COMPARISON_MAPS.values() if row.is_probability} | set(COLUMN_PROBABILITIES)

MANIFEST = "bundle.json"
RESULT = "result.nc"
CATALOG = "catalog.json"
TEXTS = ("README.txt", CATALOG, "members.csv", "citation.txt", "references.bib")

MANIFEST_BYTES = 100_000
TEXT_BYTES = 100_000_000
_INPUTS_BYTES = 200_000_000
_TYPES: Mapping[str, type] = {
    "bundle_version": int,
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
    "tags": list,
    "provenance": dict,
    "catalog_sha256": str,
}
_HASHES = ("fingerprint", "content_sha256", "file_sha256", "catalog_sha256")
_PROVENANCE = {each.name for each in fields(Provenance)}
_MAX_TEXT = 1_000
# The lower bound is before the first release; clocks of other machines may be some hours ahead.
_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
_CLOCK_SLACK = timedelta(days=1)


def check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Check the names, kinds and sizes of the files in a bundle before reading any of them.

    Raises
    ------
    FormatError
    """
    found = archive.infolist()
    names = sorted(each.filename for each in found)
    if names != sorted((MANIFEST, RESULT, *TEXTS)):
        unexpected = sorted({name for name in names if name not in (MANIFEST, RESULT, *TEXTS)})
        missing = sorted({MANIFEST, RESULT, *TEXTS}.difference(names))
        problem = (
            f"it contains {listed(map(shown, unexpected))}"
            if unexpected
            else f"it does not contain {listed(missing)}"
            if missing
            else "it contains a file twice"
        )
        raise FormatError(f"{path} is not a readable bundle: {problem}", hint=EXPORT_HINT)
    for each in found:
        kind = stat.S_IFMT(each.external_attr >> 16)
        if each.is_dir() or kind not in (0, stat.S_IFREG) or each.flag_bits & 1:
            raise FormatError(f"{path} is not a valid bundle: {each.filename} is not an ordinary file in it")
    sizes = {each.filename: each.file_size for each in found}
    if sizes[MANIFEST] > MANIFEST_BYTES or any(sizes[name] > TEXT_BYTES for name in TEXTS):
        raise FormatError(f"{path} is not a valid bundle: its {MANIFEST} or another text is too large")
    result = archive.getinfo(RESULT)
    if result.compress_type != zipfile.ZIP_STORED or result.file_size != result.compress_size:
        # A small compressed bundle could fill the disk.
        raise FormatError(f"{path} is not a valid bundle: its {RESULT} is compressed", hint=EXPORT_HINT)


def check_manifest(value: Any, path: Path, *, version: int) -> dict[str, Any]:
    """The manifest of a bundle, with every value checked; ``created_at`` is an aware datetime.

    Raises
    ------
    FormatError
    """
    if not isinstance(value, dict):
        raise FormatError(f"{path} is not a valid bundle: its {MANIFEST} is not a JSON object")
    if value.get("bundle_version") != version or isinstance(value["bundle_version"], bool):
        raise FormatError(
            f"{path} is a bundle of version {shown(value.get('bundle_version'))}; this bsv-store reads {version}",
            hint=UPGRADE_HINT,
        )
    if unknown := sorted(set(value).difference(_TYPES)):
        raise FormatError(f"{path} is not a valid bundle: its {MANIFEST} has the unknown part {shown(unknown[0])}")
    for key, kind in _TYPES.items():
        if type(value.get(key)) is not kind or not _is_plausible(key, value[key]):
            raise FormatError(f"{path} is not a valid bundle: {key} in its {MANIFEST} is {shown(value.get(key))}")
    return {**value, "created_at": _past_time(value["created_at"], path)}


def _is_plausible(key: str, value: Any) -> bool:
    if isinstance(value, int):
        # Number 0: it was computed outside of its store, which gave it no number.
        return (0 if key == "number" else 1) <= value < 2**63
    if key in _HASHES:
        return SHA256.fullmatch(value) is not None
    if isinstance(value, list):
        return len(value) <= _MAX_TEXT and all(isinstance(each, str) and _is_line(each) for each in value)
    if isinstance(value, dict):
        texts = [each for each in value.values() if each is not None]
        return set(value) == _PROVENANCE and all(isinstance(each, str) and _is_line(each) for each in texts)
    return _is_line(value)


def _is_line(value: str) -> bool:
    return 0 < len(value) <= _MAX_TEXT and value.isprintable()


def _past_time(text: str, path: Path) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError("it has no time zone")
        found = found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{path} is not a valid bundle: created_at is {shown(text)}: {error}") from error
    if not _EARLIEST <= found <= datetime.now(UTC) + _CLOCK_SLACK:
        raise FormatError(
            f"{path} is not a valid bundle: created_at must be between {_EARLIEST:%Y} and now, got {shown(text)}"
        )
    return found


def read_inputs(file: h5py.File, path: Path) -> tuple[str, RecordedInputs]:
    """The recorded inputs in an open result file, as text and decoded.

    Raises
    ------
    FrameError
        If its coordinates are in another frame.
    FormatError, InputError
        If they are not valid.
    """
    frame = file.attrs.get("frame")
    if frame != FRAME:
        raise FrameError(
            f"the coordinate frame of {path} must be {FRAME}, got {shown(frame)}",
            hint="Import the bundle into a store with the same coordinate frame.",
        )
    dataset = _dataset(file, "inputs", path)
    # Files of earlier versions have a scalar.
    # A string of fixed length could state any length.
    if dataset.shape not in ((), (1,)) or _text_type(dataset) != ("utf-8", None):
        raise _wrong(path, "inputs must be a single string")
    _check_storage(dataset, "inputs", path)
    if dataset.id.get_storage_size() > _INPUTS_BYTES:
        raise _wrong(path, "inputs is too large")
    text = recorded_text(file)
    return text, RecordedInputs.from_json(text)


def check_structure(file: h5py.File, inputs: RecordedInputs, path: Path) -> None:
    """Compare an open result file with the one that these inputs would have: names, shapes, types and small arrays.

    Raises
    ------
    FormatError
    """
    import h5py

    with h5py.File(io.BytesIO(), "w", libver=FILE_FORMAT) as model:
        ResultWriter(model, inputs, _not_finished, has_table=TABLE in file)
        if len(file) != len(model) or set(file) != set(model):
            unexpected, missing = sorted(set(file) - set(model)), sorted(set(model) - set(file))
            text = f"unexpected: {listed(unexpected) or 'none'}; missing: {listed(missing) or 'none'}"
            raise _wrong(path, f"it does not have the arrays of its recipe ({text})")
        arrays = (*inputs.recipe.statistics, *arrays_without_groups(inputs.recipe))
        for name in ("axis_order", "orientation", "recipe", "fingerprint", "spacing_um"):
            if not np.array_equal(file.attrs.get(name), model.attrs.get(name)):
                raise _wrong(path, f"its attribute {name} is {shown(file.attrs.get(name))}")
        if file.attrs.get("algorithm_version") != inputs.algorithm_version:
            raise _wrong(path, "its algorithm version differs from that of the inputs")
        for name in model:
            _check_dataset(
                _dataset(file, name, path),
                model[name],
                name,
                path,
                is_array=name in arrays,
            )


def _check_dataset(found: h5py.Dataset, expected: h5py.Dataset, name: str, path: Path, *, is_array: bool) -> None:
    _check_storage(found, name, path, check_chunk_size)
    if found.shape != expected.shape:
        raise _wrong(path, f"the shape of {name} must be {expected.shape}, got {found.shape}")
    if found.dtype != expected.dtype or _text_type(found) != _text_type(expected):
        raise _wrong(path, f"the dtype of {name} must be {expected.dtype}, got {found.dtype}")
    if found.maxshape != expected.maxshape or found.chunks != expected.chunks:
        raise _wrong(path, f"the chunks of {name} must be {expected.chunks}, got {found.chunks}")
    _check_storage(found, name, path)
    for attribute in ("units", "_FillValue"):
        one, other = found.attrs.get(attribute), expected.attrs.get(attribute)
        if not (one is other is None or np.array_equal(one, other, equal_nan=attribute == "_FillValue")):
            raise _wrong(path, f"{attribute} of {name} must be {shown(other)}, got {shown(one)}")
    if is_array or name in ("inputs", TABLE):
        return
    one, other = _values(found), _values(expected)
    if not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
        raise _wrong(path, f"{name} does not match the inputs")


def check_values(file: h5py.File, inputs: RecordedInputs, path: Path) -> None:
    """Check that all values in all arrays are possible.

    Raises
    ------
    FormatError
    """
    subtracts = HEMISPHERE_RULES[inputs.recipe.hemisphere_rule].subtracts
    for name in inputs.recipe.statistics:
        dataset, row = file[name], STATISTICS[name]
        may_be_negative = subtracts and row.can_be_negative
        for group in inputs.groups:
            for slab in range(0, dataset.shape[1], dataset.chunks[1]):
                block = dataset[group.number, slab : slab + dataset.chunks[1]]
                if row.is_count:
                    if int(block.max()) > group.n:
                        raise _wrong(path, f"{name} of group {group.number} is larger than its number of experiments")
                elif np.isinf(block).any():
                    raise _wrong(path, f"{name} of group {group.number} has infinite values")
                elif not may_be_negative and (block < 0).any():
                    raise _wrong(path, f"{name} of group {group.number} has negative values")
    _check_facts(file, inputs, path)
    for each in arrays_without_groups(inputs.recipe):
        values = file[each][:]
        # The t of values that do not vary within the groups is not a number; an infinite one would be wrong.
        if np.isinf(values).any():
            raise _wrong(path, f"{each} has infinite values")
        if each in PROBABILITIES and ((values < 0) | (values > 1)).any():
            raise _wrong(path, f"{each} has values outside 0 to 1")
        if each == SIGNAL:
            _check_signal(values, inputs, path)


def _check_facts(file: h5py.File, inputs: RecordedInputs, path: Path) -> None:
    """Check the facts about the test of a comparison, which are attributes of t."""
    comparison = inputs.recipe.comparison
    if comparison is None:
        return
    tests = "tested_voxels" if inputs.recipe.has_voxels else "tests"
    for name, most in (("permutations", comparison.permutations), ("exact", 1), (tests, file["t"].size)):
        value = file["t"].attrs.get(name)
        if not isinstance(value, np.integer) or not 0 <= value <= most:
            raise _wrong(path, f"the attribute {name} of t is {shown(value)}")


def _check_signal(values: NDArray[np.float64], inputs: RecordedInputs, path: Path) -> None:
    """Compare the values of the members with the hashes in the inputs."""
    hashes = [each.array_sha256 for each in inputs.members if each.group is not None]
    if [row_hash(row) for row in values[: len(hashes)]] != hashes or not np.isnan(values[len(hashes) :]).all():
        raise _wrong(path, f"{SIGNAL} does not match the inputs")


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """An array of a file from `opened_hdf5`, which contains only arrays."""
    if name not in file:
        raise _wrong(path, f"it has no array {name}")
    return file[name]


def _check_storage(
    dataset: h5py.Dataset, name: str, path: Path, check: Callable[[h5py.Dataset, str], None] = check_storage
) -> None:
    """Check that data are in the file, and that reading them takes no more memory than their shape states."""
    try:
        check(dataset, name)
    except ValueError as error:
        raise _wrong(path, str(error)) from error


def _text_type(dataset: h5py.Dataset) -> tuple[str, int | None] | None:
    import h5py

    found = h5py.check_string_dtype(dataset.dtype)
    return None if found is None else (found.encoding, found.length)


def _values(dataset: h5py.Dataset) -> Any:
    text = _text_type(dataset)
    # Fixed-length strings are compared as bytes.
    is_variable = text is not None and text[1] is None
    return np.asarray(dataset.asstr()[()] if is_variable else dataset[()])


def _wrong(path: Path, problem: str) -> FormatError:
    return FormatError(f"the result file in {path} is not valid: {problem}", hint=EXPORT_HINT)


def _not_finished() -> Any:
    raise AssertionError("the model of a result file is never finished")
