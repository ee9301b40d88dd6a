"""What the processes of tests have imported when they begin: see `tests.processes`."""

from __future__ import annotations

import contextlib

import h5py  # noqa: F401
import nrrd  # noqa: F401
import pandas  # noqa: F401
import pytest  # noqa: F401
import requests  # noqa: F401
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite  # noqa: F401
import stamina  # noqa: F401

import bsv_store_cli.main  # noqa: F401

with contextlib.suppress(ImportError):
    # Needs the extra `server`.
    import bsv_store.server.run  # noqa: F401
