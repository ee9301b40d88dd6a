"""What becomes of the two hemispheres, given the side of the injection.

The rules, for a volume ``v`` on axes [ap, dv, ml] whose mirror image is ``v[..., ::-1]``:

* ``none``: as it is.
* ``subtract_contralateral``: on the injected side the signal minus the mirrored voxel, on the other side zero.
* ``flip_to_right``, ``flip_to_left``: volumes injected on the other side are mirrored, so that all injections lie on
  one side (as mouse_connectivity_models does).
* ``fold_ipsilateral``: the same numbers as ``flip_to_right``, read otherwise: the right half is the ipsilateral one,
  the left half the contralateral one. :func:`halves` takes the two apart, homologous voxels at the same index.

"No data" (NaN) stays so; where two voxels are subtracted, a voxel and its mirror are known only if both are.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bsv_store.check import text
from bsv_store.errors import RecipeError
from bsv_store.vocabulary import Hemisphere

HemisphereRule = Literal["none", "subtract_contralateral", "flip_to_right", "flip_to_left", "fold_ipsilateral"]
BilateralPolicy = Literal["larger_side", "error", "leave_out"]

HEMISPHERE_RULES: tuple[HemisphereRule, ...] = get_args(HemisphereRule)
BILATERAL_POLICIES: tuple[BilateralPolicy, ...] = get_args(BilateralPolicy)

_FLIPPED_SIDE: dict[HemisphereRule, Hemisphere] = {
    "flip_to_right": "left",
    "fold_ipsilateral": "left",
    "flip_to_left": "right",
}


def hemisphere_rule(name: str) -> HemisphereRule:
    """The rule of that name; hyphens are taken for underscores.

    Raises
    ------
    RecipeError
        If there is no such rule.
    """
    rule = text("hemisphere", name, such_as="fold_ipsilateral", error=RecipeError).replace("-", "_")
    if rule not in HEMISPHERE_RULES:
        raise RecipeError(f"there is no hemisphere rule {name!r}", hint=f"Rules are {', '.join(HEMISPHERE_RULES)}.")
    return rule


def bilateral_policy(name: str) -> BilateralPolicy:
    """The policy for bilateral injections of that name; hyphens are taken for underscores.

    Raises
    ------
    RecipeError
        If there is no such policy.
    """
    policy = text("bilateral", name, such_as="larger_side", error=RecipeError).replace("-", "_")
    if policy not in BILATERAL_POLICIES:
        raise RecipeError(
            f"there is no policy {name!r} for bilateral injections",
            hint=f"Policies are {', '.join(BILATERAL_POLICIES)}.",
        )
    return policy


def needs_side(rule: HemisphereRule) -> bool:
    """Whether the rule asks on which side each volume was injected."""
    return rule != "none"


def is_flipped(rule: HemisphereRule, injected: Hemisphere | None) -> bool:
    """Whether the rule mirrors volumes injected on that side."""
    return injected is not None and _FLIPPED_SIDE.get(rule) == injected


def injected_half(width: int, injected: Hemisphere) -> slice:
    """Slice of the ML axis, `width` voxels long, that is the injected side."""
    middle = width // 2
    return slice(0, middle) if injected == "left" else slice(middle, width)


def process_volume(
    volume: NDArray[np.floating],
    *,
    divisor: float = 1.0,
    hemisphere: HemisphereRule = "none",
    injected: Hemisphere | None = None,
    what: str = "the volume",
) -> NDArray[np.float64]:
    """One volume, normalized and with the hemisphere rule applied, as it goes into an average.

    Parameters
    ----------
    volume : ndarray, shape (ap, dv, ml)
        NaN is "no data".
    divisor : float
        What each voxel is divided by: 1, or the injection volume in mm3.
    hemisphere : HemisphereRule
    injected : {'left', 'right'}, optional
        Needed by every rule but 'none'.
    what : str
        Names the volume in errors.

    Returns
    -------
    ndarray of float64, shape (ap, dv, ml)
        A new array.

    Raises
    ------
    RecipeError
        If the rule needs a side that is not known, or the divisor is not a positive number.
    """
    side = checked_side(hemisphere, injected, what)
    values: NDArray[np.float64] = np.divide(volume, checked_divisor(divisor, what), dtype=np.float64)
    if is_flipped(hemisphere, side):
        return np.ascontiguousarray(values[..., ::-1])
    if hemisphere != "subtract_contralateral" or side is None:
        return values
    difference = values - values[..., ::-1]
    half = injected_half(values.shape[-1], side)
    # Zero where known: the other side of a pair of which one voxel has no data stays "no data".
    result = np.where(np.isnan(difference), np.nan, 0.0)
    result[..., half] = difference[..., half]
    return result


def halves(volume: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Ipsilateral and contralateral half of a volume whose injection lies on the right.

    Parameters
    ----------
    volume : ndarray, shape (..., ap, dv, ml)
        The result of the rule ``fold_ipsilateral`` or ``flip_to_right``.

    Returns
    -------
    ipsilateral, contralateral : ndarray, shape (..., ap, dv, ml / 2)
        Views; ML index 0 lies at the midline in both, so homologous voxels have the same index.
    """
    width = volume.shape[-1]
    return volume[..., width // 2 :], volume[..., ::-1][..., width // 2 :]


def checked_side(rule: HemisphereRule, injected: Hemisphere | None, what: str) -> Hemisphere | None:
    """The side of the injection where the rule needs it, else None.

    Raises
    ------
    RecipeError
        If the side is needed and not known.
    """
    if not needs_side(rule):
        return None
    if injected not in ("left", "right"):
        raise RecipeError(
            f"the injected hemisphere of {what} is not known, and the hemisphere rule {rule!r} needs it",
            hint="Load the experiment's unionize rows, leave it out, or use the hemisphere rule 'none'.",
        )
    return injected


def checked_divisor(divisor: float, what: str) -> float:
    """The divisor, if one can divide by it.

    Raises
    ------
    RecipeError
        If it is not a finite number above zero.
    """
    if not (np.isfinite(divisor) and divisor > 0):
        raise RecipeError(
            f"{what} cannot be divided by {divisor!r}",
            hint="Normalizing needs an injection volume above zero; leave the experiment out, or do not normalize.",
        )
    return float(divisor)
