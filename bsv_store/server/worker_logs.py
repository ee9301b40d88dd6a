"""Log records of workers, which are sent to the parent process: only one process writes to each log."""

from __future__ import annotations

import copy
import logging
import threading
from multiprocessing.connection import Connection

_FORMATTER = logging.Formatter()
LIBRARY: logging.Logger = logging.getLogger("bsv_store")


class Sender:
    """Sends messages from the threads of a worker to its parent process.

    Parameters
    ----------
    pipe : multiprocessing.connection.Connection
        Used by this object only.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Send a message."""
        with self._lock:
            self._pipe.send(message)


class SendingHandler(logging.Handler):
    """Log handler that sends records, with message and traceback as text.

    Parameters
    ----------
    sender : Sender
    """

    def __init__(self, sender: Sender) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        try:
            self._sender.send(_as_text(record))
        except Exception:  # noqa: BLE001 (as in all handlers: an error in logging must not stop the program)
            self.handleError(record)


def _as_text(record: logging.LogRecord) -> logging.LogRecord:
    """A copy that can be pickled."""
    found = copy.copy(record)
    found.msg, found.args = record.getMessage(), None
    if record.exc_info:
        found.exc_text = record.exc_text or _FORMATTER.formatException(record.exc_info)
        found.exc_info = None
    return found


def send_records(sender: Sender, level: int) -> None:
    """Send all further log records of this process, and write them nowhere else."""
    for handler in list(LIBRARY.handlers):
        LIBRARY.removeHandler(handler)
    LIBRARY.addHandler(SendingHandler(sender))
    LIBRARY.setLevel(level)


def handle(record: logging.LogRecord) -> None:
    """Log a record of a worker in this process."""
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
