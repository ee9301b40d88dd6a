"""Requests drawn at random from the OpenAPI document of the server, by schemathesis."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bsv_store import Selection, Store, create_store, open_store
from bsv_store.server.data.openapi import DESCRIBED
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.integration.environments import SCHEMATHESIS
from tests.server.serving import serving

pytestmark = pytest.mark.integration

# Not these: a request that fits the schema may still name what the store does not have, and other methods are answered
# before the routes are looked up.
_EXCLUDED = "positive_data_acceptance,unsupported_method"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that has something at every address."""
    if reason := SCHEMATHESIS.make():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("fuzz")
    with SyntheticServer(SyntheticAtlas(experiments=4)) as allen, create_store(folder / "store") as store:
        store.sync_structures(api_url=allen.url)
        store.sync_experiments(api_url=allen.url)
        store.sync_unionizes(api_url=allen.url)
        store.sync_annotation(download_url=allen.url)
        store.sync_template(download_url=allen.url)
        store.fetch(store.select(), api_url=allen.url)
        store.aggregate(store.select(), name="all")
    return folder


@pytest.mark.parametrize("names", ["random", "of the store"])
def test_the_answers_to_random_requests_are_as_documented(folder: Path, tmp_path: Path, names: str) -> None:
    with open_store(folder / "store", read_only=True) as store, serving(store) as url:
        # Random names are mostly refused before the rest of the request matters.
        given = _names_in(store) if names == "of the store" else {}
        settings = tmp_path / "schemathesis.toml"
        settings.write_text("[parameters]\n" + "".join(f'"{key}" = {json.dumps(given[key])}\n' for key in given))
        command = [str(SCHEMATHESIS.python), "-m", "schemathesis.cli", "--config-file", str(settings)]
        command += ["run", f"{url}/openapi.json", "--checks", "all", "--exclude-checks", _EXCLUDED]
        command += ["--max-examples", "30", "--seed", "1", "--request-timeout", "60", "--no-color"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    assert f"Tested: {len(DESCRIBED)}" in done.stdout, done.stdout[-2000:]


def _names_in(store: Store) -> dict[str, list[Any]]:
    """Values of parameters that name what the store has."""
    ids = store.select()
    versions = ["all", "all@1"]
    return {
        "experiment_id": list(ids),
        "path.experiment": list(ids),
        "query.version": versions,
        "path.version": versions,
        "ref": versions,
        "other": versions,
        "ids": [",".join(map(str, ids))],
        "selection": [",".join(map(str, ids)), Selection(injected_in=["VISp"]).to_json()],
        "structure": ["VISp"],
        "structures": ["VISp,VISl"],
        "target": ["VISp"],
        "point": ["8000,1500,8500"],
    }
