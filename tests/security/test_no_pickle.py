"""No file or message can run code: nothing is unpickled, evaluated or passed to a shell."""

from __future__ import annotations

import ast
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store.errors import FormatError
from bsv_store.formats.matlab import read_injection_info
from bsv_store.formats.npy import read_npy
from tests.security.source import calls, imported, keywords

# -- the source -------------------------------------------------------------------------------------------------------

_MODULES = ("pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml", "jsonpickle", "copyreg")
_METHODS = ("read_pickle", "to_pickle", "load_extension", "enable_load_extension", "literal_eval", "system", "popen")


def test_no_module_unpickles() -> None:
    found = [(path, name) for path, name in imported() if name.partition(".")[0] in _MODULES]
    assert found == []


def test_numpy_files_are_read_in_one_place() -> None:
    # numpy.load also takes archives, and allocates what a header states; numpy.fromfile knows no header at all.
    names = ("np.load", "numpy.load", "np.fromfile", "np.memmap", "np.lib.format.read_array", "np.genfromtxt")
    assert [path for path, name, _ in calls() if name in names] == []
    opening = {path for path, name, _ in calls() if name.startswith("np.lib.format.read_")}
    assert opening == {"bsv_store/formats/npy.py"}


def test_numpy_files_are_written_without_pickles() -> None:
    checked = 0
    for path, name, call in calls():
        if name in ("np.save", "np.savez", "np.savez_compressed", "np.lib.format.write_array"):
            value = keywords(call).get("allow_pickle")
            assert value is not None, path
            assert ast.literal_eval(value) is False, path
            checked += 1
    assert checked, "no array is written: is numpy imported under another name?"


def test_no_text_is_run_as_code() -> None:
    found = [(path, name) for path, name, _ in calls() if name in ("eval", "exec", "compile", "__import__")]
    found += [(path, name) for path, name, _ in calls() if name.rpartition(".")[2] in _METHODS]
    assert found == []


def test_no_program_runs_through_a_shell() -> None:
    for path, name, call in calls():
        if name.startswith("subprocess."):
            assert ast.literal_eval(keywords(call).get("shell", ast.Constant(value=False))) is False, path


# -- files ------------------------------------------------------------------------------------------------------------


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "it ran")


def _object_array(canary: Canary) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([canary], object), allow_pickle=True)
    return file.getvalue()


def _objects_in_fields(canary: Canary) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([(canary, 1)], [("a", object), ("b", int)]), allow_pickle=True)
    return file.getvalue()


def _archive(canary: Canary) -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.array([canary], object))
    return file.getvalue()


def _archive_of_numbers(_canary: Canary) -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.arange(3))
    return file.getvalue()


def _protocol(number: int) -> Callable[[Canary], bytes]:
    return lambda canary: pickle.dumps(canary, number)


def _header(text: str, *, version: tuple[int, int] = (1, 0), data: bytes = b"") -> Callable[[Canary], bytes]:
    body = text.encode().ljust(117) + b"\n"
    length = len(body).to_bytes(2 if version == (1, 0) else 4, "little")
    return lambda _canary: b"\x93NUMPY" + bytes(version) + length + body + data


HOSTILE = {
    "an array of objects": _object_array,
    "objects in fields": _objects_in_fields,
    "an archive": _archive,
    "an archive of numbers": _archive_of_numbers,
    **{f"a pickle of protocol {number}": _protocol(number) for number in range(pickle.HIGHEST_PROTOCOL + 1)},
    "a header with code": _header("__import__('os').system('false')"),
    "a type that names objects": _header(
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", data=b"\x80\x04N."
    ),
    "a type in a list": _header("{'descr': [('a', '|O8')], 'fortran_order': False, 'shape': (1,), }"),
    "a large shape": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"),
    "a huge shape": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (10**30,), }"),
    "a negative shape": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }", data=bytes(8)),
    "a shape of text": _header("{'descr': '<f8', 'fortran_order': False, 'shape': ('a',), }"),
    "a shape of booleans": _header("{'descr': '<f8', 'fortran_order': False, 'shape': 'ab', }"),
    "no dict": _header("[1, 2]"),
    "nested lists": _header("[" * 4000),
    "many signs": _header("-" * 9000 + "1"),
    "another version": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", version=(9, 9)),
    "nothing": lambda _canary: b"",
    "the magic alone": lambda _canary: b"\x93NUMPY",
}


_REFUSED = "is not a NumPy file|contains Python objects|has the shape|has another size than its header states"


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_numpy_files_are_refused(what: str, tmp_path: Path) -> None:
    body = HOSTILE[what](Canary(tmp_path / "canary"))
    with pytest.raises(FormatError, match=_REFUSED):
        read_npy(io.BytesIO(body), what="a.npy", max_bytes=1 << 20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_matlab_files_are_refused(what: str, tmp_path: Path) -> None:
    body = HOSTILE[what](Canary(tmp_path / "canary"))
    with pytest.raises(FormatError):
        read_injection_info(body, what="a.mat")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype="<u4").reshape(2, 3, 4),
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.arange(3, dtype=">i2"),
        np.array(True),
        np.zeros((0, 3), "<f4"),
        np.array([(1, 2.5)], [("a", "<i8"), ("b", "<f8")]),
    ],
    ids=lambda each: f"{each.dtype.str}{each.shape}",
)
def test_arrays_of_numbers_are_read(array: np.ndarray[Any, Any]) -> None:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    file.seek(0)
    found = read_npy(file, what="a.npy", max_bytes=1_000_000)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_the_canary_writes_its_file_when_it_is_unpickled(tmp_path: Path) -> None:
    np.load(io.BytesIO(_object_array(Canary(tmp_path / "canary"))), allow_pickle=True)
    assert (tmp_path / "canary").read_text() == "it ran"
