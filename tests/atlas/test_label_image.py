"""The annotation as a label image for ITK-SNAP and 3D Slicer."""

from __future__ import annotations

from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Store
from bsv_store.errors import FormatError, InputError, MissingDataError
from bsv_store.formats.label_files import Label, read_labels, write_color_table, write_label_description
from bsv_store.volumes.grid import Grid
from tests.datasets.world import MOP, VISL, VISP, VISPM, add_annotation, fill
from tests.stores import store_with

LARGE = 614454277


def blocks() -> NDArray[np.uint32]:
    """VISp and VISl inside VIS, which has voxels of its own; MOp; a structure that the ontology does not have."""
    array = np.zeros(Grid(100).shape, np.uint32)
    array[60:70, 10:20, 50:64] = VISP
    array[60:70, 20:25, 50:64] = VISL
    array[60:70, 25:27, 50:64] = 669
    array[3, 5, 4] = MOP
    array[100, 5:7, 4] = LARGE
    return array


def _fill(store: Store) -> None:
    fill(store)
    add_annotation(store, blocks())


annotated = store_with(_fill)


def test_labels_are_consecutive_and_their_tables_name_them(annotated: Store, tmp_path: Path) -> None:
    written = annotated.atlas.export_labels(tmp_path / "ccf.nrrd")
    image, header = nrrd.read(str(written.image))
    assert image.dtype == np.uint16
    assert written.structure_ids == (669, VISP, VISL, MOP, LARGE)
    back = np.array([0, *written.structure_ids], np.uint32)[image]
    np.testing.assert_array_equal(back, blocks())
    assert header["annotation_sha256"]
    # White in this ontology.
    assert written.labels[1] == Label(2, "VISp (the VISp)", (255, 255, 255))
    assert written.labels[-1].name == f"structure {LARGE}"
    assert (written.label_description.name, written.color_table.name) == ("ccf.label.txt", "ccf.ctbl")
    for path in (written.label_description, written.color_table):
        assert read_labels(path) == written.labels


def test_voxels_have_the_label_of_the_finest_of_the_structures(annotated: Store, tmp_path: Path) -> None:
    written = annotated.atlas.export_labels(tmp_path / "ccf.nii.gz", structures=["VISp", "VIS", "VISpm"])
    assert written.structure_ids == (669, VISP, VISPM)
    image = np.asarray(nibabel.Nifti1Image.from_filename(written.image).dataobj)
    assert image.dtype == np.uint16
    ids = blocks()
    np.testing.assert_array_equal(image == 1, np.isin(ids, [669, VISL]))
    np.testing.assert_array_equal(image == 2, ids == VISP)
    assert not (image > 2).any()


def test_nothing_is_written_if_a_file_exists_or_the_ending_is_unknown(annotated: Store, tmp_path: Path) -> None:
    (tmp_path / "ccf.ctbl").write_text("mine")
    with pytest.raises(InputError, match=r"ccf\.ctbl exists"):
        annotated.atlas.export_labels(tmp_path / "ccf.nrrd")
    with pytest.raises(InputError, match=r"\.docx"):
        annotated.atlas.export_labels(tmp_path / "ccf.docx")
    with pytest.raises(InputError, match="structures cannot be combined with structure_set"):
        annotated.atlas.export_labels(tmp_path / "x.nrrd", structures="VISp", structure_set=5)
    with pytest.raises(MissingDataError, match="no annotation at 25 um"):
        annotated.atlas.export_labels(tmp_path / "x.nrrd", spacing_um=25)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["ccf.ctbl"]
    annotated.atlas.export_labels(tmp_path / "ccf.nrrd", overwrite=True)
    assert read_labels(tmp_path / "ccf.ctbl")


def test_tables_are_in_the_documented_formats(tmp_path: Path) -> None:
    labels = (Label(1, 'VISp ("V1")', (8, 133, 140)), Label(65535, "CUL4, 5 (Lobules IV-V)", (255, 252, 145)))
    write_label_description(labels, tmp_path / "x.label.txt")
    lines = (tmp_path / "x.label.txt").read_text().splitlines()
    assert lines[1] == "# ITK-SnAP Label Description File"
    assert lines[-3].split() == ["0", "0", "0", "0", "0", "0", "0", '"Clear', 'Label"']
    assert lines[-2].split(maxsplit=7) == ["1", "8", "133", "140", "1", "1", "1", "\"VISp ('V1')\""]
    write_color_table(labels, tmp_path / "x.ctbl")
    lines = (tmp_path / "x.ctbl").read_text().splitlines()
    assert lines[0].startswith("# Color table file")
    assert lines[1:] == ["# 3 values", "0 Background 0 0 0 0", '1 VISp_("V1") 8 133 140 255',
                         "65535 CUL4,_5_(Lobules_IV-V) 255 252 145 255"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("x.label.txt", '1 2 3 a 1 1 1 "a"', "line 1 is not a label"),
        ("x.label.txt", '1 2 3 256 1 1 1 "a"', "line 1 is not a label"),
        ("x.ctbl", "1 a 0 0 0 255\n# more\n1 b 0 0 0 255", "line 3: the label 1 occurs twice"),
        ("x.ctbl", "1 a b 0 0 0 255", "line 1 is not a label"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, name: str, line: str, message: str) -> None:
    (tmp_path / name).write_text(line)
    with pytest.raises(FormatError, match=message):
        read_labels(tmp_path / name)
