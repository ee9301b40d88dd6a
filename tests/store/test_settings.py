"""Settings: which value applies, where it comes from, and changes in store.toml."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bsv_store import Store, open_store
from bsv_store.config import Setting, all_settings, read_store_config, setting
from bsv_store.config.files import system_file, user_file
from bsv_store.errors import InputError, NotAStoreError, QueryError, ReadOnlyStoreError
from bsv_store.vocabulary import LOG_FORMATS, LOG_LEVELS, SETTING_PLACES, SETTINGS
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

# A valid value of each setting, as in a TOML file.
VALID: dict[str, Any] = {
    "store": "/data/store",
    "api_url": "http://mirror.example",
    "download_url": "http://files.example",
    "netrc": "/etc/netrc",
    "http_hosts": "lab.example, other",
    "log_file": "/var/log/bsv-store.log",
    "log_level": "debug",
    "log_format": "json",
    "progress": "off",
    "group": "lab",
    "file_mode": "0660",
    "directory_mode": "2770",
    "trash_days": 7,
    "sql_timeout": 5.0,
    "max_connections": 8,
    "fetch_workers": 2,
    "cache": "/scratch/cache",
    "cache_max_bytes": 5_000_000_000,
}
WRONG: dict[str, list[Any]] = {
    "store": [3, ""],
    "api_url": ["mirror", "ftp://mirror", "http://u:hunter2@mirror", "http://mirror?key=hunter2", 7, "http://"],
    "download_url": ["mirror", ""],
    "netrc": ["", 1, "a\0b"],
    "http_hosts": ["", 1, "a b", "http://a"],
    "log_file": ["", False, "a\0b"],
    "log_level": ["loud", 10, ""],
    "log_format": ["xml", 1],
    "progress": ["maybe", 1, ""],
    "group": ["", "a b", "x" * 65, 7, "a:b"],
    "file_mode": ["0777", "664", 664, "0o664"],
    "directory_mode": ["0664", 2775, "6775"],
    "trash_days": [-1, 1.5, "7", True, 10**9],
    "sql_timeout": [0, -1, float("nan"), float("inf"), "5", True, 1e9],
    "max_connections": [0, -1, 65, 1.5, "8", True],
    "fetch_workers": [0, 65, 2.0, "2", True],
    "cache": ["", 1, "a\0b"],
    "cache_max_bytes": ["much", -1, 1.5, True, 10**16],
}
PLACES = ("argument", "environment", "store.toml", "user file", "system file", "default")
ALL_LEVELS = ("debug", "info", "warning", "error")
ALL_FORMATS = ("text", "json")


def write(file: Path, **values: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    return file


def test_every_setting_is_listed_here() -> None:
    assert list(SETTINGS) == list(VALID) == list(WRONG)
    assert tuple(SETTING_PLACES) == PLACES
    assert (tuple(LOG_LEVELS), tuple(LOG_FORMATS)) == (ALL_LEVELS, ALL_FORMATS)


@pytest.mark.parametrize("name", [row.name for row in SETTINGS.values() if row.in_files])
def test_argument_environment_user_file_system_file_default_in_this_order(
    name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = SETTINGS[name]
    assert setting(name) == Setting(name, row.default, "default", None, row.words)
    file = write(system_file(), **{name: VALID[name]})
    assert setting(name).place == "system file"
    assert setting(name).origin == str(file)
    file = write(user_file(), **{name: VALID[name]})
    assert setting(name).value == VALID[name]
    assert setting(name).origin == str(file)
    if row.variable is not None:
        monkeypatch.setenv(row.variable, str(VALID[name]))
        assert (setting(name).value, setting(name).origin) == (VALID[name], row.variable)
        # An empty variable counts as not set.
        monkeypatch.setenv(row.variable, "")
    assert setting(name).place == "user file"
    assert setting(name, VALID[name]).place == "argument"


@pytest.mark.parametrize("name", [row.name for row in SETTINGS.values() if row.in_store])
def test_the_store_comes_before_files_and_after_the_environment(
    store: Store, name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "0" if name == "group" else VALID[name]
    now = store.admin.configure(name, value)
    assert (now.name, now.value, now.place, now.origin) == (name, value, "store.toml", "store.toml")
    row = SETTINGS[name]
    if row.in_files:
        write(user_file(), **{name: "http://other.example" if isinstance(value, str) else value + 1})
    assert {each.name: each for each in store.admin.settings()}[name].value == value
    if row.variable is not None:
        monkeypatch.setenv(row.variable, "http://another.example")
        assert {each.name: each for each in store.admin.settings()}[name].value == "http://another.example"
    # Read by a new process too: the checksum is right.
    with open_store(store.path) as again:
        assert again.config.stored_value(name) == value
    (record, *_) = store.admin.activity().to_dict("records")
    assert (record["action"], record["subject"]) == ("configured", name)
    assert record["details"]["after"] == value
    store.admin.configure(name, None)
    assert read_store_config(store.path) == store.config


@pytest.mark.parametrize(("name", "value"), [(name, each) for name, values in WRONG.items() for each in values])
def test_a_value_that_is_not_valid_is_refused_wherever_it_is(
    tmp_path: Path, name: Any, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = SETTINGS[name]
    with pytest.raises(InputError) as caught:
        setting(name, value)
    assert "hunter2" not in str(caught.value)
    text = f'"{value}"' if isinstance(value, str) else str(value).lower()
    if row.in_files and "\0" not in text:
        user_file().parent.mkdir(parents=True)
        user_file().write_text(f"{name} = {text}\n")
        with pytest.raises(InputError, match=r"config\.toml") as caught:
            setting(name)
        assert "hunter2" not in str(caught.value)
    if row.in_store:
        (tmp_path / "store.toml").write_text(
            'store_id = "a"\nformat_version = 1\ndatabase = "sqlite"\n'
            + "".join(f'{mode} = "{default}"\n' for mode, default in MODES.items() if mode != name)
            + f"{name} = {text}\n"
        )
        with pytest.raises(NotAStoreError, match=name) as damaged:
            read_store_config(tmp_path)
        assert "hunter2" not in str(damaged.value)
    if row.variable is not None and isinstance(value, str) and value and "\0" not in value:
        monkeypatch.setenv(row.variable, value)
        with pytest.raises(InputError, match=row.variable):
            setting(name)


MODES = {"file_mode": "0664", "directory_mode": "2775"}


@pytest.mark.parametrize("where", [user_file, system_file])
def test_a_misspelled_key_in_a_file_is_an_error_with_the_near_name(where: Callable[[], Path]) -> None:
    write(where(), stor="/data/store")
    for read in (lambda: setting("store"), lambda: setting("api_url"), all_settings, open_store):
        with pytest.raises(InputError, match="unknown key 'stor'") as caught:
            read()
        assert "Did you mean 'store'?" in str(caught.value)
        assert str(where()) in str(caught.value)


def test_a_setting_of_a_store_in_a_file_is_an_error_that_names_the_command() -> None:
    write(user_file(), trash_days=3)
    with pytest.raises(InputError, match="config set trash_days") as caught:
        setting("api_url")
    assert "is set for a whole store" in str(caught.value)


def test_a_misspelled_key_in_store_toml_is_an_error_with_the_near_name(store: Store) -> None:
    file = store.path / "store.toml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("checksum")]
    file.write_text("\n".join([*lines, "trash_day = 3", ""]))
    with pytest.raises(NotAStoreError, match="unknown key 'trash_day'") as caught:
        open_store(store.path)
    assert "Did you mean 'trash_days'?" in str(caught.value)


def test_wrong_names_and_values_of_a_store_change_nothing(store: Store) -> None:
    before = (store.path / "store.toml").read_bytes()
    for name, value, text in [
        ("trash_day", 1, "Did you mean 'trash_days'"),
        ("trash_days", "soon", "whole number of days"),
        ("sql_timeout", "-5", "positive number"),
        ("group", "no-such-group", "there is no group 'no-such-group'"),
        ("store", "/x", "BSV_STORE"),
        ("netrc", "/x", "BSV_STORE_NETRC"),
        ("database", "sqlite", "must be one of"),
        (7, "x", "must be one of"),
    ]:
        with pytest.raises(InputError, match=text):
            store.admin.configure(name, value)  # type: ignore[arg-type]
    assert (store.path / "store.toml").read_bytes() == before
    assert set(store.admin.activity()["action"]) == {"created"}
    with open_store(store.path, read_only=True) as reader, pytest.raises(ReadOnlyStoreError):
        reader.admin.configure("trash_days", 3)


def test_simultaneous_changes_are_not_lost(store: Store) -> None:
    changes = [
        ("trash_days", 3),
        ("sql_timeout", 7),
        ("api_url", "http://a.example"),
        ("download_url", "http://b.example"),
    ]

    def change(each: tuple[str, Any]) -> None:
        with open_store(store.path) as own:
            own.admin.configure(*each)

    with ThreadPoolExecutor(len(changes)) as pool:
        list(pool.map(change, changes))
    config = read_store_config(store.path)
    assert (config.trash_days, config.sql_timeout) == (3, 7.0)
    assert (config.api_url, config.download_url) == ("http://a.example", "http://b.example")


def test_the_address_of_a_mirror_applies_to_all_users_of_the_store(store: Store) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=3)) as server:
        store.admin.configure("api_url", f"{server.url}/")
        store.sync_structures()
        assert store.sync_experiments().rows == 3
    (snapshot, *_) = store.status().catalog.latest_snapshots
    assert snapshot.source.startswith(server.url)


def test_passwords_of_a_mirror_are_read_from_the_file_that_the_user_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bsv_store.sources.allen.credentials import logins

    file = tmp_path / "netrc"
    file.write_text("machine mirror.example login me password hunter2\n")
    assert logins(["http://mirror.example"]) == {}
    write(user_file(), netrc=str(file))
    assert logins(["http://mirror.example"]) == {"mirror.example": ("me", "hunter2")}
    monkeypatch.setenv("BSV_STORE_NETRC", str(tmp_path / "missing"))
    with pytest.raises(InputError, match="BSV_STORE_NETRC"):
        logins(["http://mirror.example"])


def test_the_timeout_of_queries_applies_to_all_users_of_the_store(store: Store) -> None:
    store.admin.configure("sql_timeout", 0.05)
    slow = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000000) select count(*) from n"
    with pytest.raises(QueryError, match=r"0\.05"):
        store.sql(slow, allow_superuser=True)
    assert store.sql("select 1 as one", timeout_s=20, allow_superuser=True)["one"][0] == 1
