"""The compiled loops are tested where there is a C compiler."""

from __future__ import annotations

import pytest


def require_compiled_loops() -> None:
    pytest.importorskip("bsv_store_fast", reason="bsv-store-fast is not installed: there was no C compiler")
