"""Settings: where each comes from, the location of a store, and its description in ``store.toml``."""

from bsv_store.config.files import system_file, user_file
from bsv_store.config.location import DEFAULT_ORIGIN, Location, locate_store, read_located_config
from bsv_store.config.settings import Setting, all_settings, setting, sql_timeout
from bsv_store.config.store_file import (
    CATALOG_FILE,
    FOLDERS,
    FORMAT_VERSION,
    SQLITE,
    STORE_FILE,
    STORE_VARIABLE,
    StoreConfig,
    has_checksum,
    read_store_config,
    salvage_settings,
)

__all__ = [
    "CATALOG_FILE",
    "DEFAULT_ORIGIN",
    "FOLDERS",
    "FORMAT_VERSION",
    "SQLITE",
    "STORE_FILE",
    "STORE_VARIABLE",
    "Location",
    "Setting",
    "StoreConfig",
    "all_settings",
    "has_checksum",
    "locate_store",
    "read_located_config",
    "read_store_config",
    "salvage_settings",
    "setting",
    "sql_timeout",
    "system_file",
    "user_file",
]
