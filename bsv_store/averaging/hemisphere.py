"""Applying hemisphere rules, which depend on the injected hemisphere.

The rules and their properties are `bsv_store.vocabulary.HEMISPHERE_RULES`. For a volume ``v`` with axes [ap, dv, ml],
whose mirror image is ``v[..., ::-1]``:

* a rule that subtracts gives ``v - v[..., ::-1]`` in the injected hemisphere and 0 in the other one;
* a rule that mirrors gives ``v[..., ::-1]`` for volumes injected on its ``mirrored_side`` (as
  mouse_connectivity_models does), so that all injections are on one side;
* a folded result has the ipsilateral hemisphere in its right half and the contralateral one in its left half. `halves`
  splits it, with homologous voxels at the same index.

Voxels without data (NaN) stay NaN. A difference is NaN if either of its two voxels is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import RecipeError
from bsv_store.vocabulary import HEMISPHERE_RULES, Hemisphere, HemisphereRule, MeasuredHemisphere

# Quotients of float32 values and this divisor have finite squares, and sums of squares, in float64.
_SMALLEST_DIVISOR = 1e-100


def is_mirrored(hemisphere_rule: HemisphereRule, injected: Hemisphere | None) -> bool:
    """Whether the rule mirrors volumes that were injected on that side."""
    return injected is not None and HEMISPHERE_RULES[hemisphere_rule].mirrored_side == injected


def injected_half(width: int, injected: Hemisphere) -> slice:
    """The slice of an ML axis of `width` voxels that is the injected hemisphere."""
    middle = width // 2
    return slice(0, middle) if injected == "left" else slice(middle, width)


def half_names(hemisphere_rule: HemisphereRule) -> tuple[MeasuredHemisphere, MeasuredHemisphere]:
    """The names of the left and the right half of a result."""
    return ("contralateral", "ipsilateral") if HEMISPHERE_RULES[hemisphere_rule].is_folded else ("left", "right")


def process_volume(
    volume: NDArray[np.floating],
    *,
    divisor: float = 1.0,
    hemisphere_rule: HemisphereRule = "none",
    injected: Hemisphere | None = None,
    what: str = "the volume",
) -> NDArray[np.float64]:
    """A volume after normalization and the hemisphere rule, as it is averaged.

    Parameters
    ----------
    volume : ndarray, shape (ap, dv, ml)
        NaN = no data.
    divisor : float
        Every voxel is divided by it in float64.
    hemisphere_rule : HemisphereRule
    injected : {'left', 'right'}, optional
        The injected hemisphere; required by rules that need it.
    what : str
        Name of the volume in errors.

    Returns
    -------
    ndarray of float64, shape (ap, dv, ml)
        A new array.

    Raises
    ------
    RecipeError
        If the rule needs the injected hemisphere and it is not known, or the divisor is not a positive number.
    """
    side = checked_side(hemisphere_rule, injected, what)
    values: NDArray[np.float64] = np.divide(volume, checked_divisor(divisor, what), dtype=np.float64)
    if is_mirrored(hemisphere_rule, side):
        return np.ascontiguousarray(values[..., ::-1])
    if side is None or not HEMISPHERE_RULES[hemisphere_rule].subtracts:
        return values
    difference = values - values[..., ::-1]
    half = injected_half(values.shape[-1], side)
    # In the other hemisphere 0, but NaN stays NaN.
    result = np.where(np.isnan(difference), np.nan, 0.0)
    result[..., half] = difference[..., half]
    return result


def halves(volume: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The ipsilateral and the contralateral half of a volume whose injection is on the right.

    Parameters
    ----------
    volume : ndarray, shape (..., ap, dv, ml)
        A result of the rule ``fold_ipsilateral`` or ``flip_to_right``.

    Returns
    -------
    ipsilateral, contralateral : ndarray, shape (..., ap, dv, ml / 2)
        Views. ML index 0 is at the midline in both, so homologous voxels have the same index.
    """
    width = volume.shape[-1]
    return volume[..., width // 2 :], volume[..., ::-1][..., width // 2 :]


def checked_side(hemisphere_rule: HemisphereRule, injected: Hemisphere | None, what: str) -> Hemisphere | None:
    """The injected hemisphere if the rule needs it, else None.

    Raises
    ------
    RecipeError
        If the rule needs the injected hemisphere and it is not known.
    """
    if not HEMISPHERE_RULES[hemisphere_rule].needs_side:
        return None
    if injected not in ("left", "right"):
        raise RecipeError(
            f"the injected hemisphere of {what} is not known, and the hemisphere rule {hemisphere_rule!r} needs it",
            hint="Leave it out, or use the hemisphere rule 'none'.",
        )
    return injected


def checked_divisor(divisor: float, what: str) -> float:
    """The divisor, which must be finite, positive, and large enough that no quotient or its square is infinite.

    Raises
    ------
    RecipeError
        If it is not.
    """
    if not (np.isfinite(divisor) and divisor > 0):
        raise RecipeError(
            f"the divisor of {what} must be a positive number, got {divisor!r}",
            hint="Exclude the experiment, or do not normalize.",
        )
    if divisor < _SMALLEST_DIVISOR:
        raise RecipeError(
            f"the divisor of {what} must be at least {_SMALLEST_DIVISOR:g}, got {divisor!r}",
            hint="Exclude the experiment, or do not normalize.",
        )
    return float(divisor)
