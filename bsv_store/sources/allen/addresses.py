"""Addresses of the objects of the Allen API.

The query language is RMA (RESTful Model Access), https://api.brain-map.org/doc. ``$`` and ``:`` stay literal, brackets
and quotes are percent-encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from bsv_store.config import setting
from bsv_store.vocabulary import SETTINGS, VolumeKind

API_URL = str(SETTINGS["api_url"].default)
API_URL_VARIABLE = SETTINGS["api_url"].variable
DOWNLOAD_URL_VARIABLE = SETTINGS["download_url"].variable

ALLEN_HOSTS = frozenset(("api.brain-map.org", "connectivity.brain-map.org", "download.alleninstitute.org"))

_QUERY = "/api/v2/data/query.json?q="


def api_url(url: str | None = None, *, store: Path | None = None) -> str:
    """The base address of the API without a trailing slash: the argument, else the setting ``api_url``.

    Parameters
    ----------
    url : str, optional
    store : pathlib.Path, optional
        The folder of the store whose settings apply.

    Raises
    ------
    InputError
        If it is not an http or https address, or has a query, a user name or a password.
    """
    return str(setting("api_url", url, store=store).value)


def download_url(url: str | None = None, *, store: Path | None = None) -> str:
    """The base address of the file server without a trailing slash: as `api_url`, by the setting ``download_url``.

    Raises
    ------
    InputError
        If it is not an http or https address, or has a query, a user name or a password.
    """
    return str(setting("download_url", url, store=store).value)


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


def template_url(base: str, spacing_um: int) -> str:
    """The average template of the CCFv3 as NRRD; the base is that of the file server."""
    return f"{base}/informatics-archive/current-release/mouse_ccf/average_template/average_template_{spacing_um}.nrrd"


def _query(base: str, query: str) -> str:
    return f"{base}{_QUERY}{quote(query, safe='$:,')}"


def _from_row(start_row: int) -> str:
    # Only for further pages: a server that returns all rows at once never gets this option.
    return f"[start_row$eq{start_row}]" if start_row else ""
