"""Where the store is, and what its folder says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_config_path

from bsv_store import create_store, open_store
from bsv_store.config import StoreConfig, locate_store, read_store_config
from bsv_store.errors import InputError, NotAStoreError, SchemaTooNewError
from bsv_store.store.opening import schema_state


def configure(text: str) -> Path:
    file = user_config_path("bsv-store", appauthor=False) / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def test_argument_comes_before_environment_before_file_before_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locate_store().origin == "default"
    file = configure(f'store = "{tmp_path / "configured"}"')
    assert locate_store().path == tmp_path / "configured"
    assert locate_store().origin == str(file)
    monkeypatch.setenv("BSV_STORE", str(tmp_path / "environment"))
    assert locate_store().path == tmp_path / "environment"
    assert locate_store(tmp_path / "argument").path == tmp_path / "argument"


def test_without_any_setting_the_error_says_what_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    default = locate_store().path
    with pytest.raises(NotAStoreError) as caught:
        open_store()
    said = str(caught.value)
    assert f"no store was specified, and there is none in the default folder {default}" in said
    assert "BSV_STORE is not set" in said
    assert "config.toml does not exist" in said
    assert "export BSV_STORE=STORE, or --store STORE" in said
    # The advice to create one comes last.
    assert said.index("init") > said.index("--store")
    with pytest.raises(NotAStoreError, match="BSV_STORE is not set"):
        schema_state()
    configure('api_url = "https://mirror.example"')
    with pytest.raises(NotAStoreError, match=r"config\.toml does not specify a store"):
        open_store()


def test_an_error_names_the_setting_that_named_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = configure(f'store = "{tmp_path / "configured"}"')
    with pytest.raises(NotAStoreError, match=r"configured is not a bsv-store.*\(folder specified by ") as caught:
        open_store()
    assert str(file) in str(caught.value)
    monkeypatch.setenv("BSV_STORE", str(tmp_path / "environment"))
    with pytest.raises(NotAStoreError, match=r"environment is not a bsv-store.*specified by .*BSV_STORE\)"):
        open_store()


def test_a_file_inside_a_store_is_refused_with_the_folder(tmp_path: Path) -> None:
    create_store(tmp_path / "store").close()
    with pytest.raises(NotAStoreError, match=r"catalog\.db is a file of a bsv-store, not a store") as caught:
        open_store(tmp_path / "store" / "catalog.db")
    assert f"The store is the folder {tmp_path / 'store'}." in str(caught.value.hint)


@pytest.mark.parametrize("text", ["store = ", "store = 3"])
def test_unreadable_configuration_is_an_error(text: str) -> None:
    configure(text)
    with pytest.raises(InputError, match=r"config\.toml"):
        locate_store()


def test_configuration_survives_the_round_trip(tmp_path: Path) -> None:
    config = StoreConfig("some-id", database='postgresql+psycopg://me@host/a"b?host=%2Ftmp', file_mode=0o660)
    (tmp_path / "store.toml").write_text(config.to_toml())
    assert read_store_config(tmp_path) == config


def flips(data: bytes) -> list[bytes]:
    """The data with each single bit flipped."""
    return [
        data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]
        for place in range(len(data))
        for bit in range(8)
    ]


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    config = StoreConfig("3b0e6b1e-6d4c-4a5a-9f0f-6f2f0c9d1a11", database="postgresql+psycopg://me@host/lab")
    silent = []
    for damaged in flips(config.to_toml().encode()):
        (tmp_path / "store.toml").write_bytes(damaged)
        try:
            if read_store_config(tmp_path) != config:
                silent.append(damaged)
        except (NotAStoreError, SchemaTooNewError):
            continue
    assert len(silent) == 0, silent[0]


@pytest.mark.parametrize(
    ("before", "after"), [("0664", "0660"), ("2775", "2755"), ("sqlite", "postgresql://me@host/x")]
)
def test_an_edit_is_refused_until_the_checksum_is_deleted(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / "store.toml"
    text = StoreConfig("a").to_toml()
    assert text.count(before) == 1
    file.write_text(text.replace(before, after))
    with pytest.raises(NotAStoreError, match="checksum does not match") as caught:
        read_store_config(tmp_path)
    assert "db upgrade" in str(caught.value.hint)
    lines = text.replace(before, after).splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith("checksum")))
    assert after in read_store_config(tmp_path).to_toml()


OLD = {
    "store_id": '"a-b"',
    "format_version": "1",
    "database": '"sqlite"',
    "file_mode": '"0664"',
    "directory_mode": '"2775"',
}


def written(values: dict[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in values.items())


def test_a_file_of_an_earlier_version_without_checksum_is_read(tmp_path: Path) -> None:
    (tmp_path / "store.toml").write_text(written(OLD))
    assert read_store_config(tmp_path) == StoreConfig("a-b")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("store_id", "7"),
        ("store_id", '""'),
        ("store_id", '"a b"'),
        ("store_id", '"' + "a" * 65 + '"'),
        ("format_version", "0"),
        ("format_version", "true"),
        ("format_version", "1.0"),
        ("format_version", '"1"'),
        ("database", '"sqlitd"'),
        ("database", '"mysql://me:hunter2@host/x"'),
        ("database", "1"),
        ("file_mode", "664"),
        ("file_mode", '"664"'),
        ("file_mode", '"0764"'),
        ("file_mode", '"0464"'),
        ("file_mode", '"0662"'),
        ("file_mode", '"4664"'),
        ("file_mode", '"0o664"'),
        ("file_mode", '"\u0660664"'),
        ("directory_mode", '"2675"'),
        ("directory_mode", '"2774"'),
        ("directory_mode", '"6775"'),
        ("directory_mode", '"0000"'),
        ("directory_mode", "2775"),
        ("checksum", "0"),
        ("other", "0"),
    ],
)
def test_values_out_of_range_and_unknown_keys_are_named(tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "store.toml").write_text(written({**OLD, key: value}))
    with pytest.raises(NotAStoreError, match=key) as caught:
        read_store_config(tmp_path)
    assert caught.value.hint
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", OLD)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    (tmp_path / "store.toml").write_text(written({name: value for name, value in OLD.items() if name != key}))
    with pytest.raises(NotAStoreError, match=f"has no {key}"):
        read_store_config(tmp_path)


@pytest.mark.parametrize("path", ["a\x00b", "caf\udce9", "", "~no-such-user-of-this-machine/store", 7, b"bytes"])
def test_a_path_that_cannot_be_one_is_refused(path: Any) -> None:
    with pytest.raises(InputError, match="the path of the store"):
        locate_store(path)


@pytest.mark.parametrize(
    "path", ["postgresql://bsv:secret@host/db", Path("postgresql://bsv:secret@host/db"), "s3://secret/bsv", "file:///x"]
)
def test_a_url_of_another_type_is_not_taken_for_a_folder(path: Any) -> None:
    with pytest.raises(InputError, match=r"folder or the address of a server, got a URL of the type \w+") as caught:
        locate_store(path)
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="got a URL of the type"):
        create_store(path)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:8080", "http://localhost:8080"),
        ("[::1]:8080/bsv", "http://[::1]:8080/bsv"),
        ("lab.example:443", "https://lab.example:443"),
        ("lab.example:8080/bsv", "https://lab.example:8080/bsv"),
    ],
)
def test_an_address_without_scheme_is_not_taken_for_a_new_folder(
    text: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for location in (text, Path(text)):
        with pytest.raises(InputError, match="must be a folder or the address of a server") as caught:
            open_store(location)
        assert str(caught.value.hint).startswith(f"Did you mean {address}")
        assert "init" not in str(caught.value)
    (tmp_path / text).mkdir(parents=True)
    assert locate_store(text).path == tmp_path / text
    assert locate_store(tmp_path / text).path == tmp_path / text


@pytest.mark.parametrize(
    "text",
    [
        *("user:secret@host:80", "user:secret@lab.example/bsv", "u:secret@host", ":secret@host:80"),
        *("user:a@secret@host", "user:se/cret@host:80", "secret@lab.example:443/bsv"),
        *("anna@lab.example:secret@host/bsv", "lab\\anna:secret@host"),
    ],
)
def test_a_password_in_an_address_without_scheme_is_not_shown(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BSV_STORE", text)
    for call in (lambda: open_store(text), lambda: create_store(Path(text)), open_store):
        with pytest.raises(InputError, match=r"of the store.* contains a user name or password") as caught:
            call()
        assert "cret" not in f"{caught.value} {caught.value.hint}"
    assert not list(tmp_path.iterdir())
    (tmp_path / text).mkdir(parents=True)
    assert locate_store(text).path == tmp_path / text


def test_the_address_of_an_api_without_scheme_is_completed(tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store, pytest.raises(InputError) as caught:
        store.sync_structures(api_url="127.0.0.1:8080")
    assert caught.value.hint == "Did you mean http://127.0.0.1:8080?"


def test_names_with_a_colon_may_be_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    addresses = ("lab.example:store", "lab.example", "a.b:70000", "[1.2]:80", "/data/lab.example:80")
    for name in (*addresses, "store:2024", "me@lab", "data/me:2@lab", "me@lab.example:data/store", "C:/data/me@lab"):
        assert locate_store(name).path == tmp_path / name


def test_a_path_from_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BSV_STORE", "caf\udce9")
    with pytest.raises(InputError, match=r"the path of the store \(from BSV_STORE\) must be valid UTF-8"):
        locate_store()
    monkeypatch.delenv("BSV_STORE")
    configure('store = "a\\u0000b"')
    with pytest.raises(InputError, match=r"config\.toml\) must not contain a NUL"):
        locate_store()


@pytest.mark.parametrize(
    "text",
    ["not toml", "", 'store_id = "a"', 'store_id = 1\nformat_version = 1\ndatabase = "sqlite"', "store_id = '\x00'"],
)
def test_a_damaged_file_is_not_a_store(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.toml").write_text(text)
    with pytest.raises(NotAStoreError, match=r"store\.toml"):
        read_store_config(tmp_path)


def test_a_folder_without_the_file_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError, match="bsv-store init"):
        read_store_config(tmp_path)
    with pytest.raises(NotAStoreError):
        read_store_config(tmp_path / "nowhere")


def test_later_format_asks_for_a_newer_package(tmp_path: Path) -> None:
    (tmp_path / "store.toml").write_text(StoreConfig("a", format_version=2).to_toml())
    with pytest.raises(SchemaTooNewError, match="pip install"):
        read_store_config(tmp_path)
