"""Where the store is, and what its folder says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs import user_config_path

from bsv_store import open_store
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
    assert f"no store is named, and there is none in the default folder {default}" in said
    assert "BSV_STORE is not set" in said
    assert "config.toml does not exist" in said
    assert "export BSV_STORE=FOLDER, or --store FOLDER" in said
    # The advice to create one comes last.
    assert said.index("init") > said.index("--store")
    with pytest.raises(NotAStoreError, match="BSV_STORE is not set"):
        schema_state()
    configure("other = 1")
    with pytest.raises(NotAStoreError, match=r"config\.toml names no store"):
        open_store()


def test_an_error_names_the_setting_that_named_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = configure(f'store = "{tmp_path / "configured"}"')
    with pytest.raises(NotAStoreError, match=r"configured is not a bsv-store.*\(the folder is named by ") as caught:
        open_store()
    assert str(file) in str(caught.value)
    monkeypatch.setenv("BSV_STORE", str(tmp_path / "environment"))
    with pytest.raises(NotAStoreError, match=r"environment is not a bsv-store.*named by BSV_STORE\)"):
        open_store()


@pytest.mark.parametrize("text", ["store = ", "store = 3"])
def test_unreadable_configuration_is_an_error(text: str) -> None:
    configure(text)
    with pytest.raises(InputError, match=r"config\.toml"):
        locate_store()


def test_configuration_survives_the_round_trip(tmp_path: Path) -> None:
    config = StoreConfig("some-id", database='postgresql+psycopg://me@host/a"b?host=%2Ftmp', file_mode=0o660)
    (tmp_path / "store.toml").write_text(config.to_toml())
    assert read_store_config(tmp_path) == config


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
