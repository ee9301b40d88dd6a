"""Small pictures in tables: colored squares and bars. They have no style attributes, which servers may forbid."""

from __future__ import annotations

import math

from bsv_store.reports.html_page.markup import Markup, element


def chip(color: str | None) -> Markup | None:
    """A square in a color of six hexadecimal digits; None without a color."""
    if color is None:
        return None
    square = element("rect", width=12, height=12, rx=2, fill=f"#{color}")
    return element("svg", square, class_="chip", viewBox="0 0 12 12", aria_hidden="true")


def bar(value: float, largest: float) -> Markup | None:
    """A horizontal bar whose length is the share of the largest value."""
    if math.isnan(value) or largest == 0:
        return None
    kind = "negative" if value < 0 else None
    share = element("rect", width=f"{100 * abs(value) / largest:.1f}%", height="100%", rx=2, class_=kind)
    return element("svg", share, class_="bar", aria_hidden="true")
