"""Targets: documents in JSON and TOML, and texts of users."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from bsv_store.averaging.grouping.grouping import by_coordinate, by_field, by_region, crossed, grouping_from_json
from bsv_store.averaging.recipe import Recipe
from bsv_store.averaging.recorded import RecordedInputs
from bsv_store.catalog.portable import portable_from_json
from bsv_store.catalog.selection.selection import Selection
from bsv_store.config.files import file_values
from bsv_store.config.store_file import StoreConfig, read_store_config
from bsv_store.config.values import base_address, checked_value, parsed
from bsv_store.quantities import parse_duration, parse_size
from bsv_store.remote.token import _from_file
from bsv_store.vocabulary import SETTINGS
from tests.reliability.fuzzing.mutate import any_of, mutate_bytes, mutate_json, mutate_text
from tests.reliability.fuzzing.target import Prepared, Target

_SELECTIONS = (
    Selection(injected_in=["VISp", 385], injection="primary", min_injection_volume=0.1),
    (Selection(ids=[1, 2]) | Selection(line="Rbp4-Cre_KL100")) - Selection(injected_hemisphere="left"),
    Selection(box=((0, 1000), None, (100.0, 5700.0))),
)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _selection(_scratch: Path) -> Prepared:
    def run(data: bytes) -> None:
        found = Selection.from_json(_text(data))
        assert Selection.from_json(found.to_json()) == found, "it changes when it is read again"

    return Prepared([each.to_json().encode() for each in _SELECTIONS], run)


def _recipes() -> list[Recipe]:
    return [
        Recipe(selection=_SELECTIONS[0]),
        Recipe(
            selection=_SELECTIONS[1],
            grouping=by_coordinate("AP", edges=[0, 5000, 9000]),
            statistics=("mean", "sd", "n"),
        ),
        Recipe(selection=_SELECTIONS[0], grouping=crossed(by_field("line"), by_region({"a": ["VISp"], "b": "MOp"}))),
    ]


def _recipe(_scratch: Path) -> Prepared:
    def run(data: bytes) -> None:
        found = Recipe.from_json(_text(data))
        assert Recipe.from_json(found.to_json()) == found, "it changes when it is read again"

    return Prepared([each.to_json().encode() for each in _recipes()], run)


def _grouping(_scratch: Path) -> Prepared:
    def run(data: bytes) -> None:
        found = grouping_from_json(_text(data))
        assert grouping_from_json(found.to_json()) == found, "it changes when it is read again"

    return Prepared([each.grouping.to_json().encode() for each in _recipes()], run)


def _recorded(_scratch: Path) -> Prepared:
    member = {
        "experiment_id": 1,
        "group": 0,
        "divisor": 1.0,
        "injected": None,
        "volume": "a" * 64,
        "exclude": None,
        "weights": None,
    }
    value = {
        "algorithm_version": 1,
        "recipe": _recipes()[0].to_dict(),
        "groups": [{"label": "all", "ranges": []}],
        "members": [member],
        "left_out": [{"experiment_id": 2, "reason": "no volume"}],
    }

    def run(data: bytes) -> None:
        found = RecordedInputs.from_json(_text(data))
        assert found.to_json().encode() == data

    return Prepared([json.dumps(value, sort_keys=True, separators=(",", ":")).encode()], run)


def _portable(_scratch: Path) -> Prepared:
    structure = {
        "id": 997,
        "acronym": "root",
        "name": "root",
        "parent_structure_id": None,
        "graph_order": 0,
        "color_hex_triplet": "FFFFFF",
        "structure_set_ids": [1],
    }
    line = {"name": "Rbp4", "allen_id": 3, "type_name": "driver", "description": None, "stock_number": None}
    experiment: dict[str, Any] = {
        **dict.fromkeys(_experiment_fields()),
        "id": 1,
        "primary_structure_id": 997,
        "primary_structure_acronym": "root",
        "injection_volume": 0.25,
        "injection_ap": 100,
        "injection_dv": 100,
        "injection_ml": 100,
        "injection_structure_ids": [997],
        "lines": [line],
    }
    seed = {"experiments": [experiment], "structures": [structure], "structure_set_names": {"1": "summary"}}

    def run(data: bytes) -> None:
        found = portable_from_json(_text(data), "fuzzed")
        assert (found.experiments.experiments and found.ontology.structures) or json.loads(data)

    return Prepared([json.dumps(seed).encode()], run)


def _experiment_fields() -> list[str]:
    from dataclasses import fields

    from bsv_store.catalog.records import ExperimentRecord

    return [each.name for each in fields(ExperimentRecord)]


def _store_toml(scratch: Path) -> Prepared:
    file = scratch / "store.toml"
    sealed = StoreConfig(
        "a-b_c", group="lab", api_url="https://lab.example/api", trash_days=7, sql_timeout=2.5, max_connections=8
    ).to_toml()
    plain = sealed[: sealed.index("checksum")]

    def run(data: bytes) -> None:
        file.write_bytes(data)
        found = read_store_config(scratch)
        assert found.store_id == tomllib.loads(data.decode())["store_id"]

    return Prepared([sealed.encode(), plain.encode()], run)


def _config_toml(scratch: Path) -> Prepared:
    file = scratch / "config.toml"
    seed = b'store = "/data/store"\nlog_level = "info"\nprogress = "auto"\ncache = "/data/cache"\n'

    def run(data: bytes) -> None:
        file.write_bytes(data)
        for key, value in file_values(file).items():
            checked_value(next(row for row in SETTINGS.values() if row.name == key), value, origin="fuzzed")

    return Prepared([seed], run)


def _tokens(scratch: Path) -> Prepared:
    file = scratch / "tokens.toml"
    file.touch(mode=0o600)

    def run(data: bytes) -> None:
        file.write_bytes(data)
        _from_file("https://lab.example/bsv", file)

    return Prepared([b'"https://lab.example/bsv" = "abc"\n'], run)


def _settings(_scratch: Path) -> Prepared:
    rows = list(SETTINGS.values())

    def run(data: bytes) -> None:
        row = rows[data[0] % len(rows)] if data else rows[0]
        text = _text(data[1:])
        checked_value(row, parsed(row, text), origin="fuzzed")

    samples = (
        b"https://lab.example/x",
        b"/data",
        b"20GB",
        b"30",
        b"2.5",
        b"0664",
        b"2775",
        b"info",
        b"lab",
        b"a.example,b",
    )
    return Prepared([bytes([number]) + text for number in range(len(rows)) for text in samples], run)


def _address(_scratch: Path) -> Prepared:
    def run(data: bytes) -> None:
        found = base_address("url", _text(data), such_as="https://lab.example")
        assert found.isascii()
        assert found.split(":")[0].lower() in ("http", "https")
        assert "@" not in found

    return Prepared([b"https://lab.example:8080/bsv/", b"http://[::1]:80", b"https://a%40b/c"], run)


def _quantities(_scratch: Path) -> Prepared:
    def run(data: bytes) -> None:
        if _text(data).strip()[-1:].lower() == "b":
            parse_size("size", _text(data))
        else:
            parse_duration("time", _text(data))

    return Prepared([b"20GB", b"1.5 TiB", b"10B", b"30 s", b"2h"], run)


DOCUMENTS: dict[str, Target] = {
    "selection": Target("selections, JSON", _selection, mutate_json, weight=20),
    "recipe": Target("recipes, JSON", _recipe, mutate_json, weight=20),
    "grouping": Target("groupings, JSON", _grouping, mutate_json, weight=15),
    "recorded-inputs": Target("recorded inputs, JSON", _recorded, mutate_json, weight=15),
    "portable-catalog": Target("the catalog in a bundle, JSON", _portable, mutate_json, weight=15),
    "store-toml": Target("store.toml", _store_toml, mutate_text),
    "config-toml": Target("configuration files", _config_toml, mutate_text),
    "tokens-toml": Target("token files", _tokens, mutate_text, weight=5),
    "settings": Target("settings as texts", _settings, mutate_bytes, weight=15),
    "address": Target("addresses", _address, any_of(mutate_bytes, mutate_text), weight=10),
    "quantities": Target("sizes and durations", _quantities, mutate_bytes, weight=5),
}
