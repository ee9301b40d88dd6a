"""The defaults of `AllenClient`, for tests that want fewer attempts or shorter waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bsv_store.sources.allen import AllenClient


def keyword_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The defaults of a function's keyword arguments; changes of the dict apply to later calls."""
    found: dict[str, Any] | None = getattr(function, "__kwdefaults__")  # noqa: B009
    assert found is not None
    return found


def client_defaults() -> dict[str, Any]:
    """The defaults of the options of `AllenClient`; changes of the dict apply to later clients."""
    return keyword_defaults(AllenClient.__init__)
