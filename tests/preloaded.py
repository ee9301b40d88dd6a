"""The modules that the processes of tests have imported when they start: see `tests.processes`.

All modules of the package, also those that it imports when they are needed: a child that is killed after a tenth of a
second would spend most of it importing.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import pkgutil

import alembic.command  # noqa: F401
import h5py  # noqa: F401
import nrrd  # noqa: F401
import pandas  # noqa: F401
import platformdirs  # noqa: F401
import pytest  # noqa: F401
import requests  # noqa: F401
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite  # noqa: F401
import stamina  # noqa: F401
from sqlalchemy.orm import configure_mappers

import bsv_store
import bsv_store_cli.main
import bsv_store_synthetic

for package in (bsv_store, bsv_store_cli, bsv_store_synthetic):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith(".__main__"):
            # Some need an extra, such as `server`.
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
with contextlib.suppress(ImportError):
    # Needs the extra `postgres`.
    import psycopg  # noqa: F401

configure_mappers()
# Otherwise the first collection of each fork copies all pages.
gc.collect()
gc.freeze()
