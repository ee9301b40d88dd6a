"""The access log: one JSON line for each request. It never has tokens, and addresses without their query."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bsv_store.errors import InputError

LOG = logging.getLogger("bsv_store.server")

_REOPEN_INTERVAL_S = 1.0
_COMPLAINT_INTERVAL_S = 60.0


class AccessLog:
    """Appends lines to a file. Several processes may share it; it may be renamed to rotate it.

    Parameters
    ----------
    target : str
        A file, or ``-`` for standard output.

    Raises
    ------
    InputError
        If the file cannot be written.
    """

    def __init__(self, target: str) -> None:
        self._path = None if target == "-" else Path(target)
        self._descriptor = self._opened()
        self._next_look = time.monotonic() + _REOPEN_INTERVAL_S
        self._next_complaint = 0.0

    def write(self, **fields: Any) -> None:
        """Append a line with the time and these fields."""
        record = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **fields}
        try:
            if time.monotonic() >= self._next_look:
                self._reopen_if_renamed()
            # One call, so that lines of several processes do not mix.
            os.write(self._descriptor, f"{json.dumps(record)}\n".encode())
        except (OSError, InputError) as error:
            # The disk may be full, or the reader of standard output gone; requests are answered all the same.
            if time.monotonic() >= self._next_complaint:
                LOG.warning("the access log cannot be written: %s", error)
                self._next_complaint = time.monotonic() + _COMPLAINT_INTERVAL_S

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self._descriptor)

    def _opened(self) -> int:
        if self._path is None:
            return sys.stdout.fileno()
        try:
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        except OSError as error:
            raise InputError(f"the access log {self._path} cannot be written: {error.strerror}") from error

    def _reopen_if_renamed(self) -> None:
        self._next_look = time.monotonic() + _REOPEN_INTERVAL_S
        if self._path is None:
            return
        try:
            is_same = os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            is_same = False
        if not is_same:
            before, self._descriptor = self._descriptor, self._opened()
            os.close(before)
