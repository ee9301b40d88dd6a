"""Mutated inputs of readers: the right value or an error of the package, within limits. ``make fuzz`` adds coverage."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from bsv_store.documents import MAX_DEPTH, json_value
from bsv_store.errors import BsvStoreError
from bsv_store.formats.unionizes import unionize_table_from_rows
from tests.examples import examples
from tests.reliability.campaigns import campaign
from tests.reliability.fuzzing.target import MAX_INPUT_BYTES, Prepared, check, digest_of
from tests.reliability.fuzzing.targets import CORPUS, FOUND, TARGETS, inputs_in, share_of

CHECKOUT = Path(__file__).resolve().parents[2]
# Accepted inputs that are mutated further.
_POOL = 300
_POOL_BYTES = 200_000


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzing")


@pytest.fixture(scope="module")
def prepared() -> Iterator[dict[str, Prepared]]:
    targets: dict[str, Prepared] = {}
    yield targets
    for each in targets.values():
        each.close()


def _prepared(name: str, prepared: dict[str, Prepared], scratch: Path) -> tuple[Prepared, Path]:
    folder = scratch / name
    if name not in prepared:
        folder.mkdir()
        prepared[name] = TARGETS[name].prepare(folder)
    return prepared[name], folder


@pytest.mark.parametrize("name", TARGETS)
def test_a_mutated_input_gives_a_right_value_or_an_error_of_the_package(
    name: str, prepared: dict[str, Prepared], scratch: Path
) -> None:
    target = TARGETS[name]
    ready, folder = _prepared(name, prepared, scratch)
    accepted = [check(name, target, ready, seed, folder) for seed in ready.seeds]
    assert any(accepted), "no seed is valid"
    pool = [*ready.seeds, *(path.read_bytes() for path in inputs_in(CORPUS, name))]
    with campaign("fuzzing", part=name, share=share_of(name)) as trials:
        chance = random.Random(f"{name} {trials.seed}")
        for _ in range(trials.size):
            # HDF5 can crash when it changes a file that is damaged already.
            data = chance.choice(ready.seeds if target.has_hash else pool)
            for _ in range(1 if target.has_hash else chance.choice((1, 1, 2, 3))):
                data = target.mutate(data, chance)
            data = data[:MAX_INPUT_BYTES]
            if check(name, target, ready, data, folder) and len(pool) < _POOL and len(data) < _POOL_BYTES:
                pool.append(data)
            trials.done()


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=f"{path.parent.name}-{path.name}") for path in sorted(FOUND.glob("*/*"))]
)
def test_an_input_that_once_failed_passes(path: Path, prepared: dict[str, Prepared], scratch: Path) -> None:
    name = path.parent.name
    ready, folder = _prepared(name, prepared, scratch)
    check(name, TARGETS[name], ready, path.read_bytes(), folder)


def test_stored_inputs_are_small_and_named_by_their_hash() -> None:
    for path in (*CORPUS.glob("*/*"), *FOUND.glob("*/*")):
        assert path.parent.name in TARGETS
        assert path.name == digest_of(path.read_bytes())
        assert path.stat().st_size < 100_000


# What reads bytes from outside, and the modules that do, each behind a target. A module that is new here needs one.
_PARSERS = re.compile(
    r"json\.loads?\(|tomllib\.|zipfile\.ZipFile\(|zlib\.decompress|np\.(?:load|fromfile|loadtxt)\(|read_csv\("
    r"|csv\.(?:reader|DictReader)\(|nrrd\.read|loadmat\(|import pickle|yaml\.|h5py\.File\(.*\"r\"|opened_hdf5\("
)
_READERS = {
    "acquisition/tasks/orphans.py",
    "catalog/activity.py",
    "catalog/ingest/revisions.py",
    "datasets/history/rebuild.py",
    "datasets/result/file.py",
    "datasets/result/slabs.py",
    "datasets/result/verified.py",
    "datasets/result/weights.py",
    "datasets/share/bundle.py",
    "datasets/share/bundle_import.py",
    "datasets/share/npz.py",
    "datasets/version.py",
    "documents.py",
    "formats/delimited.py",
    "formats/envelope.py",
    "formats/fields.py",
    "formats/id_list.py",
    "formats/input_file.py",
    "formats/matlab.py",
    "formats/nrrd.py",
    "formats/nrrd_header.py",
    "formats/unionizes.py",
    "formats/zip_archive.py",
    "maintenance/object_checks.py",
    "maintenance/orphan_results.py",
    "reports/sources.py",
    "server/allen/files.py",
    "server/images/colors.py",
    "server/images/routes.py",
    "server/pages/failures.py",
    "sources/allen/decoding.py",
    "volumes/annotation.py",
    "volumes/dense_file.py",
    "volumes/packing.py",
    "volumes/template.py",
    "volumes/encoding.py",
    "volumes/hdf5_limits.py",
    "volumes/hdf5.py",
    "volumes/hdf5_probe.py",
    "volumes/large.py",
}


def test_every_module_that_parses_is_known() -> None:
    package = CHECKOUT / "bsv_store"
    found = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if _PARSERS.search(path.read_text("utf-8"))
    }
    assert sorted(found) == sorted(_READERS)


# -- structured inputs ------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


@examples(60)
@hypothesis.given(_JSON)
def test_json_values_are_read_as_by_the_standard_library(value: object) -> None:
    import json

    text = json.dumps(value)
    try:
        found = json_value(text)
    except ValueError:
        return
    assert found == json.loads(text)


@examples(60)
@hypothesis.given(st.integers(1, 3 * MAX_DEPTH), st.sampled_from("[{"))
def test_nesting_is_refused_from_one_depth_on(depth: int, mark: str) -> None:
    text = "[" * depth + "]" * depth if mark == "[" else '{"a":' * depth + "1" + "}" * depth
    is_allowed = depth <= MAX_DEPTH
    if is_allowed:
        json_value(text)
    else:
        with pytest.raises(ValueError, match="nested deeper"):
            json_value(text)


_CELLS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)


@examples(60)
@hypothesis.given(st.data())
def test_rows_with_any_values_give_a_finite_table_or_an_error_of_the_package(data: st.DataObject) -> None:
    from tests.formats import bodies

    rows = bodies.unionizes()
    row = dict(data.draw(st.sampled_from(rows)))
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(_CELLS)
    try:
        table = unionize_table_from_rows([*rows, row], what="rows")
    except BsvStoreError:
        return
    assert len(table) == len(rows) + 1


def test_the_address_space_is_not_limited() -> None:
    # Limits are measured, not set: a reader that handles MemoryError would hide a bomb.
    if os.name == "posix":
        import resource

        assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
