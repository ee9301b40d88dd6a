"""Option types for durations and sizes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from bsv_store.errors import InputError
from bsv_store.quantities import parse_duration, parse_size


class Duration(click.ParamType[timedelta]):
    """A duration such as ``30m`` or ``7d``; the command gets a `datetime.timedelta`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The duration for a value."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration("the duration", value)
        except InputError as error:
            self.fail(f"{error.message}. {error.hint}", param, ctx)


class Size(click.ParamType[int]):
    """A size such as ``500GB``; the command gets the number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes for a value."""
        if isinstance(value, int):
            return value
        try:
            return parse_size("the size", value)
        except InputError as error:
            self.fail(f"{error.message}. {error.hint}", param, ctx)
