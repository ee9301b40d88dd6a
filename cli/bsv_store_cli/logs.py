"""The log of the command line: start and end of each command, warnings and errors, and the records of the library."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import shlex
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bsv_store import __version__
from bsv_store.config import setting
from bsv_store.config.home import expanded
from bsv_store.errors import InputError
from bsv_store.text import masked, printable
from bsv_store_cli.output.messages import note

if TYPE_CHECKING:
    from bsv_store.vocabulary import SettingName

LOG = logging.getLogger("bsv_store.cli")
LOG_SETTINGS: tuple[SettingName, ...] = ("log_file", "log_level", "log_format")
_ROOT = logging.getLogger("bsv_store")
# SQLAlchemy logs an interrupt that arrives while it closes a connection, and raises it again; without a handler, Python
# would print the record with its traceback.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())
# What every record has; the others are fields given with `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class CommandLog:
    """The log of one command. Does nothing unless a log file or a level is set."""

    def __init__(self) -> None:
        self._handler: logging.Handler | None = None
        self._started = time.monotonic()
        self._level = _ROOT.level

    def start(self, arguments: Sequence[str], given: Mapping[SettingName, object]) -> None:
        """Open the log that the settings name, and record the start of the command.

        Raises
        ------
        InputError
            If a setting is not valid, or the file cannot be written.
        """
        file = setting("log_file", given.get("log_file"))
        level = setting("log_level", given.get("log_level"))
        form = setting("log_format", given.get("log_format"))
        if self._handler is not None or (file.value is None and level.place == "default"):
            return
        self._handler = (
            _handler(file.text, file.origin) if file.value is not None else logging.StreamHandler(sys.stderr)
        )
        self._handler.setFormatter(_JsonFormatter() if form.value == "json" else _TextFormatter())
        _ROOT.addHandler(self._handler)
        _ROOT.setLevel(level.text.upper())
        self._started = time.monotonic()
        # Masked here too: other handlers than ours may get the record.
        shown = [masked(each) for each in arguments]
        LOG.info("started: bsv-store %s", masked(shlex.join(arguments)), extra={"event": "start", "arguments": shown})

    def end(self, code: int) -> None:
        """Record the end of the command, and close the log."""
        if self._handler is None:
            return
        seconds = time.monotonic() - self._started
        LOG.info(
            "ended with exit code %d after %.3f s",
            code,
            seconds,
            extra={"event": "end", "exit_code": code, "duration_s": round(seconds, 3)},
        )
        _ROOT.removeHandler(self._handler)
        _ROOT.setLevel(self._level)
        self._handler.close()
        self._handler = None


def _handler(path: str, origin: str) -> logging.Handler:
    file = expanded(f"the log file (from {origin})", path)
    try:
        # Opens the file again after logrotate has moved it.
        return _LogFile(file, encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the log file {file} (from {origin}) cannot be written: {reason}") from error


class _LogFile(logging.handlers.WatchedFileHandler):
    """A log file. If it cannot be written, as on a full disk, the command says so once and continues."""

    _has_failed = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            # The file was moved or deleted, and could not be opened again.
            self.handleError(record)

    def close(self) -> None:
        # What could not be written is still in the buffer.
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name in logging)
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._has_failed:
            self._has_failed = True
            note(f"The log file {self.baseFilename} cannot be written: {error.strerror or error}.")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _TextFormatter(logging.Formatter):
    """One line for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without passwords."""
        text = record.getMessage()
        if traceback := _traceback(self, record):
            text = f"{text}\n{traceback}"
        where = f"{socket.gethostname()}/{record.process}"
        return printable(masked(f"{_time(record)} {record.levelname} {where} {record.name}: {text}"))


class _JsonFormatter(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """The object of a record, without passwords."""
        fields: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
            "host": socket.gethostname(),
            "process": record.process,
            "release": __version__,
        }
        if hasattr(os, "getuid"):
            fields["uid"] = os.getuid()
        for name, value in vars(record).items():
            if name not in _STANDARD:
                fields[name] = _plain(value)
        if traceback := _traceback(self, record):
            fields["traceback"] = masked(traceback)
        return json.dumps(fields)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    # Records from other processes contain the traceback as text.
    return formatter.formatException(record.exc_info) if record.exc_info else record.exc_text


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return [masked(str(each)) for each in value] if isinstance(value, list | tuple) else masked(str(value))
