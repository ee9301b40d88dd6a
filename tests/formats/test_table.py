"""The table of image formats: every row holds volumes, masks and means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.datasets.share.export import VERSION_FORMATS
from bsv_store.errors import InputError
from bsv_store.formats.image import Image
from bsv_store.formats.table import IMAGE_FORMATS, FileFormat, format_of, write_file
from tests.formats.bodies import voxels
from tests.formats.images import image_of


def read(path: Path) -> NDArray[Any]:
    """The array in a file, read by another program, axes [ap, dv, ml] or [group, ap, dv, ml]."""
    if path.name.endswith(".npy"):
        return np.asarray(np.load(path))
    if path.name.endswith(".zarr"):
        import zarr

        return np.asarray(zarr.open_group(path, mode="r")["0"])
    if path.name.endswith(".nrrd"):
        import nrrd

        array, _ = nrrd.read(str(path))
    else:
        import nibabel

        array = np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj)
    return np.moveaxis(array, -1, 0) if array.ndim == 4 else array


@pytest.mark.parametrize("image_format", IMAGE_FORMATS, ids=lambda each: each.ending)
@pytest.mark.parametrize(
    "array", [voxels(), voxels() > 0.5, np.stack([voxels(), -voxels()])], ids=["volume", "mask", "mean"]
)
def test_every_format_holds_volumes_masks_and_means(
    tmp_path: Path, image_format: FileFormat[Image], array: NDArray[Any]
) -> None:
    path = tmp_path / f"a{image_format.ending}"
    write_file(image_of(array), path, IMAGE_FORMATS)
    np.testing.assert_array_equal(read(path), array)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_endings_are_unique() -> None:
    endings = [each.ending for each in VERSION_FORMATS]
    assert len(set(endings)) == len(endings)
    assert {each.ending for each in IMAGE_FORMATS} < set(endings)


@pytest.mark.parametrize(
    ("name", "ending"), [("A.NRRD", ".nrrd"), ("a.nii", ".nii"), ("a.nii.gz", ".nii.gz"), ("a.ome.zarr", ".zarr")]
)
def test_the_ending_selects_the_format(name: str, ending: str) -> None:
    assert format_of(Path(name), IMAGE_FORMATS).ending == ending


@pytest.mark.parametrize("name", ["a", "a.tif", "a.npy.gz", "nrrd"])
def test_other_endings_are_errors_that_list_the_valid_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        write_file(image_of(voxels()), tmp_path / name, IMAGE_FORMATS)
    assert caught.value.hint == "Valid endings are .nrrd, .nii, .nii.gz, .npy, .zarr."
    assert list(tmp_path.iterdir()) == []
