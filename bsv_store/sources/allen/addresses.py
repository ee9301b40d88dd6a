"""Addresses of the objects of the Allen API.

The query language is RMA (RESTful Model Access), https://api.brain-map.org/doc. ``$`` and ``:`` stay literal, brackets
and quotes are percent-encoded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import quote, unquote, urlsplit

from bsv_store.errors import InputError
from bsv_store.sources.allen.credentials import NETRC_VARIABLE
from bsv_store.text import shown
from bsv_store.vocabulary import VolumeKind

API_URL = "https://api.brain-map.org"
API_URL_VARIABLE = "BSV_STORE_API_URL"
DOWNLOAD_URL = "https://download.alleninstitute.org"
DOWNLOAD_URL_VARIABLE = "BSV_STORE_DOWNLOAD_URL"

ALLEN_HOSTS = frozenset(("api.brain-map.org", "connectivity.brain-map.org", "download.alleninstitute.org"))

_QUERY = "/api/v2/data/query.json?q="


def api_url(url: str | None = None) -> str:
    """The base address of the API without a trailing slash: the argument, else ``BSV_STORE_API_URL``, else Allen's.

    Raises
    ------
    InputError
        If it is not an http or https address, or has a query, a user name or a password.
    """
    return _base(url, API_URL_VARIABLE, API_URL, what="the Allen API")


def download_url(url: str | None = None) -> str:
    """The base address of the file server without a trailing slash: as `api_url`, by ``BSV_STORE_DOWNLOAD_URL``.

    Raises
    ------
    InputError
        If it is not an http or https address, or has a query, a user name or a password.
    """
    return _base(url, DOWNLOAD_URL_VARIABLE, DOWNLOAD_URL, what="Allen's file server")


def _base(url: str | None, variable: str, default: str, *, what: str) -> str:
    origin = "the argument" if url is not None else variable
    chosen = url if url is not None else os.environ.get(variable) or default
    problem = f"the address of {what} (from {origin})"
    if not isinstance(chosen, str):
        raise InputError(f"{problem} must be a string, got {shown(chosen)}", hint=f"For example {default}.")
    if "@" in unquote(chosen):
        # Not shown, and not chained: the address is recorded as the source of everything downloaded from it.
        raise InputError(
            f"{problem} contains a user name or password, which every user of the store could read",
            hint=f"Remove them. If the server requires a password, set {NETRC_VARIABLE} to the path of a netrc file.",
        )
    if not _is_base(chosen):
        raise InputError(
            f"{problem} must be an http or https address, got {shown(_without_query(chosen))}",
            hint=f"For example {default}. It must not have a query.",
        )
    return chosen.rstrip("/")


def _is_base(address: str) -> bool:
    # Only printable ASCII is valid in an address; urllib would drop some control characters silently.
    if not (address.isascii() and address.isprintable()) or set(address) & set(" \\?#"):
        return False
    try:
        parts = urlsplit(address)
        # Raises if a label of the host name is too long.
        name = (parts.hostname or "").encode("idna")
        # Accessing the port validates it.
        return parts.scheme in ("http", "https") and bool(name) and parts.port != 0
    except ValueError:
        return False


def _without_query(address: str) -> str:
    # A query may contain a key.
    start = re.split("[?#]", address, maxsplit=1)[0]
    return start if start == address else f"{address[: len(start) + 1]}..."


def structures_url(base: str, *, start_row: int = 0) -> str:
    """The adult mouse's structure graph with its structure sets, in graph order."""
    return _query(
        base,
        "model::Structure,rma::criteria,[graph_id$in1],rma::include,structure_sets,"
        f"rma::options[order$eqstructures.graph_order][num_rows$eq'all']{_from_row(start_row)}",
    )


def experiments_url(base: str, *, start_row: int = 0) -> str:
    """All experiments of the connectivity atlas."""
    return _query(base, f"model::ApiConnectivity,rma::options[num_rows$eq'all']{_from_row(start_row)}")


def unionizes_url(base: str, experiment_ids: Sequence[int], *, start_row: int = 0) -> str:
    """All unionize rows of some experiments, inside and outside the injection."""
    ids = ",".join(map(str, experiment_ids))
    return _query(
        base,
        f"model::ProjectionStructureUnionize,rma::criteria,[section_data_set_id$in{ids}],"
        f"rma::options[num_rows$eq'all']{_from_row(start_row)}",
    )


def density_zip_url(base: str, experiment_id: int) -> str:
    """Projection density at 100 um as a zip with a MetaImage: the file that Brain Street View downloads."""
    return f"{base}/grid_data/download/{experiment_id}?include=density"


def nrrd_url(base: str, experiment_id: int, kind: VolumeKind, spacing_um: int) -> str:
    """Any kind of volume at any spacing as NRRD: the file that AllenSDK downloads."""
    return f"{base}/grid_data/download_file/{experiment_id}?image={kind}&resolution={spacing_um}"


def annotation_url(base: str, spacing_um: int) -> str:
    """The annotation of the CCFv3 of 2017 as NRRD; the base is that of the file server."""
    return f"{base}/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_{spacing_um}.nrrd"


def _query(base: str, query: str) -> str:
    return f"{base}{_QUERY}{quote(query, safe='$:,')}"


def _from_row(start_row: int) -> str:
    # Only for further pages: a server that returns all rows at once never gets this option.
    return f"[start_row$eq{start_row}]" if start_row else ""
