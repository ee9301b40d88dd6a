"""What the routes of the application share: the open store and the settings of the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

    from bsv_store.store.store import Store


@dataclass(frozen=True)
class Context:
    """The open store and the settings of the server.

    Attributes
    ----------
    store : Store
        Open for reading only; safe to share between threads.
    """

    store: Store


def context_of(request: Request) -> Context:
    """The context of the application that serves a request."""
    found = request.app.state.context
    assert isinstance(found, Context)
    return found
