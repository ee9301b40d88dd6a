"""The programs that docs/files.md names read what a store writes: its snippets are run, and the arrays compared.

On Debian: ``apt install octave octave-netcdf netcdf-bin r-bioc-rhdf5 r-cran-ncdf4``. The Python packages are in an
environment of their own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Selection, by_coordinate, create_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.integration.environments import READERS

pytestmark = pytest.mark.integration

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files.md"


@dataclass(frozen=True)
class Written:
    """The files that a store has written, and what is in them."""

    folder: Path
    mean: NDArray[np.float32]
    labels: list[str]
    volumes: dict[str, NDArray[Any]]
    mask: NDArray[np.bool_]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("readers")
    with SyntheticServer(SyntheticAtlas(experiments=4)) as server, create_store(folder / "store") as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_annotation(download_url=server.url)
        store.fetch(Selection(), api_url=server.url)
        first = store.select()[0]
        store.fetch(Selection(ids=[first]), kind="data_mask", api_url=server.url)
        version = store.aggregate(Selection(), name="all", group_by=by_coordinate("AP", bins=2), statistics=("sd", "n"))
        shutil.copy(version.path, folder / "result.nc")
        volumes: dict[str, NDArray[Any]] = {}
        for kind in ("projection_density", "data_mask"):
            shutil.copy(store.path / str(store.volumes.describe(first, kind=kind)["path"]), folder / f"{kind}.h5")
            volumes[kind] = store.volume(first, kind=kind)
        mask = store.atlas.mask("CP", hemisphere="left")
        for ending in ("nrrd", "nii.gz"):
            version.export(folder / f"mean.{ending}", group=1)
            store.volumes.export(first, folder / f"volume.{ending}")
            store.atlas.export_mask("CP", folder / f"mask.{ending}", hemisphere="left")
        store.atlas.export_mask("CP", folder / "allen.nrrd", hemisphere="left", like_allen=True)
        yield Written(folder, version.mean, [group.label for group in version.groups], volumes, mask)


def snippet(language: str, *words: str) -> str:
    """The only snippet of the page in a language that contains these words."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (text,) = [each for each in found if all(word in each for word in words)]
    return str(text)


def run(command: list[Any], folder: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def column_major(path: Path, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An array that Octave or R wrote as doubles, the first axis fastest."""
    return np.fromfile(path, "<f8").reshape(shape, order="F")


def needs(program: str, check: list[str], packages: str) -> None:
    if shutil.which(program) is None or subprocess.run(check, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{program} or one of its packages is not installed; on Debian: apt install {packages}")


# -- GNU Octave and R -------------------------------------------------------------------------------------------------


def octave(code: str, folder: Path) -> str:
    needs("octave", ["octave-cli", "--eval", "pkg load netcdf; exit"], "octave octave-netcdf")
    (folder / "script.m").write_text(code + "\nexit(0)\n", encoding="utf-8")
    return run(["octave-cli", "--quiet", "script.m"], folder)


def r(code: str, folder: Path, library: str) -> str:
    packages = {"rhdf5": "r-bioc-rhdf5", "ncdf4": "r-cran-ncdf4"}
    needs("Rscript", ["Rscript", "-e", f"library({library})"], packages[library])
    (folder / "script.R").write_text(code, encoding="utf-8")
    return run(["Rscript", "script.R"], folder)


def test_octave_reads_results(written: Written) -> None:
    save = """
    file = fopen('m.bin', 'w'); fwrite(file, m, 'double'); fclose(file);
    file = fopen('labels.txt', 'w'); fprintf(file, '%s\\n', labels{:}); fclose(file);
    printf('%d %d\\n', ap_um(1), ap_um(end));
    """
    out = octave(snippet("octave", "'mean'") + save, written.folder)
    shape = (*written.mean.shape[1:], len(written.mean))
    np.testing.assert_array_equal(np.moveaxis(column_major(written.folder / "m.bin", shape), -1, 0), written.mean)
    assert (written.folder / "labels.txt").read_text(encoding="utf-8").splitlines() == written.labels
    assert out.split() == ["50", "13150"]


@pytest.mark.parametrize("kind", ["projection_density", "data_mask"])
def test_octave_reads_volumes(written: Written, kind: str) -> None:
    shutil.copy(written.folder / f"{kind}.h5", written.folder / "volume.h5")
    save = "\nfile = fopen('v.bin', 'w'); fwrite(file, v, 'double'); fclose(file);\n"
    octave(snippet("octave", "volume.h5") + save, written.folder)
    volume = written.volumes[kind]
    np.testing.assert_array_equal(column_major(written.folder / "v.bin", volume.shape), volume)


@pytest.mark.parametrize("library", ["rhdf5", "ncdf4"])
def test_r_reads_results(written: Written, library: str) -> None:
    save = '\nwriteBin(as.numeric(m), "m.bin"); writeLines(as.character(labels), "labels.txt")\n'
    r(snippet("r", f"library({library})", "result.nc") + save, written.folder, library)
    shape = (*written.mean.shape[1:], len(written.mean))
    np.testing.assert_array_equal(np.moveaxis(column_major(written.folder / "m.bin", shape), -1, 0), written.mean)
    assert (written.folder / "labels.txt").read_text(encoding="utf-8").splitlines() == written.labels


@pytest.mark.parametrize("kind", ["projection_density", "data_mask"])
def test_r_reads_volumes(written: Written, kind: str) -> None:
    shutil.copy(written.folder / f"{kind}.h5", written.folder / "volume.h5")
    r(snippet("r", "volume.h5") + '\nwriteBin(as.numeric(v), "v.bin")\n', written.folder, "rhdf5")
    volume = written.volumes[kind]
    np.testing.assert_array_equal(column_major(written.folder / "v.bin", volume.shape), volume)


def test_ncdump_prints_the_header(written: Written) -> None:
    needs("ncdump", ["ncdump", "-h", str(written.folder / "result.nc")], "netcdf-bin")
    header = run(["ncdump", "-h", "result.nc"], written.folder)
    assert "float mean(group, ap, dv, ml) ;" in header
    assert 'mean:coordinates = "group_label group_n group_center group_lower group_upper"' in header
    assert "char group_label(group, label_length) ;" in header


# -- Python packages --------------------------------------------------------------------------------------------------


def python(code: str, folder: Path) -> str:
    if not READERS.is_there:
        pytest.skip(f"{READERS.client} have no environment here: `make test-integration` makes it, or says why not")
    return run([READERS.python, "-W", "error::RuntimeWarning", "-c", code], folder)


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_xarray_reads_the_same_with_both_engines(written: Written, engine: str) -> None:
    code = snippet("python", "xarray.open_dataset").replace("h5netcdf", engine)
    code += """
import numpy
numpy.save("mean.npy", result["mean"])
numpy.save("plane.npy", plane)
print(sorted(result.coords), result.group.values.tolist(), result.group_label.values.tolist(), sep="|")
"""
    coordinates, labels, characters = python(code, written.folder).strip().split("|")
    np.testing.assert_array_equal(np.load(written.folder / "mean.npy"), written.mean)
    np.testing.assert_array_equal(np.load(written.folder / "plane.npy"), written.mean[0, 84])
    names = re.findall(r"\w+", coordinates)
    assert {"group_n", "group_center", "group_lower", "group_upper", "ap", "member"} <= set(names)
    assert labels == characters == str(written.labels)


def test_simpleitk_reads_the_voxels(written: Written) -> None:
    python(snippet("python", "SimpleITK") + "\nimport numpy\nnumpy.save('mean.npy', mean)\n", written.folder)
    np.testing.assert_array_equal(np.load(written.folder / "mean.npy"), written.mean[1])


_PLACES = """
import json, nibabel, numpy, SimpleITK
found = {}
for name in ("mean.nrrd", "mean.nii.gz", "volume.nrrd", "volume.nii.gz", "mask.nrrd", "mask.nii.gz", "allen.nrrd"):
    image = SimpleITK.ReadImage(name)
    array = SimpleITK.GetArrayFromImage(image).transpose()
    numpy.save(name + ".npy", array)
    places = [image.TransformIndexToPhysicalPoint(index) for index in ((0, 0, 0), (84, 12, 90), (131, 79, 113))]
    if name.endswith(".nii.gz"):
        affine = nibabel.load(name).affine
        right_anterior_superior = [(affine @ (*index, 1))[:3] for index in ((0, 0, 0), (84, 12, 90), (131, 79, 113))]
        numpy.testing.assert_allclose(places, numpy.array(right_anterior_superior) * (-1, -1, 1), atol=1e-5)
    found[name] = {"places": places, "spacing": image.GetSpacing()}
print(json.dumps(found))
"""


def test_nrrd_and_nifti_lie_on_top_of_each_other(written: Written) -> None:
    """In ITK, as in ITK-SNAP and 3D Slicer, places are left, posterior, superior."""
    found = json.loads(python(_PLACES, written.folder))
    # AP, DV, ML of the three voxels, in mm.
    ccf = np.array([[0.05, 0.05, 0.05], [8.45, 1.25, 9.05], [13.15, 7.95, 11.35]])
    for name, facts in found.items():
        if name != "allen.nrrd":
            np.testing.assert_allclose(facts["places"], np.column_stack([-ccf[:, 2], ccf[:, 0], -ccf[:, 1]]), atol=1e-5)
            np.testing.assert_allclose(facts["spacing"], [0.1] * 3, rtol=1e-6)
    np.testing.assert_allclose(found["allen.nrrd"]["places"], [[0, 0, 0], [8400, 1200, 9000], [13100, 7900, 11300]])
    arrays = {"mean": written.mean[1], "volume": written.volumes["projection_density"], "mask": written.mask}
    for name in found:
        expected = arrays[name.split(".")[0].replace("allen", "mask")]
        np.testing.assert_array_equal(np.load(written.folder / f"{name}.npy"), expected, err_msg=name)
