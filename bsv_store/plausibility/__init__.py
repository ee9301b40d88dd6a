"""Plausibility checks: volumes are compared with the catalog and with other volumes of their experiment."""
