from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bsv_store.catalog.records import UNIONIZE_COLUMNS, UNIONIZE_FIELDS, UnionizeTable
from bsv_store.errors import EnvelopeError, FormatError
from bsv_store.formats.unionizes import BOTH_PARTS, read_unionizes, unionize_table_from_rows
from bsv_store.vocabulary import UnionizePart
from tests.formats.bodies import SDK_COLUMNS, Row, bare, envelope, sdk_csv, unionize, unionizes

INJECTION: frozenset[UnionizePart] = frozenset({"injection"})
PROJECTION: frozenset[UnionizePart] = frozenset({"projection"})


def _keys(table: UnionizeTable) -> list[tuple[int, int, int, bool]]:
    names = ("experiment_id", "structure_id", "hemisphere_id", "is_injection")
    return list(zip(*(table.columns[name].tolist() for name in names), strict=True))


def quoted_csv(rows: list[Row]) -> bytes:
    """With every cell in quotes."""
    lines = sdk_csv(rows).decode().splitlines()
    return "".join(",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in lines).encode()


def with_float_ids(row: Row) -> Row:
    """As after a merge in pandas that had missing values."""
    return {name: float(value) if type(value) is int else value for name, value in row.items()}


# -- real files ---------------------------------------------------------------------------------------------------


def test_all_real_tables_are_read_whole(data: Path) -> None:
    files = sorted(data.glob("allensdk_cache/experiment_*/structure_unionizes.csv"))
    tables = {path: read_unionizes(path.read_bytes(), what=path.name) for path in files}
    assert len(tables) == 40
    assert sum(map(len, tables.values())) == 103_418
    assert sum(int(table.columns["is_injection"].sum()) for table in tables.values()) == 2_619
    for path, table in tables.items():
        assert table.experiment_ids == (int(path.parent.name.removeprefix("experiment_")),)
        assert table.parts == BOTH_PARTS
        assert _keys(table) == sorted(set(_keys(table)))


def test_real_numbers_are_converted_exactly(data: Path) -> None:
    path = data / "allensdk_cache/experiment_656632388/structure_unionizes.csv"
    table = read_unionizes(path.read_bytes(), what="x")
    place = {key: at for at, key in enumerate(_keys(table))}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            at = place[
                int(row["experiment_id"]),
                int(row["structure_id"]),
                int(row["hemisphere_id"]),
                row["is_injection"] == "True",
            ]
            for _, column, kind in UNIONIZE_FIELDS:
                if kind == "f8":
                    assert table.columns[column][at] == float(row[column])
                elif kind == "i8":
                    assert table.columns[column][at] == int(row[column])


def test_golden_replies_are_complete_tables(golden: Path) -> None:
    files = sorted(golden.glob("wire/*/unionize.json"))
    assert len(files) == 13
    for path in files:
        table = read_unionizes(path.read_bytes(), what=str(path))
        assert table.parts == BOTH_PARTS
        assert table.experiment_ids == (int(path.parent.name),)


def test_summary_made_of_a_golden_reply_holds_its_injection_half(golden: Path) -> None:
    body = (golden / "wire/100141599/unionize.json").read_bytes()
    rows = [{**row, "experimentID": 100141599} for row in json.loads(body)["msg"] if row["is_injection"]]
    table = read_unionizes(bare(rows), what="injectionSummary_all.json")
    assert (len(table), table.parts) == (8, INJECTION)


# -- forms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(envelope(unionizes()[::-1]), id="envelope"),
        pytest.param(bare(unionizes()[::-1]), id="bare list"),
        pytest.param(sdk_csv(unionizes()[::-1]), id="csv"),
        pytest.param(sdk_csv(unionizes()[::-1], SDK_COLUMNS[1:]), id="csv without index"),
        pytest.param(sdk_csv(unionizes()[::-1], [*SDK_COLUMNS, "comment"]), id="csv with a further column"),
        pytest.param(sdk_csv(unionizes()[::-1]).replace(b"\n", b"\r\n"), id="csv with windows line ends"),
        pytest.param(
            sdk_csv(unionizes()[::-1]).replace(b"experiment_id", b"section_data_set_id"), id="csv, API's name"
        ),
        pytest.param(bare([{**row, "more": [1, {}]} for row in unionizes()]), id="unknown extra keys"),
        pytest.param(b"\n" + sdk_csv(unionizes()) + b"\r\n\n", id="blank first and last lines"),
        pytest.param(sdk_csv(unionizes()).replace(b",", b";"), id="semicolons"),
        pytest.param(sdk_csv(unionizes()).replace(b",", b"\t"), id="tabs"),
        pytest.param(sdk_csv(unionizes()).replace(b",", b";").replace(b".", b","), id="decimal commas"),
        pytest.param(quoted_csv(unionizes()), id="quoted"),
        pytest.param(quoted_csv(unionizes()).replace(b",", b";"), id="quoted, semicolons"),
        pytest.param(sdk_csv([with_float_ids(row) for row in unionizes()]), id="ids as floats"),
        pytest.param(bare([with_float_ids(row) for row in unionizes()]), id="JSON, ids as floats"),
        pytest.param(gzip.compress(sdk_csv(unionizes())), id="gzip"),
        pytest.param(
            gzip.compress(sdk_csv(unionizes())[:99]) + gzip.compress(sdk_csv(unionizes())[99:]), id="two members"
        ),
        pytest.param(gzip.compress(envelope(unionizes())), id="JSON, gzip"),
        *(
            pytest.param(
                pd.DataFrame(unionizes()).to_json(orient=orient, double_precision=15).encode(), id=f"pandas, {orient}"
            )
            for orient in ("columns", "index", "records", "split")
        ),
        pytest.param(
            json.dumps({str(row["id"]) + str(row["is_injection"]): row for row in unionizes()}).encode(), id="by row id"
        ),
    ],
)
def test_every_form_gives_the_same_table(body: bytes) -> None:
    table = read_unionizes(body, what="x")
    assert tuple(table.columns) == UNIONIZE_COLUMNS
    assert table.parts == BOTH_PARTS
    assert _keys(table) == [
        (1, structure, hemisphere, injection)
        for structure in (8, 997)
        for hemisphere in (2, 3)
        for injection in (False, True)
    ]
    for _, column, kind in UNIONIZE_FIELDS:
        assert table.columns[column].dtype == np.dtype(kind)
    assert table.columns["sum_pixels"].tolist() == [2.6e14] * 8
    assert table.columns["projection_volume"].tolist() == pytest.approx([0.1 + 0.2] * 8, rel=1e-14)
    assert table.columns["id"].tolist() == [1082, 1082, 1083, 1083, 10972, 10972, 10973, 10973]


def test_experiments_of_one_reply_are_sorted_together() -> None:
    rows = [*unionizes(9), *unionizes(2)]
    assert unionize_table_from_rows(rows, what="x").experiment_ids == (2, 9)


def test_more_rows_than_one_block_keep_their_order() -> None:
    rows = [
        unionize(1, structure, side, False, volume=float(structure))
        for structure in range(5000, 0, -1)
        for side in (3, 2)
    ]
    table = unionize_table_from_rows(rows, what="x")
    assert table.columns["volume"][::2].tolist() == [float(structure) for structure in range(1, 5001)]


# -- parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        pytest.param(unionizes(), BOTH_PARTS, id="both halves"),
        pytest.param(unionizes(projection=False), INJECTION, id="injection rows only"),
        pytest.param(unionizes(injection=False), PROJECTION, id="projection rows only"),
        pytest.param([*unionizes(1), *unionizes(2, projection=False)], INJECTION, id="one experiment lacks a half"),
        pytest.param(
            [*unionizes(1, injection=False), *unionizes(2, projection=False)], frozenset(), id="each lacks another half"
        ),
        pytest.param([], frozenset(), id="no row"),
    ],
)
def test_only_what_is_certain_is_called_complete(rows: list[Row], parts: frozenset[UnionizePart]) -> None:
    table = read_unionizes(envelope(rows), what="x")
    assert (len(table), table.parts) == (len(rows), parts)


def test_given_parts_are_believed() -> None:
    assert read_unionizes(envelope(unionizes(projection=False)), what="x", parts=INJECTION).parts == INJECTION
    assert read_unionizes(envelope([]), what="x", parts=BOTH_PARTS).parts == BOTH_PARTS
    assert read_unionizes(sdk_csv(unionizes()), what="x", parts=BOTH_PARTS).parts == BOTH_PARTS


@pytest.mark.parametrize("parts", [INJECTION, PROJECTION])
def test_rows_of_another_half_than_asked_for_are_refused(parts: frozenset[UnionizePart]) -> None:
    with pytest.raises(FormatError, match=r"only .* rows were expected: experiment 1, structure 8"):
        read_unionizes(envelope(unionizes()), what="x", parts=parts)


def test_summary_is_the_injection_half() -> None:
    rows = [{**row, "experimentID": 1} for row in unionizes(projection=False)]
    assert read_unionizes(bare(rows), what="x").parts == INJECTION


def test_a_summary_without_a_hemisphere_is_refused() -> None:
    rows = [{**row, "experimentID": 1} for row in unionizes(projection=False) if row["hemisphere_id"] == 3]
    with pytest.raises(FormatError, match="rows are missing"):
        read_unionizes(bare(rows), what="x")


def test_summary_that_names_another_experiment_is_refused() -> None:
    rows = [{**row, "experimentID": 2} for row in unionizes(1, projection=False)]
    with pytest.raises(FormatError, match="different experiments"):
        read_unionizes(bare(rows), what="x")


def test_header_alone_is_an_empty_table() -> None:
    table = read_unionizes(sdk_csv([]), what="x")
    assert (len(table), table.experiment_ids, table.parts) == (0, (), frozenset())


# -- bad input ----------------------------------------------------------------------------------------------------

WRONG: list[dict[str, object]] = [
    {"section_data_set_id": 0},
    {"section_data_set_id": 2**63},
    {"structure_id": -1},
    {"structure_id": 1.5},
    {"id": 0},
    {"hemisphere_id": 0},
    {"hemisphere_id": 4},
    {"hemisphere_id": 2.5},
    {"id": 1e300},
    {"sum_pixels": -1.0},
    {"sum_pixels": float("nan")},
    {"projection_energy": float("inf")},
    {"projection_density": 1.01},
    {"max_voxel_density": 2},
    {"max_voxel_x": 13_200},
    {"max_voxel_y": -10},
    {"max_voxel_z": 11_400},
    {"max_voxel_z": 10.5},
    {"volume": "much"},
    {"volume": ""},
    {"is_injection": "maybe"},
    {"is_injection": "Truely"},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
@pytest.mark.parametrize("form", ["csv", "json"])
def test_wrong_values_are_refused(changes: dict[str, object], form: str) -> None:
    rows = [unionize(), unionize(hemisphere_id=2), unionize(structure_id=8) | changes]
    body = sdk_csv(rows) if form == "csv" else envelope(rows)
    with pytest.raises(FormatError, match="the table"):
        read_unionizes(body, what="the table")


def one_sided(densest_um: Mapping[int, int], *, count: int, experiment_id: int = 1, apart_um: int = 10) -> list[Row]:
    """Structures with signal in one hemisphere, in turn; their densest voxels are at these ML positions, or farther."""
    sides = list(densest_um)
    return [
        unionize(experiment_id, 1 + number, hemisphere_id, max_voxel_z=densest_um[side] + number * apart_um)
        for number in range(count)
        for side in (sides[number % len(sides)],)
        for hemisphere_id in (side, 3)
    ]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_table_with_exchanged_hemispheres_is_refused(form: str) -> None:
    """The densest voxels show it. The other table in the file is right."""
    rows = one_sided({1: 4000, 2: 7000}, count=30)
    rows += one_sided({1: 7000, 2: 4000}, count=20, experiment_id=2)
    rows += [unionize(2, 900, hemisphere_id, max_voxel_z=0) for hemisphere_id in (1, 3)]
    body = sdk_csv(rows) if form == "csv" else envelope(rows)
    message = "the table: left and right are exchanged in the table of experiment 2: in all 20 rows of one hemisphere"
    with pytest.raises(FormatError, match=message):
        read_unionizes(body, what="the table")


MADE_UP: dict[str, list[Row]] = {
    "few rows": one_sided({1: 7000, 2: 4000}, count=19),
    "one row agrees": one_sided({1: 7000, 2: 4000}, count=30) + one_sided({2: 7000}, count=31)[-2:],
    "no signal": one_sided({1: 0, 2: 0}, count=30, apart_um=0),
    "one position": one_sided({1: 4370, 2: 4370}, count=30, apart_um=0),
    "one position, right side only": one_sided({2: 4370}, count=30, apart_um=0),
}


@pytest.mark.parametrize("rows", MADE_UP.values(), ids=MADE_UP)
def test_made_up_densest_voxels_are_accepted(rows: list[Row]) -> None:
    assert len(read_unionizes(sdk_csv(rows), what="the table")) == len(rows)


@pytest.mark.parametrize(
    "changes",
    [
        {"section_data_set_id": "1"},
        {"section_data_set_id": True},
        {"section_data_set_id": None},
        {"structure_id": "997"},
        {"is_injection": 1},
        {"is_injection": "true"},
        {"is_injection": None},
        {"volume": "1.5"},
        {"volume": True},
        {"volume": None},
        {"volume": [1.5]},
        {"sum_pixels": 10**400},
        {"max_voxel_x": 2**70},
    ],
    ids=str,
)
def test_wrong_json_types_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="the table"):
        read_unionizes(envelope([{**unionize(), **changes}]), what="the table")


def test_number_too_large_for_a_double_is_refused() -> None:
    body = envelope([unionize(volume=12345.5)]).replace(b"12345.5", b"1e999")
    with pytest.raises(FormatError, match="volume inf is not finite"):
        read_unionizes(body, what="x")


def test_fraction_above_one_by_rounding_is_accepted() -> None:
    rows = [unionize(max_voxel_density=1 + 1e-9), unionize(hemisphere_id=2)]
    assert len(read_unionizes(envelope(rows), what="x")) == 2


@pytest.mark.parametrize("field", [field for field, _, _ in UNIONIZE_FIELDS])
def test_missing_fields_are_named(field: str) -> None:
    wanted = "experiment_id" if field == "section_data_set_id" else field
    broken = {key: value for key, value in unionize(hemisphere_id=2).items() if key != field}
    with pytest.raises(FormatError, match=wanted if field != "section_data_set_id" else "section_data_set_id"):
        read_unionizes(envelope([unionize(), broken]), what="x")
    with pytest.raises(FormatError, match=wanted):
        read_unionizes(sdk_csv([unionize()], [name for name in SDK_COLUMNS if name != wanted]), what="x")


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_duplicate_key_is_named(form: str) -> None:
    rows = [*unionizes(), {**unionizes()[2], "id": 5}]
    body = sdk_csv(rows) if form == "csv" else envelope(rows)
    with pytest.raises(FormatError, match="twice: experiment 1, structure 997, hemisphere 2, injection"):
        read_unionizes(body, what="x")


def test_table_cut_between_two_lines_is_noticed(data: Path) -> None:
    path = data / "allensdk_cache/experiment_656632388/structure_unionizes.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    with pytest.raises(FormatError, match="for 238 structures, so rows are missing"):
        read_unionizes(b"".join(lines[: len(lines) * 9 // 10]), what="x")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="html"),
        pytest.param(envelope(unionizes())[:-9], id="cut JSON"),
        pytest.param(sdk_csv(unionizes())[:-1], id="CSV cut by one byte"),
        pytest.param(sdk_csv(unionizes())[:-6] + b"\n", id="cell missing"),
        pytest.param(sdk_csv(unionizes()).replace(b"True", b"True,True", 1), id="long row"),
        pytest.param(sdk_csv(unionizes()).replace(b"True", b'"True', 1), id="open quote"),
        pytest.param(sdk_csv(unionizes()).replace(b"True", b"Tr\xffe", 1), id="not UTF-8"),
        pytest.param(sdk_csv(unionizes(), [*SDK_COLUMNS, "volume"]), id="column twice"),
        pytest.param(sdk_csv(unionizes()).replace(b"\n", b"\n\n", 2), id="blank line"),
        pytest.param(gzip.compress(sdk_csv(unionizes()))[:-9], id="cut gzip"),
        pytest.param(gzip.compress(sdk_csv(unionizes())) + b"more", id="more behind gzip"),
        pytest.param(sdk_csv(unionizes()).replace(b",", b";").replace(b".", b",", 3), id="commas and points"),
        pytest.param(sdk_csv(unionizes()).replace(b"True", b'"Tr,ue"', 1), id="a comma in quotes"),
        pytest.param(b"id,name\n1,a\n", id="another CSV"),
        pytest.param(bare([{"id": 1}]), id="other rows"),
        pytest.param(bare([1, 2]), id="no rows"),
        pytest.param(b"\x1f\x8b\x08\x00", id="binary"),
    ],
)
def test_damaged_tables_are_refused_by_name(body: bytes) -> None:
    with pytest.raises(FormatError, match="the table"):
        read_unionizes(body, what="the table")


def test_failure_and_single_pages_are_refused() -> None:
    with pytest.raises(EnvelopeError, match="too busy"):
        read_unionizes(envelope("too busy", success=False), what="x")
    with pytest.raises(EnvelopeError, match="one page"):
        read_unionizes(envelope(unionizes(), total_rows=2600), what="x")


@pytest.mark.parametrize("parts", [BOTH_PARTS, INJECTION])
def test_missing_hemisphere_is_refused_where_the_table_should_be_whole(parts: frozenset[UnionizePart]) -> None:
    rows = unionizes() if parts == BOTH_PARTS else unionizes(projection=False)
    with pytest.raises(FormatError, match="rows are missing"):
        unionize_table_from_rows(rows[:-1], parts, what="x")


@pytest.mark.parametrize("form", ["csv", "json"])
def test_sides_that_do_not_add_up_are_named(form: str) -> None:
    rows = unionizes()
    rows[3] = {**rows[3], "projection_volume": 0.25}
    body = sdk_csv(rows) if form == "csv" else envelope(rows)
    figures = "experiment 1, structure 997, projection: projection_volume left no row, right 0.25, both 0.3$"
    with pytest.raises(FormatError) as caught:
        read_unionizes(body, what="x")
    assert re.search(figures, caught.value.message)


@pytest.mark.parametrize("value", [1e308, 5e-324])
def test_impossible_numbers_are_refused_without_a_warning_of_numpy(value: float) -> None:
    rows = unionizes()
    rows[3] = {**rows[3], "projection_volume": value}
    with pytest.raises(FormatError, match="do not add up"):
        read_unionizes(envelope(rows), what="x")


def test_numbers_of_six_digits_are_read_and_rounded_ones_refused_with_the_reason(data: Path) -> None:
    frame = pd.read_csv(data / "allensdk_cache/experiment_656632388/structure_unionizes.csv", index_col=0)
    exact = read_unionizes(frame.to_csv().encode(), what="x")
    table = read_unionizes(frame.to_csv(float_format="%.6g").encode(), what="x")
    np.testing.assert_allclose(table.columns["projection_volume"], exact.columns["projection_volume"], rtol=5e-6)
    with pytest.raises(FormatError, match=r"projection_volume was rounded to 4 decimals, which is not enough"):
        read_unionizes(frame.to_csv(float_format="%.4f").encode(), what="x")
    damaged = frame.copy()
    damaged.loc[damaged.index[5], "projection_volume"] *= 1.001
    with pytest.raises(FormatError, match="for 1 structure, so rows are missing or were changed"):
        read_unionizes(damaged.to_csv().encode(), what="x")
