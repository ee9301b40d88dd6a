"""Files that pages offer: volumes and versions in the formats of the library, and the report on a version."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.background import BackgroundTask
from starlette.responses import FileResponse
from starlette.routing import Route

from bsv_store.check import choice
from bsv_store.datasets.share.export import VERSION_FORMATS
from bsv_store.errors import InputError
from bsv_store.formats.table import IMAGE_FORMATS
from bsv_store.server.context import context_of
from bsv_store.text import shown
from bsv_store.vocabulary import VOLUME_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response

_MEDIA_TYPES = {
    "nc": "application/x-netcdf",
    "csv": "text/csv; charset=utf-8",
    "bib": "application/x-bibtex",
    "ris": "application/x-research-info-systems",
    "txt": "text/plain; charset=utf-8",
    "bsv.zip": "application/zip",
}


def _volume(request: Request) -> Response:
    store = context_of(request).store
    identifier = int(request.path_params["experiment_id"])
    query = request.query_params
    kind = choice("kind", query.get("kind", "projection_density"), VOLUME_KINDS).name
    spacing = _whole("spacing_um", query.get("spacing_um", "100"))
    ending = _ending(query.get("format", "nii.gz"), (each.ending for each in IMAGE_FORMATS if each.marker is None))
    return _written(
        f"{identifier}_{kind}_{spacing}um.{ending}",
        ending,
        lambda path: store.volumes.export(identifier, path, kind=kind, spacing_um=spacing),
    )


def _version(request: Request) -> Response:
    version = context_of(request).store.dataset(request.path_params["ref"])
    query = request.query_params
    ending = _ending(query.get("format", "nc"), (each.ending for each in VERSION_FORMATS if each.marker is None))
    statistic, group = query.get("statistic", "mean"), query.get("group")
    name = version.ref if statistic == "mean" else f"{version.ref}_{statistic}"
    number = None if group is None else _whole("group", group)
    if number is not None:
        name = f"{name}_group{number}"

    def write(path: Path) -> None:
        # The library refuses a statistic that the version does not have.
        version.export(path, statistic=statistic, group=number)  # type: ignore[arg-type]

    return _written(f"{name}.{ending}", ending, write)


def _report(request: Request) -> Response:
    from bsv_store.reports import page

    store = context_of(request).store
    version = store.dataset(request.path_params["ref"])
    return _written(f"{version.ref}.html", "html", lambda path: page(store, version, path))


def _written(name: str, ending: str, write: Callable[[Path], object]) -> Response:
    """A file that is written for this response, and removed after it is sent."""
    folder = Path(tempfile.mkdtemp(prefix="bsv-store-download-"))
    # Names of datasets may have characters that file names must not have.
    path = folder / f"download.{ending}"
    try:
        write(path)
    except BaseException:
        shutil.rmtree(folder)
        raise
    other = "text/html; charset=utf-8" if ending == "html" else "application/octet-stream"
    # Plain ASCII, which needs no escapes in the header.
    safe = re.sub(r"[^\w.@+-]", "_", name, flags=re.ASCII)
    return FileResponse(
        path,
        media_type=_MEDIA_TYPES.get(ending, other),
        headers={"Content-Disposition": f'attachment; filename="{safe}"', "Cache-Control": "no-cache"},
        background=BackgroundTask(shutil.rmtree, folder),
    )


def _ending(given: str, endings: Iterable[str]) -> str:
    valid = [each.removeprefix(".") for each in endings]
    if given not in valid:
        raise InputError(f"format must be one of {', '.join(valid)}, got {shown(given)}")
    return given


def _whole(name: str, given: str) -> int:
    if not re.fullmatch(r"\d{1,9}", given, re.ASCII):
        raise InputError(f"{name} must be a whole number, got {shown(given)}")
    return int(given)


ROUTES = [
    Route("/experiments/{experiment_id:int}/download", _volume),
    Route("/datasets/{ref}/download", _version),
    Route("/datasets/{ref}/report", _report),
]
