"""Where the store is, and what its folder says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs import user_config_path

from bsv_store.config import StoreConfig, locate_store, read_store_config
from bsv_store.errors import InputError, NotAStoreError, SchemaTooNewError


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
