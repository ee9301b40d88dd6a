"""The summary that Brain Street View prints, and its metadata CSV."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bsv_store.averaging.grouping.facts import is_known
from bsv_store.compat.inputs import Facts
from bsv_store.errors import InputError
from bsv_store.formats.output_file import written_whole

WILD_TYPE = "Wild-type"
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


def print_summary(facts: Sequence[Facts]) -> None:
    """Print how many experiments of which line and structure a call is about."""
    lines = [f"Experiments: {len(facts)}"]
    lines += _counted("Mouse lines", (str(item.fields["line"] or WILD_TYPE) for item in facts))
    lines += _counted("Primary injection structures", (item.primary_structure for item in facts))
    sys.stdout.write("\n".join(lines) + "\n")


def metadata_file(folder: Path, file_name: str) -> Path:
    """Path of the CSV of a call; its folder is made where it is missing.

    Raises
    ------
    InputError
        If the file name leads elsewhere, or the folder cannot be made.
    """
    if Path(file_name).name != file_name:
        raise InputError(f"file_name {file_name!r} is no plain name", hint="Name the folder in save_location.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}", hint="Name another save_location.") from error
    return folder / f"{file_name or 'connectivity_data'}_metadata.csv"


def write_metadata(target: Path, facts: Sequence[Facts], *, bsv_rules: bool) -> None:
    """Write the CSV, one row per experiment in call order.

    Raises
    ------
    InputError
        If it cannot be written.
    NoSpaceError
        If the disk is full.
    """
    unknown = 0.0 if bsv_rules else ""
    with written_whole(target, overwrite=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for item in facts:
            coordinates = (item.injection_ap, item.injection_dv, item.injection_ml)
            writer.writerow(
                (
                    item.experiment_id,
                    item.fields["line"] or WILD_TYPE,
                    item.primary_structure,
                    item.primary_structure_id,
                    *(float(value) if value is not None and is_known(value) else unknown for value in coordinates),
                    item.injection_volume or 0.0,
                    item.injection_intensity or 0.0,
                )
            )


def _counted(title: str, values: Iterable[str]) -> list[str]:
    counts = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    return [f"{title}:", *(f"  {value}: {count}" for value, count in counts)]
