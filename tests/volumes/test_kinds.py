"""Every kind of volume in the vocabulary can be stored and averaged."""

from __future__ import annotations

import io
from typing import get_args

import h5py
import numpy as np
import pytest

from bsv_store.averaging.units import unit_text
from bsv_store.check import choice
from bsv_store.errors import FormatError, InputError
from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store.volumes.checks import checked_volume
from bsv_store.volumes.encoding import encode
from bsv_store.volumes.grid import Grid

KINDS = get_args(VolumeKind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_has_the_unit_of_its_averages(kind: VolumeKind) -> None:
    volume = checked_volume(np.ones(Grid(100).shape), kind, what="x")
    with h5py.File(io.BytesIO(encode(volume, experiment_id=1, source="test").image)) as file:
        assert file.attrs["unit"].decode() == VOLUME_KINDS[kind].unit == unit_text(kind, "none")
        assert file.attrs["meaning"].decode() == VOLUME_KINDS[kind].meaning


@pytest.mark.parametrize("kind", KINDS)
def test_fractions_alone_are_bounded(kind: VolumeKind) -> None:
    array = np.full(Grid(100).shape, 2.0)
    if VOLUME_KINDS[kind].is_fraction:
        with pytest.raises(FormatError, match="fraction of a voxel"):
            checked_volume(array, kind, what="x")
    else:
        assert checked_volume(array, kind, what="x").array.max() == 2


@pytest.mark.parametrize("name", ["data_mask", "data-mask", "Data Mask"])
def test_kinds_are_found_in_any_spelling(name: str) -> None:
    assert choice("kind", name, VOLUME_KINDS).name == "data_mask"


@pytest.mark.parametrize("value", ["masks", 3, None])
def test_other_kinds_are_errors_that_list_the_valid_ones(value: object) -> None:
    with pytest.raises(InputError) as caught:
        choice("kind", value, VOLUME_KINDS)
    assert all(kind in caught.value.message for kind in KINDS)
