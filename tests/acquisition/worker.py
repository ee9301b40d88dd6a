"""A child process that fetches or synchronizes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.processes import Child


def start(what: str, store: Path, url: str, ids: Sequence[int], *, kill_at: str | None = None) -> Child:
    """Start the process; it is killed at the checkpoint ``kill_at``."""
    return Child(main, what, store, url, tuple(ids), kill_at=kill_at)


def main(what: str, store_path: Path, url: str, experiment_ids: Sequence[int]) -> None:
    """The main function of the process."""
    from bsv_store import open_store
    from bsv_store.acquisition.sync import sync_unionizes
    from bsv_store.sources.allen import AllenClient
    from tests.client_defaults import client_defaults

    client_defaults()["backoff_s"] = 0.01
    with open_store(store_path) as store:
        if what == "fetch":
            report = store.fetch(experiment_ids, workers=2, api_url=url)
            assert not report.reasons, report.reasons
            assert set(report.fetched) | set(report.present) | set(report.recovered) == set(experiment_ids)
            for i in experiment_ids:
                assert store.volume(i).shape == (132, 80, 114)
            sys.stdout.write(report.summary())
        elif what == "annotation":
            annotation = store.sync_annotation(spacing_um=experiment_ids[0], download_url=url)
            sys.stdout.write(annotation.outcome)
        elif what == "template":
            template = store.sync_template(spacing_um=experiment_ids[0], download_url=url)
            sys.stdout.write(template.outcome)
        elif what == "annotation file":
            store.ingest_annotation(url)
        else:
            assert what == "sync"
            # In small batches, so that the process can be killed between two.
            with AllenClient(api_url=url) as client:
                tables = sync_unionizes(store.database, client, experiment_ids, batch=2)
            assert not tables.reasons, tables.reasons
            sys.stdout.write(tables.summary())
