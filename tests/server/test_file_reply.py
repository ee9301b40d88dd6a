"""Files as responses."""

from __future__ import annotations

import asyncio
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from bsv_store.server.data.file_reply import file_reply

if TYPE_CHECKING:
    from starlette.types import Message

_SIZE = 8 << 20


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_file_is_not_read_on_for_a_client_that_is_gone(tmp_path: Path, is_gone: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(_SIZE))
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    file, sent = FileIO(path), 0

    async def receive() -> Message:
        if not is_gone:
            await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))

    reply = file_reply(
        Request(scope), file, name="file", size_bytes=_SIZE, etag='"1"', media_type="text/plain", headers={}
    )
    asyncio.run(reply(scope, receive, send))
    assert file.closed
    assert sent < _SIZE if is_gone else sent == _SIZE
