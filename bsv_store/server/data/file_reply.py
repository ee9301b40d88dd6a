"""A file as a response: the whole of it or a range, in bounded memory."""

from __future__ import annotations

import asyncio
import os
from io import FileIO
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bsv_store.errors import DamagedFileError
from bsv_store.server.data.conditions import ByteRange, UnsatisfiableRangeError, byte_range, is_current

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

# Read and sent at a time.
_BLOCK_BYTES = 1 << 20


def file_reply(
    request: Request,
    file: FileIO,
    *,
    name: str,
    size_bytes: int | None,
    etag: str,
    media_type: str,
    headers: Mapping[str, str],
    has_ranges: bool = True,
) -> Response:
    """The response to GET or HEAD of a file that never changes under its entity tag.

    Parameters
    ----------
    request : Request
    file : FileIO
        Open for reading. The response closes it.
    name : str
        For errors.
    size_bytes : int or None
        Its recorded size; None if it has none.
    etag : str
        With quotes.
    media_type : str
    headers : mapping
    has_ranges : bool
        Whether parts can be requested: only if the bytes are the same each time.

    Raises
    ------
    DamagedFileError
        If the file has another size.
    """
    try:
        found = os.fstat(file.fileno()).st_size
        if size_bytes is not None and found != size_bytes:
            raise DamagedFileError(
                f"{name} is damaged: it has {found:,} bytes, {size_bytes:,} are recorded",
                hint="Repair the store: bsv-store repair --apply",
            )
        common = {**headers, "ETag": etag, "Accept-Ranges": "bytes" if has_ranges else "none"}
        if is_current(request.headers.get("if-none-match"), etag):
            file.close()
            return Response(status_code=304, headers=common)
        part = None
        try:
            if request.method == "GET" and has_ranges:
                part = byte_range(
                    request.headers.get("range"), request.headers.get("if-range"), validators=(etag,), size_bytes=found
                )
        except UnsatisfiableRangeError as error:
            raise HTTPException(416, headers={"Content-Range": f"bytes */{found}"}) from error
        whole = ByteRange(0, found)
        if part is not None:
            common["Content-Range"] = f"bytes {part.first}-{part.end - 1}/{found}"
        wanted, status = part or whole, 200 if part is None else 206
        if request.method == "GET" and wanted.end - wanted.first <= _BLOCK_BYTES:
            # Read in the thread of the request, which saves the way to another one.
            body = _read_all(file, wanted, name)
            file.close()
            return Response(body, status_code=status, headers=common, media_type=media_type)
        return _FileReply(file, name, wanted, status, common, media_type)
    except BaseException:
        file.close()
        raise


class _FileReply(Response):
    """Streams a part of an open file."""

    def __init__(
        self, file: FileIO, name: str, part: ByteRange, status_code: int, headers: Mapping[str, str], media_type: str
    ) -> None:
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.body = b""
        self._file, self._name, self._part = file, name, part
        self.init_headers({**headers, "Content-Length": str(part.end - part.first)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            # The server accepts and discards what it cannot send, so the end of the connection is noticed separately.
            listening = asyncio.create_task(_disconnected(receive))
            try:
                await self._send(send, listening)
            finally:
                listening.cancel()
        finally:
            self._file.close()

    async def _send(self, send: Send, gone: asyncio.Task[None]) -> None:
        place, end = self._part.first, self._part.end
        is_done = place == end
        if is_done:
            await send({"type": "http.response.body", "body": b""})
        while not is_done and not gone.done():
            block = await run_in_threadpool(_read, self._file, place, min(_BLOCK_BYTES, end - place), self._name)
            place += len(block)
            is_done = place == end
            await send({"type": "http.response.body", "body": block, "more_body": not is_done})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _read_all(file: FileIO, part: ByteRange, name: str) -> bytes:
    blocks, place = [], part.first
    while place < part.end:
        blocks.append(_read(file, place, part.end - place, name))
        place += len(blocks[-1])
    return b"".join(blocks)


def _read(file: FileIO, place: int, count: int, name: str) -> bytes:
    # A read from a file may return fewer bytes; none at all only at its end.
    file.seek(place)
    block = file.read(count)
    if not block:
        # If the length was sent already, the connection is closed, so that the client sees an incomplete body.
        raise DamagedFileError(f"{name} was cut while it was sent")
    return block
