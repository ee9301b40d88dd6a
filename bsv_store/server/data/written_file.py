"""Files that are written for one response: exports of volumes, masks and versions."""

from __future__ import annotations

import hashlib
import re
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response

from bsv_store._version import __version__
from bsv_store.errors import InputError
from bsv_store.server.data.conditions import REVALIDATED, is_current
from bsv_store.server.data.file_reply import file_reply
from bsv_store.temporary import TemporaryFolder
from bsv_store.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request

MEDIA_TYPES = {
    "nc": "application/x-netcdf",
    "csv": "text/csv; charset=utf-8",
    "bib": "application/x-bibtex; charset=utf-8",
    "ris": "application/x-research-info-systems; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "bsv.zip": "application/zip",
    "nii.gz": "application/gzip",
    "npy": "application/x-npy",
    "png": "image/png",
}


def ending_of(name: str, endings: Iterable[str]) -> str:
    """The ending of a format, without a leading dot.

    Raises
    ------
    InputError
        If it is not one of the endings.
    """
    known = [each.removeprefix(".") for each in endings]
    wanted = name.removeprefix(".")
    if wanted not in known:
        raise InputError(f"format must be one of {', '.join(known)}, got {shown(name)}")
    return wanted


def without_length(response: Response) -> Response:
    """The response to HEAD for a body whose length is not known."""
    del response.headers["content-length"]
    return response


def written_file(
    request: Request, name: str, ending: str, *, content: str, write: Callable[[Path], object]
) -> Response:
    """A file that is written for a request, and removed after it is sent; for HEAD it is not written.

    Parameters
    ----------
    request : Request
    name : str
        For the client, with the ending.
    ending : str
    content : str
        Identifies what is written, for the entity tag.
    write : callable
        Writes the file to a path with the ending.
    """
    etag = f'"{hashlib.sha256(f"{__version__} {content} {ending}".encode()).hexdigest()[:32]}"'
    # Weak: compressed bytes may change with a library.
    headers = {
        "Cache-Control": REVALIDATED,
        "ETag": f"W/{etag}",
        "Content-Disposition": f'attachment; filename="{re.sub(r"[^A-Za-z0-9@._+-]", "_", name)}"; '
        f"filename*=UTF-8''{quote(name, safe='')}",
    }
    if is_current(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    media_type = MEDIA_TYPES.get(ending, "application/octet-stream")
    if request.method == "HEAD":
        # The length is only known after the file is written.
        return without_length(Response(headers={**headers, "Accept-Ranges": "none"}, media_type=media_type))
    with TemporaryFolder() as folder:
        path = folder / f"export.{ending}"
        write(path)
        # It stays readable until it is closed, although the folder is removed.
        file = FileIO(path)
        return file_reply(
            request,
            file,
            name=name,
            size_bytes=None,
            etag=f"W/{etag}",
            media_type=media_type,
            headers=headers,
            has_ranges=False,
        )
