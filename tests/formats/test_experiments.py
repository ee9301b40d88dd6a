from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bsv_store.catalog.records import ExperimentRecord, LineRecord
from bsv_store.errors import EnvelopeError, FormatError
from bsv_store.formats.experiments import experiments_from_rows, read_experiments
from bsv_store.formats.input_file import decompressed
from tests.formats.bodies import (
    WEB_COLUMNS,
    Row,
    api_row,
    bare,
    csv_body,
    envelope,
    line,
    search_row,
    web_row,
    with_line,
)

OLD = {"num-voxels": "492963", "structure-color": "268F45"}


def _one(body: bytes) -> ExperimentRecord:
    (record,) = read_experiments(body, what="x").experiments
    return record


# -- real files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "rows", "experiments", "wild_type"),
    [
        ("allensdk_cache/experiments.json", "api", 2995, 2995, 498),
        ("experiments_2020-07_2992rows.json", "api", 2992, 2992, 498),
        ("experiments_2020-11_2997rows_5dup.json", "api", 2997, 2992, 498),
        ("allenAtlasProjection_info.csv", "csv", 2917, 2917, 498),
        ("web_export_2016.csv", "csv_2016", 2279, 2279, 488),
    ],
)
def test_every_real_list_is_read_whole(
    data: Path, name: str, kind: str, rows: int, experiments: int, wild_type: int
) -> None:
    found = read_experiments((data / name).read_bytes(), what=name, upstream_date=date(2020, 7, 1))
    assert (found.kind, found.rows, len(found.experiments)) == (kind, rows, experiments)
    assert found.upstream_date == date(2020, 7, 1)
    ids = [record.id for record in found.experiments]
    assert ids == sorted(set(ids))
    assert sum(not record.lines for record in found.experiments) == wild_type
    assert all(record.injection_ap is not None for record in found.experiments)
    assert all(record.primary_structure_id in record.injection_structure_ids for record in found.experiments)


def test_real_duplicates_keep_both_lines(data: Path) -> None:
    found = read_experiments((data / "experiments_2020-11_2997rows_5dup.json").read_bytes(), what="x")
    several = {record.id: [each.name for each in record.lines] for record in found.experiments if len(record.lines) > 1}
    assert several == {
        562963492: ["Slc17a8-IRES2-Cre", "wt"],
        584651014: ["Ai75(RCL-nT)", "wt"],
        623289575: ["Slc17a8-IRES2-Cre", "wt"],
        623438145: ["Slc17a8-IRES2-Cre", "wt"],
        656657344: ["Slc17a8-IRES2-Cre", "wt"],
    }


def test_real_web_export_counts_of_the_anchor_figures(data: Path) -> None:
    found = read_experiments((data / "allenAtlasProjection_info.csv").read_bytes(), what="x").experiments
    assert len({record.primary_structure_id for record in found}) == 217
    left = sum(record.injection_ml < 5700 for record in found if record.injection_ml is not None)
    assert (left, len(found) - left) == (735, 2182)


def test_both_registrations_are_recognized_in_any_column_order(data: Path) -> None:
    for name, kind in (("allenAtlasProjection_info.csv", "csv"), ("web_export_2016.csv", "csv_2016")):
        rows = list(csv.DictReader(io.StringIO((data / name).read_text("utf-8"), newline="")))
        assert read_experiments(csv_body(rows[:50]), what=name).kind == kind


# -- the shapes ---------------------------------------------------------------------------------------------------


def test_api_row_gives_every_field() -> None:
    row = api_row(5, transgenic_line=line(), transgenic_line_id=298725927)
    expected = ExperimentRecord(
        id=5,
        primary_structure_id=502,
        primary_structure_acronym="SUB",
        specimen_name="Penk-IRES2-Cre-neo-249961",
        product_id=5,
        strain="C57BL/6J",
        sex="M",
        injection_volume=0.25,
        injection_ap=9240,
        injection_dv=3070,
        injection_ml=8990,
        injection_structure_ids=(502, 926),
        lines=(LineRecord("Penk-IRES2-Cre-neo", 298725927, "driver", "Enriched in layers 2 and 6.", "025112"),),
        storage_directory="/external/0378/",
    )
    assert _one(bare([row])) == expected
    assert _one(envelope([row])) == expected


def test_search_row_gives_every_field() -> None:
    row = search_row(1, {"transgenic-line": "Rbp4-Cre_KL100"})
    assert _one(envelope([row])) == ExperimentRecord(
        id=1,
        primary_structure_id=184,
        primary_structure_acronym="FRP",
        specimen_name="378-557",
        product_id=5,
        strain=None,
        sex="F",
        injection_volume=0.15,
        injection_ap=2290,
        injection_dv=2450,
        injection_ml=7160,
        projection_volume=3.5,
        injection_structure_ids=(184, 993),
        lines=(LineRecord("Rbp4-Cre_KL100"),),
    )
    assert read_experiments(envelope([row]), what="x").kind == "api"


def test_web_row_gives_every_field() -> None:
    row = web_row(1, {"transgenic-line": "Rbp4-Cre_KL100"})
    assert _one(csv_body([row])) == ExperimentRecord(
        id=1,
        primary_structure_id=184,
        primary_structure_acronym="FRP",
        specimen_name="378-557",
        product_id=5,
        strain=None,
        sex="M",
        injection_volume=0.1561897932,
        injection_ap=2290,
        injection_dv=2450,
        injection_ml=7160,
        projection_volume=3.86036112,
        injection_structure_ids=(184, 993),
        lines=(LineRecord("Rbp4-Cre_KL100"),),
    )


def test_empty_line_is_wild_type_in_every_shape() -> None:
    for body in (bare([api_row()]), bare([search_row()]), csv_body([web_row()])):
        assert _one(body).lines == ()


@pytest.mark.parametrize(
    "body",
    [
        bare([api_row(injection_x=0, injection_y=0, injection_z=0)]),
        bare([api_row(injection_x=None, injection_y=None, injection_z=None)]),
        bare([{key: value for key, value in api_row().items() if key[-2:] not in ("_x", "_y", "_z")}]),
        bare([search_row(1, {"injection-coordinates": None})]),
        bare([search_row(1, {"injection-coordinates": []})]),
        bare([search_row(1, {"injection-coordinates": [0, 0, 0]})]),
        csv_body([web_row(1, {"injection-coordinates": ""})]),
        csv_body([web_row(1, {"injection-coordinates": "[nil, nil, nil]"})]),
    ],
)
def test_coordinates_that_are_all_absent_or_zero_are_unknown(body: bytes) -> None:
    record = _one(body)
    assert (record.injection_ap, record.injection_dv, record.injection_ml) == (None, None, None)


def test_one_zero_coordinate_alone_is_a_coordinate() -> None:
    assert _one(bare([api_row(injection_y=0)])).injection_dv == 0


def test_unknown_volume_is_not_zero_volume() -> None:
    assert _one(bare([api_row(injection_volume=None)])).injection_volume is None
    assert _one(bare([api_row(injection_volume=0)])).injection_volume == 0.0
    assert _one(csv_body([web_row(1, {"injection-volume": ""})])).injection_volume is None


def test_ruby_text_with_quotes_arrows_and_nil_is_read() -> None:
    text = '[{"id"=>7, "name"=>"a \\"b\\" => c, d", "color"=>nil}, {"id"=>3}]'
    assert _one(csv_body([web_row(1, {"injection-structures": text})])).injection_structure_ids == (3, 7)


def test_unknown_columns_and_keys_are_accepted() -> None:
    row = {**web_row(), "weather": "fine"}
    assert _one(csv_body([row], [*WEB_COLUMNS, "weather"])).id == 100140756
    assert _one(bare([api_row(weather={"now": "fine"})])).id == 100140756


def test_windows_line_ends_and_byte_order_mark_are_accepted() -> None:
    body = b"\xef\xbb\xbf" + csv_body([web_row()]).replace(b"\n", b"\r\n")
    assert _one(body).injection_structure_ids == (184, 993)


def test_line_names_with_quotes_and_commas_are_kept() -> None:
    name = "Tg(\"a\", 'b');-- 100%"
    assert _one(csv_body([web_row(1, {"transgenic-line": name})])).lines == (LineRecord(name),)


# -- duplicates ---------------------------------------------------------------------------------------------------


def test_rows_that_differ_by_line_are_merged_sorted_by_name() -> None:
    rows = [with_line(7, name="wt", line_id=9, kind="wild type"), api_row(3), with_line(7, name="Ai75", line_id=8)]
    found = read_experiments(bare(rows), what="x")
    assert found.rows == 3
    assert [record.id for record in found.experiments] == [3, 7]
    assert [each.name for each in found.experiments[1].lines] == ["Ai75", "wt"]


def test_row_without_line_adds_nothing_to_one_with_a_line() -> None:
    found = read_experiments(bare([api_row(7), with_line(7), api_row(7), with_line(7)]), what="x")
    assert [each.name for each in found.experiments[0].lines] == ["Penk-IRES2-Cre-neo"]


def test_duplicate_that_differs_otherwise_names_id_and_field() -> None:
    with pytest.raises(FormatError, match="experiment 7 twice, with different strain, injection_ap"):
        read_experiments(bare([api_row(7), api_row(7, strain="B6", injection_x=10)]), what="x")


def test_two_different_lines_of_one_name_are_refused() -> None:
    with pytest.raises(FormatError, match="two different lines"):
        read_experiments(bare([with_line(7), with_line(7, line_id=5)]), what="x")


# -- registrations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [OLD, {"experiment_page_url": "http://connectivity.brain-map.org/projection/experiment/100140756"}],
    ids=["num-voxels", "http"],
)
def test_signs_of_the_older_registration(changes: dict[str, str]) -> None:
    assert read_experiments(csv_body([web_row(changes=changes)]), what="x").kind == "csv_2016"


@pytest.mark.parametrize("left_out", ["num-voxels", "experiment_page_url"])
def test_one_sign_is_enough(left_out: str) -> None:
    columns = [name for name in WEB_COLUMNS if name != left_out]
    old = {**OLD, "experiment_page_url": "http://connectivity.brain-map.org/projection/experiment/100140756"}
    assert read_experiments(csv_body([web_row()], columns), what="x").kind == "csv"
    assert read_experiments(csv_body([web_row(changes=old)], columns), what="x").kind == "csv_2016"


def test_an_unknown_registration_is_refused() -> None:
    columns = [name for name in WEB_COLUMNS if name not in ("num-voxels", "experiment_page_url")]
    with pytest.raises(FormatError, match="registration"):
        read_experiments(csv_body([web_row()], columns), what="x")


def test_mixed_registrations_are_refused() -> None:
    with pytest.raises(FormatError, match="1 of 2 rows are from the older"):
        read_experiments(csv_body([web_row(1), web_row(2, OLD)]), what="x")


# -- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"data_set_id": True},
        {"data_set_id": "123"},
        {"data_set_id": 123.5},
        {"data_set_id": 0},
        {"data_set_id": -5},
        {"data_set_id": 2**63},
        {"data_set_id": None},
        {"structure_id": "502"},
        {"structure_id": None},
        {"structure_abbrev": ""},
        {"structure_abbrev": "VIS\u202ep"},
        {"structure_abbrev": 5},
        {"specimen_name": "a\x00b"},
        {"specimen_name": "x" * 10_000},
        {"product_id": 5.5},
        {"strain": ["B6"]},
        {"gender": True},
        {"injection_volume": -0.1},
        {"injection_volume": "0.1"},
        {"injection_volume": True},
        {"injection_volume": 10**400},
        {"injection_x": 13_200},
        {"injection_y": 8_000},
        {"injection_z": 11_400},
        {"injection_x": -10},
        {"injection_x": 9240.5},
        {"injection_x": "9240"},
        {"injection_x": True},
        {"injection_x": None},
        {"injection_x": 0, "injection_y": None, "injection_z": 5},
        {"injection_structures": "502//926"},
        {"injection_structures": "VISp"},
        {"injection_structures": 502},
        {"injection_structures": [True]},
        {"injection_structures": [{"name": "x"}]},
        {"transgenic_line": ["a"]},
        {"transgenic_line": {}},
        {"transgenic_line": {"name": ""}},
        {"transgenic_line": {"name": "a\nb"}},
        {"transgenic_line": {"name": "a", "id": "7"}},
        {"transgenic_line": {"name": "a", "description": "x" * 10_001}},
        {"transgenic_line_id": 7},
    ],
)
def test_wrong_values_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="the list"):
        read_experiments(bare([api_row(), api_row(2) | changes]), what="the list")


def test_whole_floats_are_read_as_integers() -> None:
    changes = {"data_set_id": 2.0, "structure_id": 502.0, "product_id": 5.0, "injection_x": 9240.0}
    assert read_experiments(bare([api_row(2) | changes]), what="x") == read_experiments(
        bare([api_row(2) | {name: int(value) for name, value in changes.items()}]), what="x"
    )
    cells = {"id": "2.0", "product-id": "5.0", "structure-id": "385.0", "injection-coordinates": "[9240.0, 10, 20.0]"}
    (record,) = read_experiments(csv_body([web_row(2, cells)]), what="x").experiments
    assert (record.id, record.product_id, record.primary_structure_id, record.injection_ml) == (2, 5, 385, 20)
    with pytest.raises(FormatError, match="may have rounded"):
        read_experiments(csv_body([web_row(2, {"product-id": "5e3"})]), what="x")


def resaved(body: bytes, *, delimiter: str = ",", quoting: Any = csv.QUOTE_MINIMAL, ends: str = "\n") -> bytes:
    out = io.StringIO()
    rows = csv.reader(io.StringIO(body.decode(), newline=""))
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=ends).writerows(rows)
    return out.getvalue().encode()


BLANK_ROW = b"," * (len(WEB_COLUMNS) - 1) + b"\n"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: resaved(body, quoting=csv.QUOTE_ALL), id="quoted"),
        pytest.param(lambda body: resaved(body, delimiter=";", ends="\r\n"), id="semicolons"),
        pytest.param(lambda body: resaved(body, delimiter="\t"), id="tabs"),
        pytest.param(lambda body: b"\n \n" + body, id="blank first lines"),
        pytest.param(lambda body: body + BLANK_ROW + b"\n", id="blank last rows"),
        pytest.param(lambda body: b"\xef\xbb\xbf" + body, id="byte order mark"),
        pytest.param(gzip.compress, id="gzip"),
        pytest.param(lambda body: gzip.compress(body[:200]) + gzip.compress(body[200:]), id="gzip of two members"),
    ],
)
def test_resaved_exports_are_read_like_the_original(change: Callable[[bytes], bytes]) -> None:
    body = csv_body([web_row(1), web_row(2)])
    assert read_experiments(change(body), what="x") == read_experiments(body, what="x")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (csv_body([web_row()]).decode().encode("utf-16"), "UTF-16"),
        (resaved(csv_body([web_row(1, {"injection-volume": "0,25"})]), delimiter=";"), "decimals or thousands"),
        (gzip.compress(csv_body([web_row()]))[:-20], "truncated"),
        (gzip.compress(csv_body([web_row()])) + b"rest", "other data after"),
        (b"\x1f\x8bnothing", "not valid gzip"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_true_reason(body: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read_experiments(body, what="x")


def test_a_small_gzip_file_cannot_fill_the_memory() -> None:
    bomb = gzip.compress(bytes(1_000_000))
    with pytest.raises(FormatError, match="at most 10"):
        decompressed(bomb, what="x", max_bytes=10_000)
    assert decompressed(bomb, what="x") == bytes(1_000_000)


def test_blanks_around_texts_are_dropped() -> None:
    cells = {"transgenic-line": "  Rbp4-Cre_KL100 ", "strain": " C57BL/6J", "gender": "M "}
    (record,) = read_experiments(csv_body([web_row(2, cells)]), what="x").experiments
    assert [line.name for line in record.lines] == ["Rbp4-Cre_KL100"]
    assert (record.strain, record.sex) == ("C57BL/6J", "M")
    line = {"name": " Rbp4-Cre_KL100", "transgenic_line_type_name": "driver "}
    (record,) = read_experiments(bare([api_row(2) | {"transgenic_line": line}]), what="x").experiments
    assert record.lines == (LineRecord("Rbp4-Cre_KL100", type_name="driver"),)
    (record,) = read_experiments(csv_body([web_row(2, {"transgenic-line": " "})]), what="x").experiments
    assert record.lines == ()


# The columns of get_experiments() of AllenSDK 2.16, as run on the real list of 2019.
SDK_ROW: Row = {
    "gender": "F",
    "injection_structures": [502, 926],
    "injection_volume": 0.25,
    "injection_x": 9240,
    "injection_y": 3070,
    "injection_z": 8990,
    "product_id": 5,
    "specimen_name": "Penk-IRES2-Cre-neo-249961",
    "strain": "C57BL/6J",
    "structure_abbrev": "SUB",
    "structure_id": 502,
    "structure_name": "Subiculum",
    "transgenic_line": "Penk-IRES2-Cre-neo",
    "transgenic_line_id": 298725927,
    "id": 527712447,
    "primary_injection_structure": 502,
}


def _sdk_frame_csv(*, index: bool) -> bytes:
    frame = pd.DataFrame([SDK_ROW])
    return str(frame.set_index("id", drop=False).to_csv(index=index)).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(_sdk_frame_csv(index=True), id="frame.to_csv()"),
        pytest.param(_sdk_frame_csv(index=False), id="frame.to_csv(index=False)"),
        pytest.param(pd.DataFrame([SDK_ROW]).to_json().encode(), id="frame.to_json()"),
        pytest.param(pd.DataFrame([SDK_ROW]).to_json(orient="records").encode(), id="records"),
        pytest.param(pd.DataFrame([SDK_ROW]).to_json(orient="index").encode(), id="index"),
        pytest.param(json.dumps([SDK_ROW]).encode(), id="json.dump of rows"),
        pytest.param(json.dumps({"527712447": SDK_ROW}).encode(), id="rows by id"),
    ],
)
def test_rows_of_allensdk_are_refused_by_name(body: bytes) -> None:
    with pytest.raises(FormatError, match=r"x has rows of AllenSDK's get_experiments[\s\S]*sync experiments"):
        read_experiments(body, what="x")


def test_lists_of_old_caches_are_refused_by_name() -> None:
    rows = {"1": search_row(1)}
    with pytest.raises(FormatError, match="rows by experiment id"):
        read_experiments(json.dumps(rows).encode(), what="x")
    row = {name: value for name, value in search_row(1).items() if name not in ("injection-volume", "sum", "name")}
    with pytest.raises(FormatError, match=r"x has no injection-volume: the cache was written by AllenSDK 0\.13"):
        read_experiments(bare([row]), what="x")


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_volumes_that_are_not_numbers_are_refused(literal: bytes) -> None:
    body = bare([api_row()]).replace(b'"injection_volume": 0.25', b'"injection_volume": ' + literal)
    assert literal in body
    with pytest.raises(FormatError):
        read_experiments(body, what="x")


@pytest.mark.parametrize(
    "key",
    ["data_set_id", "structure_id", "structure_abbrev", "injection_volume", "injection_structures", "transgenic_line"],
)
def test_missing_keys_are_named(key: str) -> None:
    row = {name: value for name, value in api_row(2).items() if name != key}
    with pytest.raises(FormatError, match=key if key != "data_set_id" else "experiment's id"):
        read_experiments(bare([api_row(1), row]), what="x")


@pytest.mark.parametrize("rows", [[{"id": 1}], [{"data_set_id": 1}], [{}], [{"id": 1, "acronym": "root"}]])
def test_other_json_is_not_an_experiment_list(rows: list[Row]) -> None:
    with pytest.raises(FormatError, match="not an experiment list"):
        read_experiments(bare(rows), what="x")


def test_rows_of_two_shapes_are_refused() -> None:
    with pytest.raises(FormatError):
        read_experiments(bare([api_row(1), search_row(2)]), what="x")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "1.5"},
        {"id": ""},
        {"id": "-1"},
        {"id": "１"},
        {"id": "9" * 19},
        {"structure-id": "x"},
        {"injection-volume": "nan"},
        {"injection-volume": "inf"},
        {"injection-volume": "1_0"},
        {"injection-volume": "1e999"},
        {"injection-volume": "-1"},
        {"sum": "many"},
        {"injection-coordinates": "[1, 2]"},
        {"injection-coordinates": "[1, 2, 3.5]"},
        {"injection-coordinates": "[1, 2, 11400]"},
        {"injection-coordinates": "1, 2, 3"},
        {"injection-coordinates": "[1, 2, nil]"},
        {"injection-structures": '[{"id"=>}]'},
        {"injection-structures": '[{"id"=>"7"}]'},
        {"injection-structures": "`rm -rf`"},
        {"transgenic-line": "a\nb"},
        {"experiment_page_url": "https://connectivity.brain-map.org/projection/experiment/2"},
    ],
)
def test_wrong_cells_are_refused(changes: dict[str, str]) -> None:
    row = web_row(1, changes)
    if "id" in changes:
        row["experiment_page_url"] = ""
    with pytest.raises(FormatError, match="the list"):
        read_experiments(csv_body([web_row(3), row]), what="the list")


@pytest.mark.parametrize("column", [name for name in WEB_COLUMNS if name in (
    "id", "transgenic-line", "product-id", "structure-id", "structure-abbrev", "name", "injection-volume",
    "injection-structures", "gender", "strain", "sum", "injection-coordinates",
)])  # fmt: skip
def test_missing_columns_are_named(column: str) -> None:
    columns = [name for name in WEB_COLUMNS if name != column]
    with pytest.raises(FormatError, match=f"is missing the columns {column}$|is missing the columns {column}\n"):
        read_experiments(csv_body([web_row()], columns), what="x")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(bare([]), id="no row"),
        pytest.param(envelope([]), id="empty envelope"),
        pytest.param(csv_body([]), id="header alone"),
        pytest.param(b"", id="empty"),
        pytest.param(b"<html></html>", id="html"),
        pytest.param(bare([api_row()])[:-4], id="cut JSON"),
        pytest.param(csv_body([web_row()])[:-20], id="cut CSV"),
        pytest.param(csv_body([web_row()])[:-1], id="CSV cut by one byte"),
        pytest.param(csv_body([web_row(), web_row(2)])[:700] + b"\n", id="CSV cut inside a quoted cell"),
        pytest.param(csv_body([web_row()]) + b"1,2,3\n", id="short row"),
        pytest.param(csv_body([web_row()]).replace(b"378-557", b"378,557"), id="long row"),
        pytest.param(csv_body([web_row()]).replace(b"378-557", b"378\xff557"), id="not UTF-8"),
        pytest.param(csv_body([web_row()]).replace(b"selected", b"strain"), id="column twice"),
        pytest.param(b"id,name\n1,a\n", id="another CSV"),
    ],
)
def test_damaged_lists_are_refused_by_name(body: bytes) -> None:
    with pytest.raises(FormatError, match="the list"):
        read_experiments(body, what="the list")


def test_failure_and_single_pages_are_refused() -> None:
    with pytest.raises(EnvelopeError, match="too busy"):
        read_experiments(envelope("too busy", success=False), what="x")
    # A service sends 2,000 rows unless asked for more: taken for the list, it would withdraw the other thousand.
    with pytest.raises(EnvelopeError, match="of 2995"):
        read_experiments(envelope([search_row()], num_rows=2000, total_rows=2995), what="x")


def test_rows_gathered_from_pages_are_one_list() -> None:
    found = experiments_from_rows([search_row(2), search_row(1)], what="x", upstream_date=date(2024, 1, 2))
    assert [record.id for record in found.experiments] == [1, 2]
    assert (found.kind, found.rows, found.upstream_date) == ("api", 2, date(2024, 1, 2))
