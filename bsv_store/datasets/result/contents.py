"""The parts of a result file other than the arrays of statistics: attributes, axes, groups, members and inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.averaging.comparison.structure_values import features
from bsv_store.averaging.inputs import ALGORITHM_VERSION
from bsv_store.averaging.members import MEMBER_COLUMNS, Member, MemberColumn
from bsv_store.vocabulary import AXES
from bsv_store.volumes.grid import FRAME, ORIENTATION, Grid

if TYPE_CHECKING:
    import h5py

    from bsv_store.averaging.inputs import Inputs
    from bsv_store.averaging.recorded import RecordedInputs


def software() -> str:
    """Versions of all software that affects the bytes of a result."""
    import platform

    import h5py

    from bsv_store._version import __version__

    return (
        f"bsv-store {__version__}, NumPy {np.__version__}, h5py {h5py.__version__}, "
        f"HDF5 {h5py.version.hdf5_version}, Python {platform.python_version()}"
    )


def write_description(file: h5py.File, inputs: Inputs | RecordedInputs) -> None:
    """Write the attributes of the file."""
    from bsv_store._version import __version__

    recipe = inputs.recipe
    title = "Group averages" if recipe.comparison is None else "Comparison of two groups"
    what, how, space = f"{title} of {recipe.quantity}", "averaged", {"orientation": ORIENTATION}
    if not recipe.has_voxels:
        what, how, space = f"{title} by structure: {recipe.quantity}", "compared", {}
    text = {
        "Conventions": "CF-1.10",
        "title": f"{what}, mouse brain",
        "source": "Allen Mouse Brain Connectivity Atlas, aggregated by bsv-store",
        "references": "https://connectivity.brain-map.org; Oh et al. 2014, doi:10.1038/nature13186",
        "frame": FRAME,
        **space,
        "axis_order": "group ap dv ml" if recipe.has_voxels else "member feature",
        # Contains no time, so that the same inputs give the same bytes; the catalog records the time.
        "history": f"bsv-store {__version__}: {how} (algorithm version {ALGORITHM_VERSION}) from the "
        f"{'volumes' if recipe.has_voxels else 'unionize tables'} that the variable inputs lists",
        "recipe": recipe.to_json(),
        "fingerprint": inputs.fingerprint(),
        "software": software(),
    }
    for name, value in text.items():
        file.attrs[name] = value
    file.attrs["algorithm_version"] = np.int64(ALGORITHM_VERSION)
    if recipe.has_voxels:
        file.attrs["spacing_um"] = np.int64(recipe.spacing_um)


def write_axes(file: h5py.File, grid: Grid, labels: Sequence[str]) -> None:
    """Write the dimensions group, ap, dv and ml."""
    write_labels(file, labels)
    for row in AXES.values():
        axis = row.name
        scale = file.create_dataset(axis.lower(), data=grid.centers_um(axis).astype("<f8"))
        describe_variable(scale, long_name=f"{axis}, {row.words}, voxel center", units="um")
        scale.make_scale(axis.lower())


def write_features(file: h5py.File, recorded: RecordedInputs) -> None:
    """Write the dimensions group and feature, and the structure and hemisphere of each feature."""
    comparison = recorded.recipe.structure_comparison
    assert comparison is not None
    write_labels(file, [group.label for group in recorded.groups])
    columns = features(comparison, recorded.structures)
    feature = file.create_dataset("feature", data=np.arange(len(columns), dtype="<i4"))
    describe_variable(feature, long_name="structure and hemisphere")
    feature.make_scale("feature")
    identifiers = file.create_dataset("structure_id", data=np.array([each.id for _, each in columns], "<i8"))
    describe_variable(identifiers, long_name="structure id (Allen)")
    texts: list[tuple[str, list[str], str]] = [
        ("structure", [each.acronym for _, each in columns], "acronym of the structure"),
        ("structure_name", [each.name for _, each in columns], "name of the structure"),
        ("hemisphere", [str(side) for side, _ in columns], "hemisphere of the structure"),
    ]
    for dataset in (identifiers, *(_write_text(file, *each) for each in texts)):
        dataset.dims[0].attach_scale(feature)


def write_labels(file: h5py.File, labels: Sequence[str]) -> None:
    """Write the group labels as strings, and as NUL-padded character arrays, which all netCDF readers support."""
    groups = _write_text(file, "group", labels, "label of the group")
    groups.make_scale("group")
    encoded = [label.encode() for label in labels]
    width = max(1, *map(len, encoded))
    length = write_dimension(file, "label_length", width)
    padded = np.array(encoded, f"S{width}")
    characters = file.create_dataset("group_label", data=padded.view("S1").reshape(len(labels), width))
    characters.dims[0].attach_scale(groups)
    characters.dims[1].attach_scale(length)
    describe_variable(characters, long_name="label of the group, in characters", encoding="utf-8")


def write_groups(file: h5py.File, inputs: Inputs | RecordedInputs) -> list[str]:
    """Write the variables that describe the groups; returns their names."""
    names = ["group_label", "group_n"]
    groups, scale = inputs.groups, file["group"]
    counts = file.create_dataset("group_n", data=np.array([group.n for group in groups], "<i8"))
    describe_variable(
        counts, long_name="number of experiments in the group; 0 = the mean is 0 and has no meaning", units="1"
    )
    counts.dims[0].attach_scale(scale)
    factors = max((len(group.ranges) for group in groups), default=0)
    for factor in range(max(1, factors)):
        # The names of a second coordinate factor have a suffix; most results have one factor or none.
        suffix = f"_{factor + 1}" if factor else ""
        for name in ("center", "lower", "upper"):
            values = [_range_value(group.ranges, factor, name) for group in groups]
            names.append(f"group_{name}{suffix}")
            dataset = file.create_dataset(names[-1], data=np.array(values, "<f8"))
            what = "mean injection coordinate of the members" if name == "center" else f"{name} edge of the bin"
            axis = next((group.ranges[factor].axis for group in groups if len(group.ranges) > factor), "none")
            describe_variable(dataset, long_name=f"{what}, NaN = none", units="um", axis_name=axis)
            dataset.dims[0].attach_scale(scale)
    return names


def _range_value(ranges: Sequence[Any], factor: int, name: str) -> float:
    value = getattr(ranges[factor], f"{name}_um") if factor < len(ranges) else None
    return float("nan") if value is None else float(value)


def write_members(file: h5py.File, inputs: Inputs | RecordedInputs) -> None:
    """Write the experiments, members first, then those left out."""
    ordered = sorted(inputs.experiments(), key=lambda each: each.group is None)
    scale = file.create_dataset("member", data=np.array([each.experiment_id for each in ordered], "<i8"))
    describe_variable(scale, long_name="experiment id (Allen section data set)")
    scale.make_scale("member")
    # The reason is last in this format.
    columns = sorted((each for each in MEMBER_COLUMNS if each.in_file), key=lambda each: each.field == "reason")
    names = [f"member_{column.name}" for column in columns]
    for dataset in [_write_member_column(file, column, ordered) for column in columns]:
        dataset.dims[0].attach_scale(scale)
    if inputs.weights:
        # Those left out come last.
        weights = np.full(len(ordered), np.nan, "<f8")
        weights[: len(inputs.weights)] = inputs.weights
        dataset = file.create_dataset("member_weight", data=weights)
        describe_variable(dataset, long_name="weight of the experiment, NaN = left out", units="1")
        dataset.dims[0].attach_scale(scale)
        names.append("member_weight")
    # xarray then treats only the statistics as data; it cannot average strings.
    file.attrs["coordinates"] = " ".join(["inputs", *names])


def _write_member_column(file: h5py.File, column: MemberColumn, members: Sequence[Member]) -> h5py.Dataset:
    values = [getattr(member, column.field) for member in members]
    name = f"member_{column.name}"
    if column.dtype == "object":
        return _write_text(file, name, [value or "" for value in values], column.words)
    dtype, missing = _MEMBER_DTYPES[column.dtype]
    numbers = np.array([missing if value is None else value for value in values], dtype)
    dataset = file.create_dataset(name, data=numbers)
    describe_variable(dataset, long_name=column.words)
    return dataset


# dtype in data frames -> dtype in the file and the value of missing numbers.
_MEMBER_DTYPES: Mapping[str, tuple[str, float]] = {"Int64": ("<i4", -1), "Float64": ("<f8", float("nan"))}


def write_inputs(file: h5py.File, inputs: Inputs | RecordedInputs) -> None:
    """Write recipe and inputs as canonical JSON."""
    # An array of one string: xarray would attach a scalar to every array, and repeat it in each row of a table.
    dataset = _write_text(
        file, "inputs", [inputs.to_json()], "recipe and inputs as canonical JSON; its SHA-256 is the fingerprint"
    )
    dataset.dims[0].attach_scale(write_dimension(file, "document", 1))


def read_inputs(file: h5py.File) -> str:
    """Recipe and inputs as canonical JSON. Files of earlier versions have a scalar."""
    found = file["inputs"].asstr()[()]
    return str(found if isinstance(found, str) else found[0])


def write_dimension(file: h5py.File, name: str, size: int) -> h5py.Dataset:
    """Write a dimension without coordinate values, in the form that the netCDF library uses."""
    dimension = file.create_dataset(name, data=np.zeros(size, ">f4"))
    dimension.make_scale(f"This is a netCDF dimension but not a netCDF variable.{size:10}")
    return dimension


def _write_text(file: h5py.File, name: str, values: Sequence[str], long_name: str) -> h5py.Dataset:
    import h5py

    dataset = file.create_dataset(name, data=np.array(values, dtype=object), dtype=h5py.string_dtype())
    describe_variable(dataset, long_name=long_name)
    return dataset


def describe_variable(
    dataset: h5py.Dataset,
    *,
    long_name: str,
    units: str | None = None,
    axis_name: str | None = None,
    encoding: str | None = None,
) -> None:
    """Set the attributes of a variable that are not None."""
    attributes = {"long_name": long_name, "units": units, "axis_name": axis_name, "_Encoding": encoding}
    for name, value in attributes.items():
        if value is not None:
            dataset.attrs[name] = value
