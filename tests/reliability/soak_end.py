"""Checks of the store at the end of a soak."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from bsv_store import open_store
from bsv_store.errors import BsvStoreError
from bsv_store.temporary import remove_abandoned
from bsv_store_synthetic import SyntheticServer
from tests.reliability.soak_report import Report
from tests.reliability.soak_truth import Truth
from tests.reliability.soak_worker import Places

Logged = Mapping[str, list[dict[str, Any]]]
"""What the processes wrote into their logs, by their names."""


def check_end(places: Places, upstream: SyntheticServer, logged: Logged, report: Report) -> None:
    """Repair and clean up the store, and report what is lost or wrong then."""
    lost = report.lost
    with warnings.catch_warnings(), open_store(places.store) as store:
        warnings.simplefilter("ignore")
        repaired = store.admin.repair(apply=True, api_url=upstream.url)
        # Downloads of killed processes have claims.
        store.admin.break_claims(all_ended=True)
        lost += [f"{each.kind}: {each.object} is not repaired: {repaired.why_left(each)}" for each in repaired.left]
        store.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0, allow_many=True)
        found = store.admin.verify(deep=True)
        lost += [f"{each.kind}: {each.object} {each.problem}" for each in found.findings if each.is_damage]
        lost += [f"{each.kind}: {each.object}" for each in found.findings if each.kind in ("orphan", "temporary")]
        _check_versions(places, store, logged, report)
        _check_volumes(places, store, report)
        if len(claims := store.admin.claims()):
            lost.append(f"claims: {claims.to_dict('records')}")
        store.admin.backup(places.backup)
    with pytest.MonkeyPatch.context() as patch:
        # As the next process does that needs a temporary folder.
        patch.setattr(tempfile, "tempdir", str(places.temporary))
        remove_abandoned()
    for folder, what in ((places.store / "tmp", "of the store"), (places.temporary, "of the machine")):
        if left := [each.name for each in folder.iterdir()]:
            lost.append(f"temporary files {what}: {left}")


def _check_versions(places: Places, store: Any, logged: Logged, report: Report) -> None:
    truth = Truth(places.truth)
    contents: dict[str, str] = {}
    uncertain, deleted, tags = set(), set(), {}
    saved: dict[str, int] = {}
    for lines in logged.values():
        for line in lines:
            if "version" in line:
                known = contents.setdefault(line["version"], line["content"])
                if known != line["content"]:
                    report.wrong.append(f"{line['version']} was given twice: {known}, {line['content']}")
            elif "deleting" in line:
                uncertain.add(line["deleting"])
            elif "deleted" in line:
                deleted.add(line["deleted"])
            elif "tag" in line:
                tags[line["tag"]] = line["ref"]
            elif "selection" in line:
                saved[line["selection"]] = max(saved.get(line["selection"], 0), line["number"])
    rows = store.datasets.versions()
    present = {f"{row.name}@{row.number}": row.tags for row in rows.itertuples()}
    for ref, content in contents.items():
        if ref in present:
            found = store.dataset(ref)
            if found.content_sha256 != content:
                report.wrong.append(f"{ref}: content {found.content_sha256}, not {content}")
            elif not np.array_equal(found.mean, truth.mean(truth.contents.index(content)), equal_nan=True):
                report.wrong.append(f"{ref}: other values")
        elif ref not in uncertain:
            report.lost.append(f"version {ref}")
    report.lost += [f"deletion of {ref}" for ref in deleted if ref in present]
    for tag, ref in tags.items():
        if ref not in uncertain and tag not in str(present.get(ref, "")).split(", "):
            report.lost.append(f"tag {tag} of {ref}")
    numbers = {each.name: each.number for each in store.catalog.selections()}
    report.lost += [f"selection {name}@{n}" for name, n in saved.items() if numbers.get(name, 0) < n]
    report.figures["acknowledged"] = (
        f"{len(contents)} versions, {len(deleted)} deletions, {len(tags)} tags, {len(saved)} selections"
    )


def _check_volumes(places: Places, store: Any, report: Report) -> None:
    truth = Truth(places.truth)
    for experiment in truth.ids:
        for kind, spacing_um in store.volumes.of_experiment(experiment):
            try:
                found = store.volume(experiment, kind=kind, spacing_um=spacing_um)
            except BsvStoreError as error:
                report.lost.append(f"volume {kind} of {experiment}: {error}")
                continue
            if not np.array_equal(found, truth.volume(experiment, kind), equal_nan=True):
                report.wrong.append(f"volume {kind} of {experiment}")
