"""The JSON API: tables, one answer for each operation, parameters, and what is kept."""

from __future__ import annotations

import csv
import inspect
import io
import json
import math
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from bsv_store import DatasetVersion, Selection, Store, by_region, errors, open_store
from bsv_store.server.application import application
from bsv_store.server.data import experiments, shared, written_file
from bsv_store.server.data.formats import accepted, has_arrow
from bsv_store.server.data.known_experiments import KnownExperiments
from bsv_store.server.data.openapi import DESCRIBED, OPERATIONS, document
from bsv_store.server.data.tables import arrow_bytes, csv_bytes, flat, table_values
from bsv_store.server.long_work import LongWork
from bsv_store.server.metrics import ServerMetrics
from bsv_store.server.options import ServerOptions
from bsv_store.volumes.grid import Grid
from tests.conftest import DatabaseKind
from tests.counting import counted
from tests.datasets.world import IDS, STRUCTURES, VISP, VISUAL, add_annotation
from tests.filled import TEMPLATE
from tests.server.serving import serving
from tests.stores import copied_store

TIMEOUT_S = 20
VISUAL_TEXT = VISUAL.to_json()
# A server that stops does not wait for connections that are kept open.
CLOSING = {"Connection": "close"}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, str]]:
    """The filled store with a version and an annotation, open for changes, and the address of a server of it.

    Tests undo their changes.
    """
    template = request.getfixturevalue(f"_filled_{request.param}")
    name = None if request.param == "sqlite" else TEMPLATE
    ids = np.zeros(Grid(100).shape, np.uint32)
    ids[60:80, 20:30, 60:80] = VISP
    folder = tmp_path_factory.mktemp("data") / "store"
    with copied_store(template, folder, request, database=name) as location, open_store(location) as writer:
        add_annotation(writer, ids)
        writer.aggregate(VISUAL, name="mean", group_by="line")
        with open_store(location, read_only=True) as store, serving(store) as url:
            yield writer, url


def _get(url: str, headers: dict[str, str] | None = None, **parameters: Any) -> requests.Response:
    return requests.get(url, params={k: str(v) for k, v in parameters.items()}, headers=headers, timeout=TIMEOUT_S)


def _rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    names = [each["name"] for each in answer["columns"]]
    return [dict(zip(names, row, strict=True)) for row in answer["rows"]]


def test_rows_that_are_json_already_give_the_answer_of_the_table(served: tuple[Store, str]) -> None:
    _, url = served
    addresses: list[dict[str, Any]] = [
        {},
        {"selection": VISUAL_TEXT},
        {"selection": Selection(injected_in="VISp", min_injection_volume=1e6).to_json()},
        {"selection": ",".join(map(str, IDS[:2]))},
        {"offset": 1, "limit": 2},
        {"offset": 1_000},
    ]
    for parameters in addresses:
        prepared = _get(f"{url}/v1/experiments", **parameters)
        # Sorted rows are made from the table.
        made = _get(f"{url}/v1/experiments", sort="experiment_id", **parameters)
        assert prepared.content == made.content, parameters
    assert _get(f"{url}/v1/experiments", selection="1,2").json()["total"] == 2


# -- tables --------------------------------------------------------------------------------------------------------


def test_values_that_json_does_not_have_are_encoded_by_the_documented_rules() -> None:
    frame = pd.DataFrame(
        {
            "large": pd.Series([2**53, 2**53 + 1, -(2**63)], dtype="int64"),
            "maybe": pd.Series([1, None, 3], dtype="Int64"),
            "number": [1.5, math.nan, math.inf],
            "flag": pd.Series([True, None, False], dtype="boolean"),
            "text": ["a", None, "<b>"],
            "day": [date(2020, 1, 2), None, date(2021, 1, 1)],
            "time": [datetime(2020, 1, 2, tzinfo=UTC), None, datetime(2021, 1, 1, tzinfo=UTC)],
            "stamp": pd.to_datetime(["2020-01-02", None, "2021-01-01"]),
            "bytes": [b"\xff\x00", None, b""],
            "list": [[1, math.nan], None, []],
            "mixed": [1, "x", None],
            "huge": [2**70, None, 1],
        }
    )
    values = json.loads(json.dumps(table_values(flat(frame)), allow_nan=False))
    types = {each["name"]: each["type"] for each in values["columns"]}
    assert types == {
        "large": "integer",
        "maybe": "integer",
        "number": "number",
        "flag": "boolean",
        "text": "string",
        "day": "date",
        "time": "datetime",
        "stamp": "datetime",
        "bytes": "bytes",
        "list": "list",
        "mixed": "any",
        "huge": "integer",
    }
    columns = dict(zip(types, zip(*values["rows"], strict=True), strict=True))
    assert columns["large"] == (2**53, str(2**53 + 1), str(-(2**63)))
    assert columns["maybe"] == (1, None, 3)
    assert columns["number"] == (1.5, None, "Infinity")
    assert columns["flag"] == (True, None, False)
    assert columns["day"] == ("2020-01-02", None, "2021-01-01")
    assert columns["time"][0] == "2020-01-02T00:00:00+00:00"
    assert columns["stamp"][:2] == ("2020-01-02T00:00:00", None)
    assert columns["bytes"] == ("/wA=", None, "")
    assert columns["list"] == ([1, None], None, [])
    assert columns["mixed"] == (1, "x", None)
    assert columns["huge"] == (str(2**70), None, 1)


def test_an_empty_table_and_a_named_index() -> None:
    frame = pd.DataFrame({("left", "VISp"): [1.0]}, index=pd.Index(["MOp"], name="source"))
    assert table_values(flat(frame)) == {
        "columns": [{"name": "source", "type": "string"}, {"name": "left VISp", "type": "number"}],
        "rows": [["MOp", 1.0]],
    }
    assert table_values(flat(frame.iloc[:0]))["rows"] == []
    assert csv_bytes(flat(frame)) == b"source,left VISp\r\nMOp,1.0\r\n"


@pytest.mark.parametrize(
    ("header", "best"),
    [
        (None, "a/x"),
        ("*/*", "a/x"),
        ("b/y", "b/y"),
        ("a/x;q=0.1, b/y", "b/y"),
        ("b/*;q=0.9, a/x;q=0.5", "b/y"),
        ("a/x;q=0, */*", "b/y"),
        ("text/html", None),
        ("a/x;q=nonsense", None),
    ],
)
def test_accept(header: str | None, best: str | None) -> None:
    assert next(iter(accepted(header, ("a/x", "b/y"))), None) == best


def test_the_same_table_in_json_and_csv(served: tuple[Store, str]) -> None:
    writer, url = served
    address = f"{url}/v1/experiments"
    expected = writer.experiments()
    answer = _get(address).json()
    assert [row["experiment_id"] for row in _rows(answer)] == expected["experiment_id"].tolist()
    assert answer["total"] == len(expected)
    for reply in (_get(address, {"Accept": "text/csv"}), _get(address, format="csv")):
        assert reply.headers["Content-Type"].startswith("text/csv")
        found = list(csv.DictReader(io.StringIO(reply.content.decode())))
        assert [int(row["experiment_id"]) for row in found] == expected["experiment_id"].tolist()
        assert list(found[0]) == list(expected.columns)


def test_a_format_that_is_not_available_is_not_acceptable(served: tuple[Store, str]) -> None:
    _, url = served
    assert _get(f"{url}/v1/experiments", {"Accept": "text/html"}).status_code == 406
    assert _get(f"{url}/v1/experiments", format="xml").status_code == 400


def test_arrow(served: tuple[Store, str]) -> None:
    arrow = {"Accept": "application/vnd.apache.arrow.stream"}
    reply = _get(f"{served[1]}/v1/experiments", arrow)
    if not has_arrow():
        assert reply.status_code == 406
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pyarrow.ipc.open_stream(reply.content).read_all()
    assert table.column("experiment_id").to_pylist() == list(IDS)


def test_columns_of_several_types_are_text_in_arrow() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    frame = pd.DataFrame(
        {
            "maybe": pd.Series([1, None], dtype="Int64"),
            "number": [math.nan, math.inf],
            "mixed": [1, "x"],
            "huge": [2**70, None],
            "day": [date(2020, 1, 2), None],
        }
    )
    table = pyarrow.ipc.open_stream(arrow_bytes(flat(frame))).read_all()
    assert table.to_pydict() == {
        "maybe": [1, None],
        "number": [None, math.inf],
        "mixed": ["1", "x"],
        "huge": [str(2**70), None],
        "day": [date(2020, 1, 2), None],
    }


# -- experiments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "selection",
    [None, VISUAL, Selection(ids=[IDS[3], IDS[1]], include_excluded=True), Selection(min_injection_volume=1e9)],
    ids=["all", "criteria", "ids", "empty"],
)
def test_the_server_takes_the_rows_of_a_selection_from_one_table(
    served: tuple[Store, str], selection: Selection | None
) -> None:
    writer, _ = served
    found = shared.Shared(ServerMetrics(), LongWork(), None, lambda cell: cell, workers=1).experiments(
        writer, selection
    )
    pd.testing.assert_frame_equal(found, writer.experiments(selection))


def test_experiments_of_a_catalog_that_changes_are_those_of_one_state(
    served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, _ = served
    of_server = shared.Shared(ServerMetrics(), LongWork(), None, lambda cell: cell, workers=1)
    # Answered by the database, because it needs unionize rows.
    selection = Selection(projecting_to="VISp", target_threshold=0) | Selection()
    assert IDS[0] in set(of_server.experiments(writer, selection)["experiment_id"])
    real = type(writer).select

    def select(store: Store, *arguments: Any, **options: Any) -> tuple[int, ...]:
        ids = real(store, *arguments, **options)
        writer.catalog.exclude([IDS[0]], reason="tested")
        return ids

    monkeypatch.setattr(type(writer), "select", select)
    try:
        assert IDS[0] not in set(of_server.experiments(writer, selection)["experiment_id"])
    finally:
        writer.catalog.lift_exclusion([IDS[0]])


def test_questions_follow_each_commit(served: tuple[Store, str]) -> None:
    writer, url = served

    def found(selection: Selection) -> list[int]:
        rows = _rows(_get(f"{url}/v1/experiments", selection=selection.to_json()).json())
        ids = [row["experiment_id"] for row in rows]
        assert ids == list(writer.select(selection))
        return ids

    # Questions that were not asked before, from memory.
    assert IDS[0] in found(Selection(injected_in="root", min_injection_volume=1e-9))
    writer.catalog.exclude([IDS[0]], reason="tested")
    try:
        assert IDS[0] not in found(Selection(injected_in="root", min_injection_volume=2e-9))
        assert IDS[0] in found(Selection(injected_in="root", include_excluded=True))
    finally:
        writer.catalog.lift_exclusion([IDS[0]])
    assert IDS[0] in found(Selection(injected_in="root", min_injection_volume=3e-9))


def test_a_store_in_another_database_of_the_server_has_answers_of_its_own(
    database: DatabaseKind, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    template, name = request.getfixturevalue(f"_filled_{database}"), None if database == "sqlite" else TEMPLATE
    of_server = shared.Shared(ServerMetrics(), LongWork(), None, lambda cell: cell, workers=1)
    with ExitStack() as stack:
        # As if store.toml named another database than before.
        folders = [
            stack.enter_context(copied_store(template, tmp_path / each, request, database=name)) for each in "ab"
        ]
        first, second = (stack.enter_context(open_store(each)) for each in folders)
        second.catalog.exclude([IDS[0]], reason="tested")
        assert IDS[0] in set(of_server.experiments(first)["experiment_id"])
        assert IDS[0] not in set(of_server.experiments(second)["experiment_id"])


def test_a_new_question_reads_the_change_marker_only(served: tuple[Store, str]) -> None:
    writer, url = served
    _get(f"{url}/v1/experiments")
    with counted() as work:
        answer = _get(f"{url}/v1/experiments", selection=Selection(injected_in="VISp", line="wild-type").to_json())
    assert answer.json()["total"] > 0
    # The marker; on SQLite it is a pragma.
    assert len(work.statements) <= (0 if writer.database.is_sqlite else 1), work.statements


def test_experiments_are_sorted_and_paged_over_the_whole_selection(served: tuple[Store, str]) -> None:
    writer, url = served
    expected = writer.experiments(VISUAL).sort_values("injection_volume", ascending=False)["experiment_id"].tolist()
    found = []
    for offset in range(0, len(expected), 2):
        answer = _get(
            f"{url}/v1/experiments",
            selection=VISUAL_TEXT,
            sort="-injection_volume",
            offset=offset,
            limit=2,
            columns="experiment_id,injection_volume",
        ).json()
        assert answer["total"] == len(expected)
        assert [each["name"] for each in answer["columns"]] == ["experiment_id", "injection_volume"]
        found += [row[0] for row in answer["rows"]]
    assert found == expected


def test_a_selection_is_json_ids_or_a_saved_name(served: tuple[Store, str]) -> None:
    writer, url = served
    writer.catalog.save_selection("visual", VISUAL)
    address = f"{url}/v1/selection"
    by_json, by_name = _get(address, selection=VISUAL_TEXT).json(), _get(address, selection="visual").json()
    assert by_json == by_name
    assert by_json["json"] == VISUAL_TEXT
    assert by_json["experiment_ids"] == list(writer.select(VISUAL))
    assert "VIS" in by_json["words"]
    assert _get(address, selection="1,3").json()["experiment_ids"] == [1, 3]


def test_an_answer_is_the_same_while_the_catalog_changes(
    served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, url = served
    addresses = [f"{url}/v1/experiments", f"{url}/v1/selection"]
    asked = [VISUAL_TEXT, Selection(projecting_to="VISp").to_json()]
    expected = [_get(address, selection=each).json() for address in addresses for each in asked]
    # What it says if something was committed between the selection and the table.
    monkeypatch.setattr(shared.Shared, "selected", lambda *_arguments, **_options: None)
    writer.catalog.save_selection("changed", [1])
    assert [_get(address, selection=each).json() for address in addresses for each in asked] == expected


def test_a_selection_and_what_it_leaves_out_are_of_one_state(
    served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, url = served
    real = type(writer.catalog).excluded_from

    def excluded_from(catalog: Any, selection: Selection) -> dict[int, str]:
        # Committed after the ids were read.
        writer.catalog.exclude([IDS[0]], reason="tested")
        return real(catalog, selection)

    monkeypatch.setattr(type(writer.catalog), "excluded_from", excluded_from)
    text = Selection(projecting_to="VISp") | Selection()
    try:
        for address in (f"{url}/v1/selection", f"{url}/experiments.json"):
            answer = _get(address, selection=text.to_json()).json()
            ids = answer["experiment_ids"] if "experiment_ids" in answer else answer["rows"]["experiment_id"]
            assert (IDS[0] in ids, str(IDS[0]) in answer["excluded"]) == (False, True)
            writer.catalog.lift_exclusion([IDS[0]])
    finally:
        if IDS[0] in {each.experiment_id for each in writer.catalog.exclusions()}:
            writer.catalog.lift_exclusion([IDS[0]])


def test_paths_in_texts_of_users_are_not_in_answers(served: tuple[Store, str]) -> None:
    writer, url = served
    writer.catalog.save_selection("listed", [1], note="from /home/anna/list.txt")
    writer.catalog.exclude([3], "see /home/anna/bad.txt")
    texts = [_get(f"{url}/v1/{name}").text for name in ("selections", "exclusions", "summary", "experiments/3")]
    texts += [requests.get(f"{url}/{path}", timeout=20).text for path in ("experiments.json", "experiments/3")]
    writer.catalog.lift_exclusion([3])
    assert all("see a path of the server" in text for text in texts[-2:])
    assert not [text for text in texts if "anna" in text]


def test_one_experiment(served: tuple[Store, str]) -> None:
    writer, url = served
    writer.catalog.exclude([3], "blurred")
    found = _get(f"{url}/v1/experiments/3").json()
    writer.catalog.lift_exclusion([3])
    assert _get(f"{url}/v1/experiments/3").json()["excluded_because"] is None
    assert found["facts"]["experiment_id"] == 3
    assert found["excluded_because"] == "blurred"
    assert [each["name"] for each in found["lines"]] == ["Rbp4-Cre_KL100"]
    assert found["injection_structures"] == [
        {"structure_id": VISP, "structure": "VISp", "name": "the VISp", "is_primary": True}
    ]
    assert [(each["kind"], each["spacing_um"]) for each in found["volumes"]] == [("projection_density", 100)]
    assert found["unionize_rows"].keys() == {"injection"}


def test_the_criteria_describe_every_criterion_of_selection(served: tuple[Store, str]) -> None:
    criteria = _get(f"{served[1]}/v1/criteria").json()["criteria"]
    assert {each["name"] for each in criteria} == set(inspect.signature(Selection).parameters)
    assert not [each["description"] for each in criteria if "--" in each["description"]]


def test_warnings_of_the_library_are_in_the_answer_also_when_it_is_kept(served: tuple[Store, str]) -> None:
    _, url = served
    for _ in range(2):
        answer = _get(f"{url}/v1/search/targets", structures="VISp").json()
        assert [each["code"] for each in answer["warnings"]] == ["MissingUnionizesWarning"]
        reply = _get(f"{url}/v1/search/targets", structures="VISp", format="csv")
        assert "MissingUnionizesWarning" in reply.headers["Bsv-Store-Warnings"]
    assert _get(f"{url}/v1/experiments").json()["warnings"] == []


# -- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("experiments?limit=0", "InputError"),
        ("experiments?limit=x", "InputError"),
        ("experiments?limit=1_0", "InputError"),
        ("experiments?limit=" + "9" * 40, "InputError"),
        ("experiments?offset=-1", "InputError"),
        ("experiments?sort=nothing", "InputError"),
        ("experiments?sort=experiment_id,-experiment_id", "InputError"),
        ("experiments?columns=nothing", "InputError"),
        ("experiments?nothing=1", "InputError"),
        ("experiments?limit=1&limit=2", "InputError"),
        ("experiments?selection={", "SelectionError"),
        ("experiments?selection={}", "SelectionError"),
        ('experiments?selection={"version":1,"nothing":2}', "SelectionError"),
        ("experiments?selection=nothing", "InputError"),
        ("experiments?selection=0", "SelectionError"),
        ("experiments?selection=" + "9" * 40, "InputError"),
        ("experiments?missing=perhaps", "InputError"),
        ("experiments?selection=%00", "InputError"),
        ("experiments/999", "UnknownExperimentError"),
        ("experiments/0", "InputError"),
        ("search/targets", "InputError"),
        ("search/targets?structures=nothing", "UnknownStructureError"),
        ("search/injections?point=1,2", "InputError"),
        ("search/injections?point=1,2,nan", "InputError"),
        ("search/injections?point=8000,1500,8500&radius_um=-1", "InputError"),
        ("structures/nothing", "UnknownStructureError"),
        ("structures?structure_set=5", "InputError"),
        ("versions/nothing", "UnknownDatasetError"),
        ("versions/mean@99", "UnknownDatasetError"),
        ("versions/mean/file?format=exe", "InputError"),
        ("versions/mean/file?format=nrrd&statistic=nothing", "InputError"),
        ("mask?structures=VISp&spacing_um=7", "InputError"),
        ("signal", "InputError"),
    ],
)
def test_invalid_requests_are_problems_with_the_class_of_the_library(
    served: tuple[Store, str], path: str, code: str
) -> None:
    reply = requests.get(f"{served[1]}/v1/{path}", timeout=TIMEOUT_S)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.status_code in (400, 404), reply.text
    problem = reply.json()
    assert problem["code"] == code or issubclass(_error(problem["code"]), _error(code))
    assert str(served[0].path) not in reply.text


def _error(name: str) -> type[Exception]:
    found: type[Exception] = getattr(errors, name)
    return found


# -- atlas and files -----------------------------------------------------------------------------------------------


def test_structures(served: tuple[Store, str]) -> None:
    _, url = served
    every = _get(f"{url}/v1/structures").json()["structures"]
    assert [each["acronym"] for each in every] == [acronym for _, acronym, _ in STRUCTURES]
    inside = _get(f"{url}/v1/structures", inside="VIS").json()["structures"]
    assert {each["acronym"] for each in inside} == {"VIS", "VISp", "VISpm", "VISl"}
    one = _get(f"{url}/v1/structures/VISp").json()
    assert [each["acronym"] for each in one["path"]] == ["root", "grey", "VIS", "VISp"]
    assert _get(f"{url}/v1/structures/385").json() == one
    assert "VISp" in _get(f"{url}/v1/structures/find", text="visp").text


@pytest.mark.parametrize("ending", ["nrrd", "nii", "nii.gz", "npy"])
def test_volumes_and_masks_have_the_bytes_of_the_library(
    served: tuple[Store, str], tmp_path: Path, ending: str
) -> None:
    writer, url = served
    expected = tmp_path / f"volume.{ending}"
    writer.volumes.export(1, expected)
    reply = _get(f"{url}/v1/volumes/1/file", format=ending)
    assert reply.content == expected.read_bytes()
    assert f'filename="1_projection_density_100um.{ending}"' in reply.headers["Content-Disposition"]
    again = _get(f"{url}/v1/volumes/1/file", {"If-None-Match": reply.headers["ETag"]}, format=ending)
    assert again.status_code == 304
    writer.atlas.export_mask("VISp", tmp_path / f"mask.{ending}")
    reply = _get(f"{url}/v1/mask", structures="VISp", format=ending)
    assert reply.content == (tmp_path / f"mask.{ending}").read_bytes()


def test_facts_about_a_volume_have_no_folder(served: tuple[Store, str]) -> None:
    writer, url = served
    reply = _get(f"{url}/v1/volumes/1")
    assert reply.json()["array_sha256"] == writer.volumes.describe(1)["array_sha256"]
    assert str(writer.path) not in reply.text


@pytest.mark.parametrize("ending", ["nc", "nii.gz", "npz", "csv", "bib", "ris", "txt", "bsv.zip"])
def test_a_version_is_exported_as_the_library_does(served: tuple[Store, str], tmp_path: Path, ending: str) -> None:
    writer, url = served
    expected = tmp_path / f"version.{ending}"
    writer.dataset("mean").export(expected)
    content = _get(f"{url}/v1/versions/mean/file", format=ending).content
    if ending == "bsv.zip":
        assert content[:2] == b"PK"
    else:
        assert content == expected.read_bytes()


def test_head_of_an_export_does_not_write_the_file(served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, url = served
    names = ("ETag", "Content-Type", "Content-Disposition", "Cache-Control", "Accept-Ranges")
    paths = ("v1/versions/mean/file?format=nrrd", "v1/volumes/1/file?format=npy", "v1/mask?structures=VISp")
    expected = [requests.get(f"{url}/{path}", timeout=TIMEOUT_S).headers for path in paths]
    monkeypatch.setattr(written_file, "TemporaryFolder", lambda: pytest.fail("a file was written"))
    for path, headers in zip(paths, expected, strict=True):
        reply = requests.head(f"{url}/{path}", timeout=TIMEOUT_S)
        assert (reply.status_code, reply.content) == (200, b"")
        assert {name: reply.headers[name] for name in names} == {name: headers[name] for name in names}
        # Its length is not known.
        assert "Content-Length" not in reply.headers
    assert requests.head(f"{url}/v1/versions/mean/file?format=exe", timeout=TIMEOUT_S).status_code == 400


def test_a_version(served: tuple[Store, str]) -> None:
    writer, url = served
    version = writer.dataset("mean")
    found = _get(f"{url}/v1/versions/mean@1").json()
    assert found["fingerprint"] == version.fingerprint
    assert found["recipe"] == version.recipe.to_dict()
    assert [each["label"] for each in found["groups"]] == [group.label for group in version.groups]
    assert _get(f"{url}/v1/versions/mean/cite").json()["bibtex"] == version.cite().bibtex
    assert _rows(_get(f"{url}/v1/versions").json())[0]["name"] == "mean"
    assert len(_get(f"{url}/v1/versions/mean/members").json()["rows"]) == len(version.experiments)
    assert _get(f"{url}/v1/versions/mean/stale").json()["reports"][0]["is_stale"] is False
    regions = _rows(_get(f"{url}/v1/versions/mean/regions", structures="VISp").json())
    assert {row["structure"] for row in regions} == {"VISp"}
    assert _get(f"{url}/v1/datasets").json()["datasets"][0]["name"] == "mean"
    assert _get(f"{url}/v1/versions/mean/lineage").status_code == 200


def test_members_have_their_weights(served: tuple[Store, str]) -> None:
    writer, url = served
    version = writer.aggregate(
        VISUAL, name="overlap", group_by=by_region(["root"]), weight_by="injection_overlap", missing="leave_out"
    )
    try:
        rows = _rows(_get(f"{url}/v1/versions/overlap/members").json())
        assert {row["experiment_id"]: row["weight"] for row in rows if row["group"] == 0} == version.weights()
        assert "weight" not in _rows(_get(f"{url}/v1/versions/mean/members").json())[0]
    finally:
        writer.datasets.delete("overlap@1")


# -- kept answers --------------------------------------------------------------------------------------------------


def test_a_kept_answer_is_given_until_the_catalog_changes(
    served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, url = served
    asked = []

    def noted(store: Store, clean: Any) -> KnownExperiments:
        asked.append(store)
        return KnownExperiments(store, clean)

    monkeypatch.setattr(shared, "KnownExperiments", noted)
    # A commit, so that nothing is kept.
    writer.catalog.save_selection("kept", [1])
    first = _get(f"{url}/v1/experiments")
    assert _get(f"{url}/v1/experiments").content == first.content
    # Another part of the same table.
    assert _get(f"{url}/v1/experiments", offset=2).json()["total"] == len(IDS)
    assert len(asked) == 1
    assert _get(f"{url}/v1/experiments", {"If-None-Match": first.headers["ETag"]}).status_code == 304
    writer.catalog.exclude([1], "blurred")
    after = _get(f"{url}/v1/experiments", {"If-None-Match": first.headers["ETag"]})
    writer.catalog.lift_exclusion([1])
    assert after.status_code == 200
    assert after.json()["total"] == len(IDS) - 1


# -- the description of the API ------------------------------------------------------------------------------------


def test_unionize_rows_of_very_many_experiments_are_refused(
    served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = served
    monkeypatch.setattr(experiments, "_MAX_SIGNAL_ROWS", 12)
    found: dict[str, Any] = {"selection": "1,2,3", "missing": "leave_out"}
    choices: list[dict[str, Any]] = [{}, {"structures": "VISp", "include_descendants": "true"}, {"structures": "VISp"}]
    for more in choices:
        refused = _get(f"{url}/v1/signal", **found, **more)
        assert (refused.status_code, refused.json()["code"]) == (400, "InputError")
        assert "unionize rows of 3 experiments are too many" in refused.json()["detail"]
    assert _get(f"{url}/v1/signal", **found | {"selection": "1,2"}, structures="VISp").status_code == 200


def test_others_do_not_wait_for_long_queries(served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, url = served
    is_over, entered = threading.Event(), threading.Semaphore(0)

    def long_query(*_: Any, **__: Any) -> pd.DataFrame:
        entered.release()
        assert is_over.wait(60)
        frame = pd.DataFrame({"a": [1]})
        frame.attrs["truncated"] = False
        return frame

    monkeypatch.setattr(Store, "sql", long_query)
    monkeypatch.setattr(shared, "_MAX_WAITING", 14)

    def ask(_: int) -> requests.Response:
        return requests.post(f"{url}/v1/sql", json={"statement": "SELECT 1"}, timeout=60)

    # One more than may run and wait.
    count = shared.LONG_AT_A_TIME + 14 + 1
    with ThreadPoolExecutor(count) as pool:
        queries = [pool.submit(ask, each) for each in range(count)]
        try:
            assert all(entered.acquire(timeout=60) for _ in range(shared.LONG_AT_A_TIME))
            assert requests.get(f"{url}/v1/status", timeout=60).status_code == 200
            refused = next(as_completed(queries, timeout=60)).result()
            assert (refused.status_code, refused.json()["code"]) == (503, "BusyError")
            assert int(refused.headers["retry-after"]) > 0
        finally:
            is_over.set()
        assert sorted(each.result().status_code for each in queries) == [200] * (count - 1) + [503]


def test_an_export_ends_with_the_server_that_stops(served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[Path] = []
    has_begun = threading.Event()

    def endless(_: DatasetVersion, target: Path, **__: Any) -> None:
        folders.append(target.parent)
        target.write_bytes(b"part")
        has_begun.set()
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(DatasetVersion, "export", endless)
    with open_store(served[0].path, read_only=True) as store, ThreadPoolExecutor(1) as pool:
        with serving(store, ServerOptions(shutdown_s=1)) as url:
            asked = pool.submit(requests.get, f"{url}/v1/versions/mean/file?format=npy", timeout=30)
            assert has_begun.wait(20)
            began = time.monotonic()
        assert time.monotonic() - began < 15
        assert (asked.result().status_code, asked.result().json()["code"]) == (503, "BusyError")
    assert not folders[0].exists()


def test_an_export_that_ends_in_time_is_complete(served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _get(f"{served[1]}/v1/versions/mean/file", format="nc").content
    has_begun, may_end = threading.Event(), threading.Event()
    export = DatasetVersion.export

    def waiting(version: DatasetVersion, target: Path, **given: Any) -> Path:
        has_begun.set()
        assert may_end.wait(20)
        return export(version, target, **given)

    monkeypatch.setattr(DatasetVersion, "export", waiting)
    with open_store(served[0].path, read_only=True) as store, ThreadPoolExecutor(1) as pool:
        with serving(store, ServerOptions(shutdown_s=20)) as url:
            asked = pool.submit(requests.get, f"{url}/v1/versions/mean/file?format=nc", timeout=30)
            assert has_begun.wait(20)
            threading.Timer(0.5, may_end.set).start()
        assert (asked.result().status_code, asked.result().content) == (200, expected)


def test_every_operation_without_required_parameters_answers(served: tuple[Store, str]) -> None:
    _, url = served
    values = {"experiment_id": 1, "ref": "mean", "structure": "VISp", "structures": "VISp", "target": "VISp"}
    values |= {"point": "8000,1500,8500", "text": "vis", "other": "mean", "ids": "1", "selection": "1"}
    for operation in OPERATIONS:
        if operation.method != "GET" or "sha256" in operation.path:
            continue
        path = re.sub(r"\{(\w+)(:\w+)?\}", lambda match: str(values[match[1]]), operation.path)
        needed = {each.name for each in operation.parameters if each.is_required}
        if operation.path in ("/v1/signal", "/v1/rank-structures", "/v1/search/targets-of"):
            needed.add("selection")
        asked: dict[str, Any] = {name: values[name] for name in needed if name not in operation.path_names}
        reply = _get(f"{url}{path}", **asked)
        known = reply.headers["Content-Type"] == "application/problem+json" and reply.json()["code"]
        assert reply.status_code == 200 or known in ("MissingDataError", "InputError"), (operation.name, reply.text)


def test_the_document_describes_every_route_and_each_name_once(served: tuple[Store, str]) -> None:
    _, url = served
    found = _get(f"{url}/openapi.json").json()
    assert found["openapi"] == "3.1.0"
    assert found["paths"].keys() == document()["paths"].keys()
    names = [operation.name for operation in DESCRIBED]
    assert len(set(names)) == len(names)
    for path, methods in found["paths"].items():
        for described in methods.values():
            placed = {each["name"] for each in described["parameters"] if each["in"] == "path"}
            assert placed == set(re.findall(r"\{(\w+)\}", path))
    assert len(found["paths"]) == len({operation.path for operation in DESCRIBED})
    routes = application(served[0], options=ServerOptions()).routes
    answered = {re.sub(r":\w+", "", str(getattr(each, "path", ""))) for each in routes}
    assert {path for path in answered if path.startswith("/v1/")} == {
        path for path in found["paths"] if path.startswith("/v1/")
    }


def test_images_accept_the_parameters_that_the_document_describes(served: tuple[Store, str]) -> None:
    _, url = served
    values = {"version": "mean", "experiment": 1, "kind": "projection_density", "spacing_um": 100, "statistic": "mean"}
    values |= {"group": 0, "minus": 1, "key": "x", "chunk": "0-64_0-64_0-64", "structure": "VISp", "plane": "sagittal"}
    values |= {
        "index": 3,
        "at_um": 3_000,
        "level": 2,
        "structure_set": 2,
        "content": "x",
        "hemisphere": "left",
        "map": "x",
    }
    values |= {"scale": "linear", "vmin": 0, "vmax": 1, "theme": "dark", "zoom": 2}
    for described in (each for each in DESCRIBED if each.group == "images"):
        path = re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), described.path)
        for parameter in described.parameters:
            if parameter.name not in described.path_names:
                asked: dict[str, Any] = {parameter.name: values[parameter.name]}
                reply = _get(f"{url}{path}", **asked)
                # Others may be missing; an unknown one is refused by its name.
                assert "is not a parameter" not in reply.text, (described.name, parameter.name)
        assert "is not a parameter" in _get(f"{url}{path}", nothing=1).text, described.name


def test_the_page_shows_every_operation(served: tuple[Store, str]) -> None:
    text = _get(f"{served[1]}/docs").text
    for operation in DESCRIBED:
        assert f'id="{operation.name.replace("_", "-")}"' in text
    assert "<script>" not in text


def test_the_documentation_lists_every_operation() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "web-api.md").read_text(encoding="utf-8")
    for operation in OPERATIONS:
        parts = [part for part in operation.path.split("/")[2:] if not part.startswith("{")]
        assert f"`{parts[-1]}`" in text or f"`/v1/{'/'.join(parts)}" in text, operation.path


# -- damaged catalogs ----------------------------------------------------------------------------------------------


def _damage(store: Store, change: str) -> None:
    with closing(sqlite3.connect(store.path / "catalog.db", isolation_level=None)) as connection:
        connection.execute(change)


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_damaged_color_only_stops_what_shows_it(filled: Store) -> None:
    _damage(filled, f"UPDATE structure SET color_hex_triplet = 'GGGGGG' WHERE id = {VISP}")
    with serving(filled) as url:
        answer = _get(f"{url}/v1/selection", CLOSING, selection=VISUAL_TEXT)
        assert tuple(answer.json()["experiment_ids"]) == filled.select(VISUAL)
        assert _get(f"{url}/v1/experiments", CLOSING).status_code == 200


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_server_of_a_catalog_with_a_damaged_number_starts(filled: Store) -> None:
    _damage(filled, f"UPDATE experiment SET injection_ap = 'x' WHERE id = {IDS[0]}")
    with serving(filled) as url:
        for path in ("experiments", "selection", f"experiments/{IDS[0]}"):
            refused = _get(f"{url}/v1/{path}", CLOSING)
            assert (refused.status_code, refused.json()["code"]) == (500, "DamagedCatalogError"), path
            assert "catalog verify" in refused.json()["hint"]
        assert _get(f"{url}/v1/structures", CLOSING).status_code == 200
        assert _get(f"{url}/docs", CLOSING).status_code == 200


@pytest.mark.parametrize("database", ["sqlite"])
def test_an_experiment_whose_structure_is_damaged_is_not_replaced_by_another(filled: Store) -> None:
    _damage(filled, f"UPDATE experiment SET primary_structure_id = 4711 WHERE id = {IDS[0]}")
    asked = [Selection(), Selection(ids=[IDS[0]]), Selection(projecting_to="VISp") | Selection()]
    with serving(filled) as url:
        for selection in asked:
            text = selection.to_json()
            found = _get(f"{url}/v1/selection", CLOSING, selection=text).json()
            assert IDS[0] in found["experiment_ids"]
            assert found["experiment_ids"] == list(filled.select(selection))
            rows = _rows(_get(f"{url}/v1/experiments", CLOSING, selection=text).json())
            assert [row["experiment_id"] for row in rows] == filled.experiments(selection)["experiment_id"].tolist()
        for path in ("v1/experiments", "experiments"):
            refused = _get(f"{url}/{path}/{IDS[0]}", CLOSING)
            assert (refused.status_code, refused.json()["code"]) == (500, "DamagedCatalogError"), path


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize("change", ["injection_volume = 'x'", "product_id = 'x'", "strain = x'ff'"])
def test_a_damaged_value_is_an_error_about_damage(filled: Store, change: str) -> None:
    _damage(filled, f"UPDATE experiment SET {change} WHERE id = {IDS[0]}")
    with serving(filled) as url:
        answers = [_get(f"{url}/{path}", CLOSING) for path in ("v1/experiments", "v1/summary", "experiments")]
    codes = {each.json()["code"] for each in answers if each.status_code != 200}
    assert codes == {"DamagedCatalogError"}


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize("value", ["'x'", "2 * injection_volume"])
def test_pages_that_do_not_need_a_damaged_experiment_open_and_name_it(filled: Store, value: str) -> None:
    filled.aggregate([IDS[1]], name="other")
    _damage(filled, f"UPDATE experiment SET injection_volume = {value} WHERE id = {IDS[0]}")
    with serving(filled) as url:
        for path in ("", "structures", "datasets", "datasets/other@1", "view", "cite", "experiments"):
            shown = _get(f"{url}/{path}", CLOSING)
            assert shown.status_code == 200, path
            assert re.search(rf"The catalog is damaged[^<]* {IDS[0]}\b", shown.text), path
            assert "<code>bsv-store catalog verify</code> lists all damage" in shown.text, path
        assert _get(f"{url}/experiments/{IDS[1]}", CLOSING).status_code == 200
        if value == "'x'":
            for path in (f"experiments/{IDS[0]}", "experiments.json", "v1/experiments", "v1/status"):
                refused = _get(f"{url}/{path}", CLOSING)
                assert (refused.status_code, refused.json()["code"]) == (500, "DamagedCatalogError"), path


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize("change", ["dataset_member SET weight = 3", "dataset_version SET recipe = '{}'"])
def test_a_damaged_version_does_not_stop_the_pages_that_list_it(filled: Store, change: str) -> None:
    filled.aggregate(VISUAL, name="damaged", missing="leave_out")
    _damage(filled, f"UPDATE {change}")
    with serving(filled) as url:
        for path in ("", "view", "datasets"):
            shown = _get(f"{url}/{path}", CLOSING)
            assert shown.status_code == 200
            assert ("damaged</a>" if path == "datasets" else "damaged@1</a>") in shown.text
            assert "It is damaged, or was computed by a newer version" in shown.text
        assert _get(f"{url}/datasets/damaged@1", CLOSING).status_code in (500, 503)


@pytest.mark.parametrize("database", ["sqlite"])
def test_weights_that_are_only_in_a_missing_file_are_named(filled: Store) -> None:
    add_annotation(filled, np.full(Grid(100).shape, VISP, np.uint32))
    version = filled.aggregate(
        VISUAL, name="old", group_by=by_region(["root"]), weight_by="injection_overlap", missing="leave_out"
    )
    _damage(filled, "UPDATE dataset_member SET weight = NULL")
    version.path.unlink()
    with serving(filled) as url:
        refused = _get(f"{url}/v1/versions/old/members", CLOSING).json()
    assert refused["code"] == "DamagedFileError"
    assert refused["detail"].startswith("the weights of old@1 are only in its file")
    assert "bsv-store dataset rebuild old@1" in refused["hint"]
