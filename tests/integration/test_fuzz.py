"""Requests drawn at random from the OpenAPI document of the server, by schemathesis."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bsv_store import create_store, open_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.integration.environments import SCHEMATHESIS
from tests.server.serving import serving

pytestmark = pytest.mark.integration

# Not these: a request that fits the schema may still name what the store does not have, and other methods are answered
# before the routes are looked up.
_EXCLUDED = "positive_data_acceptance,unsupported_method"


def test_the_answers_to_random_requests_are_as_documented(tmp_path: Path) -> None:
    if reason := SCHEMATHESIS.make():
        pytest.skip(reason)
    with SyntheticServer(SyntheticAtlas(experiments=4)) as allen, create_store(tmp_path / "store") as store:
        store.sync_structures(api_url=allen.url)
        store.sync_experiments(api_url=allen.url)
        store.sync_unionizes(api_url=allen.url)
        store.sync_annotation(download_url=allen.url)
        store.fetch(store.select(), api_url=allen.url)
        store.aggregate(store.select(), name="all")
    with open_store(tmp_path / "store", read_only=True) as store, serving(store) as url:
        command = [str(SCHEMATHESIS.python), "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
        command += ["--checks", "all", "--exclude-checks", _EXCLUDED, "--max-examples", "30", "--seed", "1"]
        command += ["--request-timeout", "60", "--no-color"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
