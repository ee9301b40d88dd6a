"""What the data routes of one application share: copies of the catalog, the index of files, and kept answers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bsv_store.server.data.answers import Answers, Latest
from bsv_store.server.data.catalog_copies import CatalogCopies

if TYPE_CHECKING:
    from starlette.requests import Request

    from bsv_store.store.store import Store
    from bsv_store.volumes.stored_object import StoredObject

_ANSWER_BYTES = 64_000_000

_lock = threading.Lock()


class Shared:
    """See the module.

    Attributes
    ----------
    copies : CatalogCopies
    files : Latest of dict
        The files that the catalog names, by hash.
    answers : Answers
    """

    def __init__(self) -> None:
        self.copies = CatalogCopies()
        self.files = Latest(_files_by_hash)
        self.answers = Answers(_ANSWER_BYTES)


def shared_of(request: Request) -> Shared:
    """What the data routes of the application that serves a request share."""
    state = request.app.state
    with _lock:
        if not hasattr(state, "data"):
            state.data = Shared()
        found = state.data
    assert isinstance(found, Shared)
    return found


def _files_by_hash(store: Store) -> dict[str, StoredObject]:
    return {each.file_sha256: each for each in store.catalog.files()}
