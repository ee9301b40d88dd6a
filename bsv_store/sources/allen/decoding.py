"""Decompress a response body in blocks of bounded size, regardless of its compression ratio."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_BLOCK_BYTES = 1024 * 1024


class BodyDecoder:
    """Decoder of one body.

    Parameters
    ----------
    encoding : str
        The Content-Encoding: 'identity', 'gzip' or 'deflate'.

    Raises
    ------
    ValueError
        If the encoding is another one, which was not requested.
    """

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower() or "identity"
        if name not in ("identity", "gzip", "x-gzip", "deflate"):
            raise ValueError(encoding)
        self._inflater = None if name == "identity" else zlib.decompressobj(_GZIP_OR_ZLIB)

    def blocks(self, data: bytes) -> Iterator[bytes]:
        """Decode received bytes, in blocks of at most 1 MiB.

        Raises
        ------
        zlib.error
            If the bytes are damaged.
        """
        if self._inflater is None:
            yield data
            return
        while data:
            if self._inflater.eof:
                # A gzip body may have several members.
                self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
            if block := self._inflater.decompress(data, _BLOCK_BYTES):
                yield block
            data = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail

    @property
    def is_complete(self) -> bool:
        """Whether the bytes received so far are a complete body; always True without compression."""
        return self._inflater is None or self._inflater.eof
