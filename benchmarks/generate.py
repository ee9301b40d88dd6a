"""Generated experiments that resemble real ones, as a Brain Street View cache and as a store that adopted it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store import Store, create_store, open_store
from bsv_store.catalog.records import UNIONIZE_FIELDS
from bsv_store.formats.nrrd import read_nrrd
from bsv_store.volumes.grid import Grid
from bsv_store_synthetic.wire import CSV_COLUMNS

GRID = Grid(100)
FIRST_ID = 800_000_000
INJECTION_ROWS = 66
# Real structures of the visual and motor areas: (id, acronym, name).
STRUCTURES = (
    (385, "VISp", "Primary visual area"),
    (409, "VISl", "Lateral visual area"),
    (985, "MOp", "Primary motor area"),
)


def experiment_ids(count: int) -> list[int]:
    """Ids of the first experiments."""
    return [FIRST_ID + number for number in range(count)]


def coordinates(number: int) -> tuple[int, int, int]:
    """Injection coordinate of an experiment in um, spread along AP."""
    return 6_000 + 10 * (number * 37 % 400), 1_000 + 10 * (number % 90), 7_000 + 10 * (number % 200)


class Volumes:
    """Density volumes with the number of non-zero voxels and the distribution of values of real ones.

    1.5 to 17 % of the voxels are non-zero, 7 % on average, in connected blobs; the values are distinct and
    heavy-tailed, with a median near 6.5e-4 and 1 as the maximum (measured on experiment 158375425).
    """

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self._fields = [_smooth_field(random) for _ in range(12)]
        self._orders = [np.argsort(field.reshape(-1))[::-1] for field in self._fields]

    def volume(self, number: int) -> NDArray[np.float32]:
        """float32, shape (ap, dv, ml); determined by the number."""
        random = np.random.default_rng(number + 1)
        share = float(np.clip(random.lognormal(np.log(0.062), 0.5), 0.015, 0.17))
        chosen = self._orders[number % len(self._orders)][: int(share * GRID.size)]
        values = np.exp(random.normal(np.log(6.5e-4), 2.5, len(chosen)))
        # The signal is strongest at the center of a blob, as around an injection.
        values = np.sort(np.minimum(values, 1.0))[::-1].astype(np.float32)
        volume = np.zeros(GRID.size, np.float32)
        volume[chosen] = np.maximum(values, np.float32(1e-9))
        return volume.reshape(GRID.shape)


class WarpedVolumes:
    """Copies of a real volume, each shifted and warped smoothly, with the spatial clustering of it.

    Parameters
    ----------
    file : pathlib.Path
        NRRD file of a projection density at 100 um, such as one of AllenSDK's cache.
    mirror : bool
        Mirror every second one. A store would refuse these, because the generated injections are on the right.
    """

    def __init__(self, file: Path, *, mirror: bool = False) -> None:
        self._mirror = mirror
        self._array = np.nan_to_num(read_nrrd(file, "projection_density", what=str(file), spacing_um=100).array)

    def volume(self, number: int) -> NDArray[np.float32]:
        """float32, shape (ap, dv, ml); determined by the number."""
        random = np.random.default_rng(number + 1)
        source = self._array[..., ::-1] if self._mirror and number % 2 else self._array
        shift = random.uniform(-10, 10, 3)
        places = []
        for axis, size in enumerate(GRID.shape):
            displacement = shift[axis] + random.normal(0, 3, (6, 5, 6))
            for each, length in enumerate(GRID.shape):
                displacement = _stretched(displacement, length, each)
            own = np.arange(size).reshape([-1 if each == axis else 1 for each in range(3)])
            places.append(np.clip(np.rint(own + displacement), 0, size - 1).astype(np.intp))
        volume: NDArray[np.float32] = source[tuple(places)]
        # Voxels that are sampled twice must not have equal values, which would compress better than real ones.
        volume *= random.uniform(0.5, 1, GRID.shape).astype(np.float32)
        return volume


def _stretched(array: NDArray[np.float64], size: int, axis: int) -> NDArray[np.float64]:
    """The array, linearly interpolated to a size along an axis."""
    place = np.linspace(0, array.shape[axis] - 1, size)
    low = np.minimum(place.astype(np.intp), array.shape[axis] - 2)
    share = (place - low).reshape([-1 if each == axis else 1 for each in range(array.ndim)])
    return np.asarray(np.take(array, low, axis) * (1 - share) + np.take(array, low + 1, axis) * share)


class ScatteredVolumes:
    """Volumes of 7 % of the voxels, anywhere: the worst case for caches."""

    def volume(self, number: int) -> NDArray[np.float32]:
        """float32, shape (ap, dv, ml); determined by the number."""
        random = np.random.default_rng(number + 1)
        volume = random.random(GRID.size, np.float32) + np.float32(1e-6)
        volume[random.random(GRID.size, np.float32) > 0.072] = 0
        return np.asarray(np.minimum(volume, 1).reshape(GRID.shape))


class VolumeSource(Protocol):
    """Anything that makes volumes."""

    def volume(self, number: int) -> NDArray[np.float32]:
        """float32, shape (ap, dv, ml); determined by the number."""


def write_cache(folder: Path, count: int, volumes: VolumeSource | None = None) -> Path:
    """Write a Brain Street View cache of the first experiments; existing files are kept."""
    volumes = volumes or Volumes()
    for number, experiment_id in enumerate(experiment_ids(count)):
        target = folder / str(experiment_id)
        if (target / "injectionSummary_all.json").exists():
            continue
        target.mkdir(parents=True, exist_ok=True)
        raw = volumes.volume(number).tobytes(order="F")
        (target / "density.raw").write_bytes(raw)
        (target / "injectionSummary_all.json").write_text(json.dumps(_injection_rows(number, experiment_id)))
    return folder


def write_catalog(file: Path, count: int) -> Path:
    """Write the experiments in the format of the web site's CSV export."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for number, experiment_id in enumerate(experiment_ids(count)):
            structure_id, acronym, name = STRUCTURES[number % len(STRUCTURES)]
            writer.writerow(
                {
                    "id": experiment_id,
                    "transgenic-line": "",
                    "product-id": 5,
                    "structure-id": structure_id,
                    "structure-abbrev": acronym,
                    "structure-name": name,
                    "name": f"generated-{number}",
                    "injection-volume": _injection_volume(number),
                    "injection-structures": _ruby(structure_id, acronym, name),
                    "gender": "M",
                    "strain": "C57BL/6J",
                    "sum": 10.0,
                    "structure-color": "08858c",
                    "num-voxels": "",
                    "injection-coordinates": str(list(coordinates(number))),
                    "selected": "false",
                    "experiment_page_url": f"https://connectivity.brain-map.org/projection/experiment/{experiment_id}",
                }
            )
    return file


def make_catalog(folder: Path, catalog: Path) -> None:
    """Create a store with the experiments, but without volumes."""
    with create_store(folder) as store:
        make_lists(store, folder.parent, catalog)


def make_store(folder: Path, cache: Path, catalog: Path) -> None:
    """Create a store and adopt the cache."""
    make_catalog(folder, catalog)
    with open_store(folder) as store:
        report = store.adopt(cache)
        assert not report.refused, report.refused[:3]


def make_lists(store: Store, folder: Path, catalog: Path) -> None:
    """Ingest the ontology, which is written to the folder, and the experiment list."""
    ontology = folder / "structures.json"
    ontology.write_text(json.dumps(_ontology()))
    store.ingest_structures(ontology)
    store.ingest_experiments(catalog, allow_shrinking=True)


def _ruby(structure_id: int, acronym: str, name: str) -> str:
    return f'[{{"id"=>{structure_id}, "abbreviation"=>"{acronym}", "name"=>"{name}"}}]'


def _smooth_field(random: np.random.Generator) -> NDArray[np.float64]:
    """Smoothed noise, whose upper quantiles form blobs."""
    field = random.normal(size=GRID.shape)
    for axis in range(3):
        for _ in range(4):
            field = (field + np.roll(field, 1, axis) + np.roll(field, -1, axis)) / 3
    return field


def _injection_volume(number: int) -> float:
    return 0.05 + 0.001 * (number % 400)


def _injection_rows(number: int, experiment_id: int) -> list[dict[str, object]]:
    rows = []
    for place in range(INJECTION_ROWS):
        structure, hemisphere = place // 3, place % 3 + 1
        volume = _injection_volume(number) * (0 if hemisphere == 1 else 1) * (1 if structure == 0 else 0.01 * structure)
        row: dict[str, object] = {field: 0.0 for field, _, dtype in UNIONIZE_FIELDS if dtype == "f8"}
        row |= {
            "section_data_set_id": experiment_id,
            "structure_id": 997 if structure == 0 else _LEAF_IDS[structure - 1],
            "hemisphere_id": hemisphere,
            "is_injection": True,
            "id": 1_000_000 + INJECTION_ROWS * number + place,
            "projection_volume": volume,
            "sum_pixel_intensity": volume * 1e11,
            "max_voxel_x": 0,
            "max_voxel_y": 0,
            "max_voxel_z": 0,
            "experimentID": experiment_id,
        }
        rows.append(row)
    return rows


_LEAF_IDS = tuple(range(5_000, 5_000 + INJECTION_ROWS))


def _ontology() -> list[dict[str, object]]:
    nodes = [(997, "root", "root", [997])]
    nodes += [(i, acronym, name, [997, i]) for i, acronym, name in STRUCTURES]
    nodes += [(i, f"leaf{i}", f"leaf {i}", [997, i]) for i in _LEAF_IDS]
    return [
        {
            "id": i,
            "acronym": acronym,
            "name": name,
            "structure_id_path": path,
            "rgb_triplet": [8, 133, 140],
            "graph_id": 1,
            "graph_order": order,
            "structure_set_ids": [],
        }
        for order, (i, acronym, name, path) in enumerate(nodes)
    ]
