"""The cost of reading parts of volumes, and volumes at 25 um: ``python -m benchmarks.parts [--volumes N]``.

A part is a coronal slab (a tenth of the AP planes) or one structure (a box of the size of CP, 2.3 % of the voxels). The
volumes at 25 um are generated at 100 um; each voxel is divided into 64 with its value and added noise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generate import FIRST_ID, Volumes
from benchmarks.ours import peak_mb
from bsv_store import Selection
from bsv_store.atlas.masks import StructureVoxels
from bsv_store.averaging import passes
from bsv_store.averaging.grouping.assignment import Group
from bsv_store.averaging.inputs import Inputs, MemberInput
from bsv_store.averaging.recipe import Recipe
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile, publish_volume, read_slab
from bsv_store.volumes.volume import Volume

CHECKOUT = Path(__file__).resolve().parents[1]
SMALL = 40
LARGE = 6
ATLAS = 2_917
_REPEATS = 5

Results = dict[str, dict[str, float]]


def run(*, large: int = LARGE) -> Results:
    """Milliseconds per volume, megabytes and memory, for whole volumes and for parts."""
    with tempfile.TemporaryDirectory(prefix="bsv-benchmark-") as folder:
        files = StoreFiles(Path(folder))
        volumes = Volumes()
        found = [_publish(files, number, volumes.volume(number)) for number in range(SMALL)]
        results = {f"100 um, {what}": figures for what, figures in _parts(files, found).items()}
        command = [
            sys.executable,
            "-m",
            "benchmarks.parts",
            "--volumes",
            str(large),
            "--child",
            str(Path(folder) / "25"),
        ]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
        return {**results, **json.loads(done.stdout.splitlines()[-1])}


def _publish(files: StoreFiles, number: int, array: Any) -> VolumeFile:
    return publish_volume(
        files, Volume("projection_density", array), experiment_id=FIRST_ID + number, source="benchmark"
    )


def _parts(files: StoreFiles, found: list[VolumeFile]) -> Results:
    grid = found[0].layout.grid
    planes = grid.shape[0]
    slab = (planes * 45 // 100, planes * 55 // 100)
    voxels = StructureVoxels(_box(grid).astype(np.uint32), {1: [1]})

    def structure() -> None:
        for file in found:
            voxels.sums(read_slab(files, file, *voxels.planes))

    def read(first: int, last: int) -> Callable[[], Any]:
        return lambda: [read_slab(files, file, first, last) for file in found]

    tasks: dict[str, Callable[[], Any]] = {
        "whole: read and average": lambda: _average(files, found, (0, planes)),
        "slab: read and average": lambda: _average(files, found, slab),
        "structure: read and add up": structure,
        "whole: read": read(0, planes),
        "slab: read": read(*slab),
    }
    return {what: {"ms_a_volume": 1e3 * _best(task) / len(found)} for what, task in tasks.items()}


def _average(files: StoreFiles, found: list[VolumeFile], planes: tuple[int, int]) -> None:
    """The mean of some volumes on some AP planes, in the passes that `Store.aggregate` would use."""
    members = tuple(MemberInput(file.experiment_id, 0, file, divisor=0.3) for file in found)
    recipe = Recipe(selection=Selection(), spacing_um=found[0].spacing_um)
    group = Group(0, "all", tuple(file.experiment_id for file in found))
    for each in passes.cut(Inputs(recipe, (group,), members, ()), step=1):
        first, last = max(each.planes[0], planes[0]), min(each.planes[1], planes[1])
        if first < last:
            passes.run(files, recipe, replace(each, planes=(first, last)))


def _box(grid: Grid) -> Any:
    mask = np.zeros(grid.shape, np.bool_)
    ap, dv, ml = (int(size * share) for size, share in zip(grid.shape, (0.4, 0.35, 0.2), strict=True))
    mask[ap : ap + grid.shape[0] // 4, dv : dv + grid.shape[1] // 4, ml : ml + grid.shape[2] * 3 // 8] = True
    return mask


def _best(task: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(_REPEATS):
        start = time.process_time()
        task()
        seconds.append(time.process_time() - start)
    return min(seconds)


def _large(folder: Path, count: int) -> Results:
    """The same at 25 um, in a separate process whose memory is measured."""
    files, volumes = StoreFiles(folder), Volumes()
    start = time.process_time()
    found = [_publish(files, number, _fine(volumes.volume(number), number)) for number in range(count)]
    results: Results = {
        "25 um, encode and write": {
            "s_a_volume": (time.process_time() - start) / count,
            "mb_a_volume": sum(file.layout.size_bytes for file in found) / count / 1e6,
        }
    }
    # Peak memory is reset: from here on it is that of reading and averaging.
    Path("/proc/self/clear_refs").write_text("5")
    results |= {f"25 um, {what}": figures for what, figures in _parts(files, found).items()}
    results["25 um, reading and averaging"] = {"peak_mb": peak_mb()}
    results["25 um, linear model of one group"] = _linear_model(files, found)
    return results


def _linear_model(files: StoreFiles, found: list[VolumeFile]) -> dict[str, float]:
    """CPU time of an average as a linear model: a constant for sums and result, and a cost per volume."""
    planes = (0, found[0].layout.grid.shape[0])
    one, all_of_them = (_best(partial(_average, files, part, planes)) for part in (found[:1], found))
    each = (all_of_them - one) / (len(found) - 1)
    return {"fixed_s": one - each, "s_a_volume": each, "cpu_s_of_2917": one - each + each * ATLAS}


def _fine(array: Any, number: int) -> Any:
    fine = array.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    noise = np.random.default_rng(number).random(fine.shape, np.float32)
    fine *= noise
    return fine


def table(results: Results) -> str:
    """The results as text."""
    lines = [f"{'part':<36}figures"]
    for what, figures in results.items():
        lines.append(f"{what:<36}{', '.join(f'{name} {value:,.4g}' for name, value in figures.items())}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=LARGE, help="volumes at 25 um")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(_large(arguments.child, arguments.volumes)))
    else:
        print(table(run(large=arguments.volumes)))


if __name__ == "__main__":
    main()
