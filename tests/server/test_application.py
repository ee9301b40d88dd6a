"""The application as a whole."""

from __future__ import annotations

from pathlib import Path

import requests

from bsv_store import create_store, open_store
from tests.server.serving import serving


def test_an_unknown_address_is_not_found(tmp_path: Path) -> None:
    create_store(tmp_path / "store").close()
    with open_store(tmp_path / "store", read_only=True) as store, serving(store) as url:
        assert requests.get(f"{url}/nothing", timeout=10).status_code == 404
