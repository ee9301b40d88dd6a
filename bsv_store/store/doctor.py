"""Check the environment of a store: also of one that cannot be opened, and where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bsv_store import check
from bsv_store.catalog.database.engine import Database
from bsv_store.config import (
    STORE_FILE,
    Location,
    StoreConfig,
    locate_store,
    read_located_config,
    setting,
)
from bsv_store.errors import BsvStoreError, SchemaError, StoreMismatchError
from bsv_store.html import card, table
from bsv_store.maintenance.doctor.database import database_findings
from bsv_store.maintenance.doctor.environment import environment_findings
from bsv_store.maintenance.doctor.finding import Finding
from bsv_store.maintenance.doctor.folder import folder_findings
from bsv_store.maintenance.doctor.upstream import upstream_findings
from bsv_store.remote.token import TOKEN_VARIABLE
from bsv_store.store.connection import check_store, connect
from bsv_store.text import listed, masked, near_names
from bsv_store.vocabulary import SETTINGS


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings about the environment of a store.

    Attributes
    ----------
    path : pathlib.Path or None
        The folder of the store; None if the setting that names it is not valid.
    findings : tuple of Finding
    """

    path: Path | None
    findings: tuple[Finding, ...]

    def _repr_html_(self) -> str:
        rows = [[each.outcome, each.words, each.found, each.remedy or ""] for each in self.findings]
        found = table(["outcome", "check", "found", "remedy"], rows, limit=len(rows))
        return card("Environment of the store", found, kind="diagnosis", facts=[("Folder", self.path)])

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that are faults."""
        return tuple(each for each in self.findings if each.outcome == "fault")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are warnings."""
        return tuple(each for each in self.findings if each.outcome == "warning")


def diagnose(path: Path | str | None = None, *, offline: bool = False) -> Diagnosis:
    """Check folder, database, environment and servers, by trying what the store needs. Nothing is left behind.

    Parameters
    ----------
    path : path, optional
        See `open_store`. The store need not be usable, and need not exist.
    offline : bool
        Do not contact Allen's servers.

    Returns
    -------
    Diagnosis
    """
    is_offline = check.boolean("offline", offline)
    try:
        location = locate_store(path)
    except BsvStoreError as error:
        chosen = Finding("chosen_store", "fault", error.message, error.hint)
        return Diagnosis(None, (chosen, *environment_findings(), *upstream_findings(None, offline=is_offline)))
    return Diagnosis(location.path, tuple(_findings(location, offline=is_offline)))


def _findings(location: Location, *, offline: bool) -> Iterator[Finding]:
    config, store_findings = _described(location)
    yield from store_findings
    folder = _existing(location.path)
    yield from folder_findings(folder, config)
    if config is not None:
        yield from _database(location.path, config)
    yield from environment_findings()
    yield from upstream_findings(location.path if config is not None else None, offline=offline)


def _described(location: Location) -> tuple[StoreConfig | None, list[Finding]]:
    """The content of ``store.toml`` if it is valid, and what was found about it and the settings."""
    config, problem = None, None
    try:
        config = read_located_config(location)
    except BsvStoreError as error:
        problem = error
    is_store = (location.path / STORE_FILE).exists()
    chosen = Finding(
        "chosen_store",
        "ok" if is_store else "fault",
        f"{location.path} (from {location.origin})" + ("" if is_store else ", which is not a store"),
        None if is_store or problem is None else problem.hint,
        {"path": str(location.path), "origin": location.origin},
    )
    if config is not None:
        file = Finding("store_file", "ok", f"store {config.store_id}", None, {"store_id": config.store_id})
    elif problem is not None and is_store:
        file = Finding("store_file", "fault", problem.message, problem.hint)
    else:
        file = Finding("store_file", "note", "there is none")
    return config, [chosen, file, _settings(location, config)]


def _settings(location: Location, config: StoreConfig | None) -> Finding:
    details: dict[str, str | int | float | bool | None] = {}
    changed = []
    for row in SETTINGS.values():
        try:
            found = setting(row.name, store=config)
        except BsvStoreError as error:
            return Finding("settings", "fault", error.message, error.hint)
        origin = location.origin if row.name == "store" else found.origin
        value = str(location.path) if row.name == "store" else found.text
        details[row.name] = masked(f"{value} (from {origin})")
        if found.place not in ("default", "store.toml"):
            changed.append(f"{row.name} from {origin}")
    text = f"set: {', '.join(changed)}" if changed else "defaults, and those of the store"
    known = [*(row.variable for row in SETTINGS.values() if row.variable is not None), TOKEN_VARIABLE]
    unknown = sorted(name for name in os.environ if name.startswith("BSV_") and name not in known)
    if unknown:
        text = f"{text}; not known to bsv-store: {listed(unknown)}"
        meant = [f"{name}: did you mean {near}?" for name in unknown for near in near_names(name, known, limit=1)]
        remedy = " ".join([*meant, f"The variables of bsv-store: {', '.join(known)}."])
        return Finding("settings", "warning", text, remedy, details)
    return Finding("settings", "ok", text, None, details)


def _existing(path: Path) -> Path:
    """The folder, or the nearest one above it that exists, in which it would be created."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _database(path: Path, config: StoreConfig) -> Iterator[Finding]:
    try:
        database = connect(path, config, read_only=True)
    except BsvStoreError as error:
        yield Finding("connection", "fault", error.message, error.hint)
        return
    except ModuleNotFoundError as error:
        yield Finding(
            "connection",
            "fault",
            f"the package {error.name} is not installed",
            'pip install "bsv-store[postgres]"',
        )
        return
    with closing(database):
        found = list(database_findings(database))
        yield from found
        if not any(each.check == "connection" and each.outcome == "fault" for each in found):
            yield from _belongs(path, config, database)


def _belongs(path: Path, config: StoreConfig, database: Database) -> Iterator[Finding]:
    try:
        check_store(path, config, database)
    except SchemaError as error:
        yield Finding("schema", "fault", error.message, error.hint)
    except StoreMismatchError as error:
        yield Finding("same_store", "fault", error.message, error.hint)
    except BsvStoreError as error:
        yield Finding("schema", "fault", error.message, error.hint)
    else:
        from bsv_store.catalog.database import schema

        yield Finding("schema", "ok", f"revision {schema.HEAD}", None, {"revision": schema.HEAD})
        yield Finding("same_store", "ok", f"both are store {config.store_id}")
