"""Style sheets, scripts and pictures of the pages.

They are files in the folder ``assets``. Their address has a hash of all of them, so that browsers may keep them for
ever, and modules can import each other by relative names.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from bsv_store.server.data.conditions import IMMUTABLE, accepts_gzip, is_current
from bsv_store.server.pages.address import address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

    from starlette.requests import Request

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
}
# Files of the report on a version that the pages use too, by their name here.
_OF_REPORTS = {"colors.css": "colors.css", "tables.js": "script.js"}


@dataclass(frozen=True, slots=True)
class VendoredAsset:
    """A library of another project among the assets.

    Attributes
    ----------
    name, version : str
    license : str
        SPDX identifier.
    text : str
        Name of the asset with the text of the license.
    home : str
        Address of the project.
    """

    name: str
    version: str
    license: str
    text: str
    home: str


VENDORED: tuple[VendoredAsset, ...] = (
    VendoredAsset(
        "NiiVue", "0.69.0", "BSD-2-Clause", "vendored/niivue-license.txt", "https://github.com/niivue/niivue"
    ),
)
"""What the page of licenses lists."""


@dataclass(frozen=True)
class Asset:
    """The content of an asset, its type and its strong ETag."""

    content: bytes
    media_type: str
    etag: str

    @cached_property
    def gzipped(self) -> bytes:
        """The content, compressed."""
        return gzip.compress(self.content, 9, mtime=0)


def asset_address(request: Request, name: str) -> str:
    """The address of an asset, for the prefix of the application."""
    if name not in _assets():
        raise KeyError(name)
    return address(request, f"/assets/{_version()}/{name}")


@cache
def _assets() -> Mapping[str, Asset]:
    """All assets by name, such as ``vendored/niivue.js``; read once."""
    reports = files("bsv_store.reports.html_page")
    found = dict(_listed(files("bsv_store.server.pages") / "assets", ""))
    found |= {name: _asset(reports / source) for name, source in _OF_REPORTS.items()}
    return found


def _listed(folder: Traversable, prefix: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _listed(entry, f"{prefix}{entry.name}/")
        elif _suffix(entry.name) in _MEDIA_TYPES:
            yield f"{prefix}{entry.name}", _asset(entry)


def _asset(file: Traversable) -> Asset:
    content = file.read_bytes()
    return Asset(content, _MEDIA_TYPES[_suffix(file.name)], f'"{hashlib.sha256(content).hexdigest()}"')


def _suffix(name: str) -> str:
    return f".{name.rpartition('.')[2]}"


@cache
def _version() -> str:
    """A hash of the names and contents of all assets."""
    total = hashlib.sha256()
    for name, asset in sorted(_assets().items()):
        total.update(f"{name}\n{asset.etag}\n".encode())
    return total.hexdigest()[:16]


def _serve(request: Request) -> Response:
    asset = _assets().get(request.path_params["name"])
    if asset is None or request.path_params["version"] != _version():
        raise HTTPException(404)
    headers = {"ETag": asset.etag, "Cache-Control": IMMUTABLE, "Vary": "Accept-Encoding"}
    if is_current(request.headers.get("if-none-match"), asset.etag):
        return Response(status_code=304, headers=headers)
    if accepts_gzip(request.headers.get("accept-encoding")):
        # The bytes differ, so the tag is weak.
        headers |= {"Content-Encoding": "gzip", "ETag": f"W/{asset.etag}"}
        return Response(asset.gzipped, media_type=asset.media_type, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)


ROUTES = [Route("/assets/{version}/{name:path}", _serve)]
