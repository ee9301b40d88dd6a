"""Selections answered from memory: the same experiments and the same errors as from the database, or no answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from sqlalchemy import Connection

from bsv_store import Selection, Store
from bsv_store.catalog.selection.image import ExperimentImage
from bsv_store.catalog.selection.in_store import needs_unionizes
from bsv_store.errors import BsvStoreError, ExcludedExperimentError
from tests.catalog.small_catalog import EXCLUDED_IDS
from tests.catalog.test_selection_properties import selections
from tests.examples import examples

# What is left out is tested in test_without_unionizes.py.
pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")


@pytest.fixture(scope="module")
def images() -> dict[int, ExperimentImage]:
    """Images by store."""
    return {}


def _image(images: dict[int, ExperimentImage], store: Store) -> ExperimentImage:
    if id(store) not in images:
        with store.database.reading() as connection:
            images[id(store)] = ExperimentImage(connection)
    return images[id(store)]


def _from_memory(image: ExperimentImage, selection: Selection) -> Any:
    """The ids, the error, or None if the database must be asked."""
    try:
        found = image.selected(selection)
    except BsvStoreError as error:
        return type(error), error.message, error.hint
    return None if found is None else tuple(image.ids[found].tolist())


def _from_database(store: Store, selection: Selection) -> Any:
    try:
        return store.select(selection)
    except BsvStoreError as error:
        return type(error), error.message, error.hint


@examples(200)
@given(selection=selections)
def test_memory_agrees_with_the_database(
    excluding_store: Store, images: dict[int, ExperimentImage], selection: Selection
) -> None:
    found = _from_memory(_image(images, excluding_store), selection)
    assert found == _from_database(excluding_store, selection) or found is None
    assert found is not None or any(map(needs_unionizes, selection.leaves()))


def test_limits_are_included(excluding_store: Store, images: dict[int, ExperimentImage]) -> None:
    # Each differs from the one before by an experiment that is at the limit.
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"max_injection_volume": 0.102}, {"max_injection_volume": 0.1019}),
        ({"min_injection_volume": 0.206}, {"min_injection_volume": 0.2061}),
        ({"box": ((8100, 9000), None, None)}, {"box": ((8101, 9000), None, None)}),
        ({"box": ((7000, 8100), None, None)}, {"box": ((7000, 8099), None, None)}),
        ({"near": (8000, 1500, 3000), "radius_um": 500}, {"near": (8000, 1500, 3000), "radius_um": 499.9}),
    ]
    image = _image(images, excluding_store)
    for at, beyond in pairs:
        at, beyond = ({**each, "include_excluded": True, "include_withdrawn": True} for each in (at, beyond))
        assert _from_memory(image, Selection(**at)) == _from_database(excluding_store, Selection(**at))
        assert len(_from_memory(image, Selection(**beyond))) < len(_from_memory(image, Selection(**at)))


@examples(100)
@given(selection=selections)
def test_memory_knows_what_the_exclusion_list_removes(
    excluding_store: Store, images: dict[int, ExperimentImage], selection: Selection
) -> None:
    try:
        found = _image(images, excluding_store).excluded_from(selection)
    except ExcludedExperimentError:
        with pytest.raises(ExcludedExperimentError):
            excluding_store.catalog.excluded_from(selection)
        return
    if found is not None:
        expected = excluding_store.catalog.excluded_from(selection)
        assert list(found.items()) == list(expected.items())
    assert found is not None or any(map(needs_unionizes, selection.leaves()))


def test_the_exclusion_list_removes_experiments_from_all(
    excluding_store: Store, images: dict[int, ExperimentImage]
) -> None:
    found = _image(images, excluding_store).excluded_from(Selection(include_withdrawn=True))
    assert found == dict.fromkeys(sorted(EXCLUDED_IDS), "bad section")


@pytest.mark.parametrize(
    "criteria",
    [
        {"injected_in": ["VISp", "Visl", 4711, "V1"]},
        {"injected_in": "VISp, VISl"},
        {"line": ["wt", "Rbp4"]},
        {"line": "control"},
        {"product": [5, 17]},
        {"strain": "C57"},
        {"near": (8, 1.5, 8.5), "radius_um": 500},
        {"box": ((7, 8), None, None)},
        {"ids": [1, 4, 4711]},
        {"exclude_ids": [4711]},
        {"ids": [1, *EXCLUDED_IDS]},
    ],
)
def test_errors_are_those_of_the_database(
    excluding_store: Store, images: dict[int, ExperimentImage], criteria: dict[str, Any]
) -> None:
    expected = _from_database(excluding_store, Selection(**criteria))
    assert isinstance(expected[0], type)
    assert _from_memory(_image(images, excluding_store), Selection(**criteria)) == expected


def test_what_the_store_has_is_known_in_memory(filled: Store) -> None:
    selections: list[dict[str, Any]] = [
        {"with_volume": "projection_density"},
        {"with_volume": "projection_density", "with_volume_spacing_um": 25},
        {"with_volume": "injection_density"},
        {"with_unionizes": True},
        {"with_unionizes": False},
    ]
    with filled.database.reading() as connection:
        image = ExperimentImage(connection)
    for criteria in selections:
        assert _from_memory(image, Selection(**criteria)) == filled.select(Selection(**criteria)), criteria


@pytest.mark.parametrize(
    "criteria",
    [
        {"projecting_to": "CP"},
        {"injected_in": "VISp", "min_injection_overlap": 0.5},
        {"max_injection_outside_primary": 0.5},
        {"min_laterality_index": 0.0},
        {"max_laterality_index": 0.0},
    ],
)
def test_unionize_rows_are_left_to_the_database(reading: Connection, criteria: dict[str, Any]) -> None:
    image, selection = ExperimentImage(reading), Selection(**criteria)
    assert image.selected(selection) is None
    assert image.excluded_from(selection) is None
    assert image.selected(Selection(sex="F") - selection) is None


def test_a_catalog_without_experiments(empty_store: Store, images: dict[int, ExperimentImage]) -> None:
    image = _image(images, empty_store)
    everything: list[dict[str, Any]] = [
        {},
        {"injected_in": "VISp"},
        {"ids": 1},
        {"line": "wt"},
        {"near": (8000, 1500, 8500), "radius_um": 500},
    ]
    for criteria in everything:
        assert _from_memory(image, Selection(**criteria)) == _from_database(empty_store, Selection(**criteria))
