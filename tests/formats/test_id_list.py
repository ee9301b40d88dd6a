"""Files with experiment ids."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bsv_store.errors import InputError
from bsv_store.formats.id_list import read_ids

IDS = [100141219, 7, 158314987]
FRAME = pd.DataFrame({"structure": ["VISp", "MOp, 1", "CP"], "experiment_id": IDS, "volume": [0.5, None, 1.0]})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("100141219,7,158314987", id="commas"),
        pytest.param("100141219; 7;\n158314987\n\n", id="semicolons and lines"),
        pytest.param("\ufeff100141219\r\n7\r\n158314987\r\n", id="byte order mark"),
        pytest.param("100141219.0\n7.0\n158314987.0\n", id="whole floats"),
        pytest.param(json.dumps(IDS), id="JSON"),
        pytest.param(json.dumps([float(each) for each in IDS]), id="JSON of whole floats"),
        pytest.param(json.dumps([{"experiment_id": each, "sex": "M"} for each in IDS]), id="JSON rows"),
        pytest.param(json.dumps([{"id": each} for each in IDS]), id="JSON rows of AllenSDK"),
        pytest.param(FRAME.to_csv(index=False), id="CSV"),
        pytest.param(FRAME.to_csv(), id="CSV with an index"),
        pytest.param("\ufeff" + FRAME.to_csv(index=False, sep=";"), id="CSV with semicolons"),
        pytest.param(FRAME.rename(columns={"experiment_id": "id"}).to_csv(index=False), id="column id"),
        pytest.param("experiment_id\n100141219\n7\n158314987\n", id="one column"),
        pytest.param("id,experiment_id\n1,100141219\n2,7\n3,158314987\n", id="the more specific column"),
    ],
)
def test_ids_are_read_in_order(text: str) -> None:
    assert read_ids(text.encode(), what="x") == IDS


def test_nothing_is_no_id() -> None:
    for text in ("", "\n", "[]", "experiment_id\n", ","):
        assert read_ids(text.encode(), what="x") == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"1,x", "x has no column of experiment ids; it has"),
        (b"1\nx", "x: 'x' is not a valid id"),
        (b"1.5", "'1.5' is not a valid id"),
        (b"0", "'0' is not a valid id"),
        (b"9" * 5000, "is not a valid id"),
        (b"[" + b"9" * 5000 + b"]", "x is not valid JSON"),
        (b"[9223372036854775808]", "too large"),
        (b"[true]", "True is not a valid id"),
        (b"[1.5]", "1.5 is not a valid id"),
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[[1]]", "is not a valid id"),
        (b'["x"]', "'x' is not a valid id"),
        (b"[1", "x is not valid JSON"),
        (b"[" * 100_000, "x is not valid JSON"),
        (b'[{"name": 1}]', "no column of experiment ids"),
        (b'{"ids": [1], "version": 1}', "is a selection"),
        (b'{"ids": [1]}', "JSON object, not a list"),
        (b"structure,name\nVISp,x\n", "no column of experiment ids"),
        (b"experiment_id,name\n1\n", "row 2: 1 cells instead of 2"),
        (b"experiment_id,name\n,x\n", "row 2: '' is not a valid id"),
        (b'experiment_id\n"1\n', "not a complete CSV"),
        (b"\xff\xfe1\x00", "UTF-16"),
        (b"caf\xe9", "not UTF-8"),
        ("١".encode(), "no column of experiment ids"),
    ],
)
def test_anything_else_is_refused_by_name(body: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_ids(body, what="x")
