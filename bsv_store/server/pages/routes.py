"""The routes of the pages."""

from __future__ import annotations

from bsv_store.server.pages import (
    assets,
    citing,
    datasets,
    experiment,
    experiments,
    overview,
    structures,
    version,
    viewer,
)

ROUTES = [
    route
    for module in (assets, overview, experiments, experiment, structures, datasets, version, viewer, citing)
    for route in module.ROUTES
]
