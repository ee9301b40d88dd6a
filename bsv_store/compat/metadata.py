"""The summary that Brain Street View prints, and its metadata CSV."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.errors import InputError
from bsv_store.formats.output_file import atomic_output
from bsv_store.volumes.grid import ARRAY_AXES

if TYPE_CHECKING:
    from bsv_store.averaging.grouping.facts import ExperimentFacts

# The word that Brain Street View writes.
_WILD_TYPE = "Wild-type"

COLUMNS = (
    "ExperimentID",
    "MouseLine",
    "InjectionRegion",
    "InjectionRegionID",
    "InjectionAP",
    "InjectionDV",
    "InjectionML",
    "InjectionVolume",
    "InjectionIntensity",
)


def print_summary(experiments: Sequence[ExperimentFacts]) -> None:
    """Print the number of experiments, in total and by line and primary structure."""
    lines = [f"Experiments: {len(experiments)}"]
    lines += _counted("Mouse lines", (str(each.fields["line"] or _WILD_TYPE) for each in experiments))
    lines += _counted("Primary injection structures", (each.primary_structure for each in experiments))
    sys.stdout.write("\n".join(lines) + "\n")


def metadata_file(folder: Path, file_name: str) -> Path:
    """Path of the CSV of a call; its folder is created if it does not exist.

    Raises
    ------
    InputError
        If the file name contains a folder, or the folder cannot be created.
    """
    if Path(file_name).name != file_name:
        raise InputError(f"file_name must not contain a folder, got {file_name!r}", hint="Use save_location for it.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"save_location {folder} cannot be created: {error.strerror}", hint="Choose another folder."
        ) from error
    return folder / f"{file_name or 'connectivity_data'}_metadata.csv"


def write_metadata(
    target: Path,
    experiments: Sequence[ExperimentFacts],
    injections: Mapping[int, tuple[float, float]],
    *,
    unknown: float | str,
) -> None:
    """Write the CSV, one row per experiment in call order.

    Parameters
    ----------
    injections : mapping of int to (float, float)
        Injection volume in mm3 and summed pixel intensity by experiment id; missing ones are written as 0.
    unknown : float or str
        Stands for unknown coordinates.

    Raises
    ------
    InputError
        If it cannot be written.
    NoSpaceError
        If the disk is full.
    """
    with atomic_output(target, overwrite=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for each in experiments:
            writer.writerow(
                (
                    each.experiment_id,
                    each.fields["line"] or _WILD_TYPE,
                    each.primary_structure,
                    each.primary_structure_id,
                    *(unknown if (um := each.coordinate(axis)) is None else um for axis in ARRAY_AXES),
                    *injections.get(each.experiment_id, (0.0, 0.0)),
                )
            )


def _counted(title: str, values: Iterable[str]) -> list[str]:
    counts = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    return [f"{title}:", *(f"  {value}: {count}" for value, count in counts)]
