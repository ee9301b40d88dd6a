"""All routes of the pages."""

from __future__ import annotations

from bsv_store.server.pages import assets, overview, viewer

ROUTES = [*assets.ROUTES, *overview.ROUTES, *viewer.ROUTES]
