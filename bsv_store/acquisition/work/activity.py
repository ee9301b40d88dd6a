"""The record of a long run, which stores its objects in many transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bsv_store.catalog.activity import Details, record_activity
from bsv_store.catalog.database.engine import Database
from bsv_store.errors import BsvStoreError
from bsv_store.vocabulary import Action


@contextmanager
def recorded_run(
    database: Database, action: Action, subject: str, counts: Callable[[], Details | None]
) -> Iterator[None]:
    """Record the block as one activity when it ends, complete or not.

    Parameters
    ----------
    counts : callable
        Returns the details, without the duration; None if nothing has changed, so that nothing is recorded.
    """
    started = time.monotonic()
    ended: Details = {}
    try:
        yield
    except Exception as error:
        ended = {"stopped by": type(error).__name__}
        raise
    except BaseException:
        ended = {"interrupted": True}
        raise
    finally:
        details = counts()
        if details is not None:
            record = {**details, "seconds": round(time.monotonic() - started, 1), **ended}
            # If the store fails, the error that ended the block is the one to report.
            with suppress(*([BsvStoreError] if ended else [])), database.writing() as connection:
                record_activity(connection, action, subject, record)
