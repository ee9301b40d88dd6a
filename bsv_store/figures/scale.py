"""Color scales: limits from the values, weak signal visible, transparent where there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.check import choice, finite_number
from bsv_store.errors import InputError
from bsv_store.figures.style import theme_row
from bsv_store.vocabulary import COLOR_SCALES

if TYPE_CHECKING:
    from bsv_store.vocabulary import ColorScale, Theme

QUANTILE = 0.998
EXPONENT = 0.5
# A logarithmic scale shows this many orders of magnitude if its lower end is not given.
DECADES = 3
# Pale colors at the lower end of a color map cannot be told from the background, so they are left out.
FIRST_COLOR = 0.12
# Below this fraction of the scale, colors fade into the background.
FADE = 0.16
_COLORS = 512
_TICK_GAP = 0.14


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """A color scale.

    Attributes
    ----------
    norm : matplotlib.colors.Normalize
        From values to 0..1.
    colors : matplotlib.colors.Colormap
        Transparent at 0, opaque gray where there is no data.
    low, high : float
        Its ends.
    is_signed : bool
        Whether it is centered on 0.
    how : str
        Its kind in words, such as 'Square-root'.
    end : str
        How its upper end was found, such as 'the 0.998 quantile of the non-zero values'; empty if it was given, or if
        no quantile was used.
    is_count : bool
        Whether the values are counts, so that only whole numbers are labeled between the ends.
    """

    norm: Any
    colors: Any
    low: float
    high: float
    is_signed: bool
    how: str
    end: str
    is_count: bool = False

    @property
    def words(self) -> str:
        """The color scale in words, for the footer."""
        ends = (
            f"from {number_text(self.low)} to {number_text(self.high)}" if self.low else f"to {number_text(self.high)}"
        )
        return f"{self.how} color scale {ends}{f', {self.end}' if self.end else ''}."

    def ticks(self) -> list[float]:
        """Values to be labeled, rounded: evenly spread; powers of ten; or evenly spread over the colors."""
        from matplotlib.colors import LogNorm, Normalize
        from matplotlib.ticker import MaxNLocator

        if type(self.norm) is Normalize:
            steps = (1, 2, 5, 10) if self.is_count else (1, 2, 2.5, 5, 10)
            inner = list(MaxNLocator(4, steps=steps, integer=self.is_count).tick_values(self.low, self.high))
            rounded = [float(f"{value:.6g}") for value in inner if self.low < value < self.high]
        elif type(self.norm) is LogNorm and self.high >= 100 * self.low:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            rounded = [float(f"1e{power}") for power in powers]
        else:
            inner = [float(self.norm.inverse(at)) for at in (0.25, 0.5, 0.75)]
            rounded = sorted({float(f"{value:.1g}") for value in inner if self.low < value < self.high})
        if self.is_count:
            rounded = [value for value in rounded if value.is_integer()]
        # Labels closer than this would touch.
        far = [value for value in rounded if _TICK_GAP < float(self.norm(value)) < 1 - _TICK_GAP]
        return [self.low, *far, self.high]


def check_scale(
    scale: ColorScale, *, vmin: float | None, vmax: float | None, quantile: float
) -> tuple[ColorScale, float | None, float | None, float]:
    """The checked arguments of a color scale.

    Raises
    ------
    InputError
        If the name is not valid, a limit is not finite, ``vmax`` is not above 0, or the quantile is not above 0 and at
        most 1.
    """
    name = choice("scale", scale, COLOR_SCALES).name
    for argument, value in (("vmin", vmin), ("vmax", vmax)):
        if value is not None:
            finite_number(argument, value)
    finite_number("quantile", quantile)
    if not 0 < quantile <= 1:
        raise InputError(f"quantile must be above 0 and at most 1, got {quantile:g}", hint="For example: 0.998.")
    if vmax is not None and vmax <= 0:
        raise InputError(f"vmax must be above 0, got {vmax:g}")
    if name == "log" and vmin is not None and vmin <= 0:
        raise InputError(f"vmin of a logarithmic scale must be above 0, got {vmin:g}")
    return name, vmin, vmax, quantile


def has_both_signs(arrays: Iterable[NDArray[Any]]) -> bool:
    """Whether any value is negative."""
    return any(bool((array < 0).any()) for array in arrays)


def scale_of(
    arrays: Iterable[NDArray[Any]],
    *,
    theme: Theme = "light",
    scale: ColorScale = "power",
    vmin: float | None = None,
    vmax: float | None = None,
    quantile: float | None = QUANTILE,
    is_signed: bool = False,
    least: tuple[float, str] | None = None,
    is_count: bool = False,
) -> Scale:
    """The color scale of some values.

    Parameters
    ----------
    arrays : iterable of ndarray
        The values; NaN = no data.
    theme : {'light', 'dark'}
    scale : {'linear', 'log', 'power'}
    vmin, vmax : float, optional
        Ends of the scale. By default 0 and the quantile of the absolute values that are not 0. A signed scale ends at
        ``-vmax``.
    quantile : float or None
        None: of the largest absolute value, for values without outliers.
    is_signed : bool
        Center the scale on 0.
    least : (float, str), optional
        Lower bound of the upper end of the scale unless ``vmax`` is given, and its meaning, such as 'p = 0.05'.
    is_count : bool
        Whether the values are counts: the scale ends at a whole number unless ``vmax`` is given.

    Raises
    ------
    InputError
        If ``vmin`` is not below the upper end.
    """
    high, found = vmax, ""
    if high is None:
        parts = [np.abs(array[np.isfinite(array) & (array != 0)]) for array in arrays]
        values = np.concatenate(parts) if parts else np.empty(0)
        high = float(np.quantile(values, 1.0 if quantile is None else quantile)) if values.size else 1.0
        if quantile is not None:
            kind = "absolute " if is_signed else ""
            found = (
                f"the {quantile:g} quantile of the {kind}non-zero values"
                if quantile < 1
                else f"the largest {kind}value"
            )
        if is_count:
            # A quantile of whole numbers can lie between two of them.
            high = float(math.ceil(high))
        if least is not None and high <= least[0]:
            high, found = least
    low = low_end(scale, vmin=vmin, high=high, is_signed=is_signed)
    norm = _norm(scale, low, high, is_signed=is_signed)
    how = {"linear": "Linear", "log": "Logarithmic", "power": "Square-root"}[scale]
    return Scale(norm, _colors(theme, is_signed=is_signed), low, high, is_signed, how, found, is_count)


def low_end(scale: ColorScale, *, vmin: float | None, high: float, is_signed: bool) -> float:
    """The low end of a scale with this high end.

    By default 0, on a logarithmic scale some decades below the high end; a signed scale is symmetric.

    Raises
    ------
    InputError
        If it is not below the high end.
    """
    low = vmin if vmin is not None else high / 10**DECADES if scale == "log" else 0.0
    if is_signed:
        low = -high
    if low >= high:
        raise InputError(
            f"vmin must be below vmax, got {low:g} and {high:g}", hint="Without vmax the scale ends at the quantile."
        )
    return low


def scale_words(scales: Sequence[Scale]) -> str:
    """The color scales of the rows of a figure in words, for the footer."""
    first = scales[0]
    if len({each.words for each in scales}) == 1:
        return first.words
    end = f", to {first.end} of the row" if first.end and len({each.end for each in scales}) == 1 else ""
    return f"Each row has its own {first.how.lower()} color scale{end}."


def _norm(scale: ColorScale, low: float, high: float, *, is_signed: bool) -> Any:
    from matplotlib import colors

    if scale == "linear":
        return colors.Normalize(low, high, clip=True)
    if scale == "log":
        if is_signed:
            return colors.SymLogNorm(high / 10**DECADES, vmin=low, vmax=high, clip=True)
        return colors.LogNorm(low, high, clip=True)
    if scale == "power":
        if is_signed:
            return colors.FuncNorm((_signed_root, _signed_square), low, high, clip=True)
        return colors.PowerNorm(EXPONENT, low, high, clip=True)
    assert_never(scale)


def _signed_root(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.sign(values) * np.abs(values) ** EXPONENT)


def _signed_square(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.sign(values) * np.abs(values) ** (1 / EXPONENT))


def _colors(theme: Theme, *, is_signed: bool) -> Any:
    """The theme's color map, fading out toward 0."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    row = theme_row(theme)
    at = np.linspace(0, 1, _COLORS)
    if is_signed:
        table = colormaps[row.difference](at)
        strength = np.abs(2 * at - 1)
    else:
        table = colormaps[row.signal](FIRST_COLOR + (1 - FIRST_COLOR) * at)
        strength = at
    table[:, 3] = np.clip(strength / FADE, 0, 1)
    return ListedColormap(table).with_extremes(bad=row.no_data)


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number_text(value: float) -> str:
    """A value of the scale: large ones as whole numbers, others with two digits, as 2×10⁻⁵ where they are small."""
    size = abs(value)
    if value == 0 or 1e-3 <= size < 99.5:
        text = f"{value:.2g}"
    elif 99.5 <= size < 1e6:
        text = f"{value:,.0f}"
    else:
        digits, exponent = f"{value:.1e}".split("e")
        text = f"{float(digits):g}e{exponent}"
    return in_print(text)


def in_print(number: str) -> str:
    """A formatted number as it is printed: −2×10⁻⁵ for -2e-05."""
    digits, _, exponent = number.partition("e")
    power = f"×10{str(int(exponent)).translate(_SUPERSCRIPTS)}" if exponent else ""
    return f"{digits.replace('-', '−')}{power}"
