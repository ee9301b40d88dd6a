"""Faults of any kind: correct replies, altered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bsv_store.server.allen.messages import Request
from bsv_store_synthetic.faults import Fault, MakeReply, Substitute
from bsv_store_synthetic.replies import Reply


class Altered(Fault):
    """The correct reply, altered.

    Parameters
    ----------
    alter : callable
        Takes the correct reply and returns the one to send.
    """

    def __init__(self, alter: Callable[[Reply], Reply]) -> None:
        self._alter = alter

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The altered reply."""
        return self._alter(make())


def in_pages(size: int, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Fault:
    """Replies with a limited number of rows, whatever number is requested; ``change`` alters the envelope of each."""

    def cut(body: bytes) -> bytes:
        page = json.loads(body)
        page["msg"] = page["msg"][:size]
        page["num_rows"] = len(page["msg"])
        change(page)
        return json.dumps(page).encode()

    return Substitute(cut)
