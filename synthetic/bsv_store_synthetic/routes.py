"""The replies of the synthetic server, and a cache of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bsv_store.server.allen import routes
from bsv_store.server.allen.messages import FileContent, Request
from bsv_store_synthetic.atlas import SyntheticAtlas
from bsv_store_synthetic.replies import Reply, file_reply
from bsv_store_synthetic.source import AtlasSource

CACHE_BYTES: Final = 256 * 1024**2


def reply_to(atlas: SyntheticAtlas, request: Request) -> Reply:
    """The correct reply to a request; see `bsv_store.server.allen.routes.reply_to`."""
    reply = routes.reply_to(AtlasSource(atlas), request)
    if isinstance(reply.body, FileContent):
        return file_reply(b"".join(reply.body.pieces()), reply.content_type)
    return Reply(reply.status, reply.body, reply.content_type)


@dataclass
class ReplyCache:
    """A cache of replies of limited size that drops the least recently used. Each reply is computed once at a time."""

    limit_bytes: int = CACHE_BYTES
    _cached: OrderedDict[object, Reply] = field(default_factory=OrderedDict)
    _making: dict[object, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, request: Request, make: Callable[[], Reply]) -> Reply:
        """The cached reply, or a new one; threads with the same request wait for it."""
        key = (request.path, tuple(sorted(request.parameters.items())))
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._cached:
                    self._cached.move_to_end(key)
                    return self._cached[key]
            reply = make()
            with self._lock:
                self._making.pop(key, None)
                if reply.status == 200:
                    self._add(key, reply)
            return reply

    @property
    def size_bytes(self) -> int:
        """Size of all cached bodies in bytes."""
        with self._lock:
            return sum(len(reply.body) for reply in self._cached.values())

    def _add(self, key: object, reply: Reply) -> None:
        self._cached[key] = reply
        size = sum(len(cached.body) for cached in self._cached.values())
        while size > self.limit_bytes:
            _, dropped = self._cached.popitem(last=False)
            size -= len(dropped.body)
