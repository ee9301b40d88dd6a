"""The tokens that the server accepts, read from the store every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool

from bsv_store.errors import BusyError

if TYPE_CHECKING:
    from bsv_store.catalog.access_tokens import AccessToken

REFRESH_S: Final = 2.0
# While the catalog is locked, tokens that were read within this time are accepted.
_STALE_S: Final = 60.0


class KnownTokens:
    """The tokens of the store.

    Parameters
    ----------
    read : callable
        Reads all tokens.
    """

    def __init__(self, read: Callable[[], Sequence[AccessToken]]) -> None:
        self._read = read
        self._tokens: Sequence[AccessToken] = ()
        self._read_at: float | None = None

    async def find(self, secret: str) -> AccessToken | None:
        """The valid token with this secret; None if there is none.

        Raises
        ------
        BsvStoreError
            If the tokens cannot be read.
        """
        age = None if self._read_at is None else time.monotonic() - self._read_at
        if age is None or age > REFRESH_S:
            await self._refresh(age)
        # All are compared, so that the time does not tell which one is similar.
        found = [token for token in self._tokens if token.matches(secret)]
        return next((token for token in found if token.is_valid(datetime.now(UTC))), None)

    async def _refresh(self, age: float | None) -> None:
        started = time.monotonic()
        try:
            self._tokens = await run_in_threadpool(self._read)
            self._read_at = started
        except BusyError:
            if age is None or age > _STALE_S:
                raise
