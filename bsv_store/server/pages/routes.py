"""All routes of the pages."""

from __future__ import annotations

from bsv_store.server.pages import assets, overview

ROUTES = [*assets.ROUTES, *overview.ROUTES]
