"""Arguments that name hemispheres, and their numbers in the unionize records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from bsv_store.check import choice, several
from bsv_store.errors import InputError
from bsv_store.vocabulary import HEMISPHERES, MEASURED_HEMISPHERES, MeasuredHemisphere, MeasuredHemisphereRow


def checked_hemispheres(
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere],
    *,
    rows: Mapping[str, MeasuredHemisphereRow] = MEASURED_HEMISPHERES,
    such_as: str = "'both' or ['ipsilateral', 'contralateral']",
) -> tuple[MeasuredHemisphere, ...]:
    """The hemispheres with these names, in the given order, each once.

    Parameters
    ----------
    hemisphere : MeasuredHemisphere or sequence of them
    rows : mapping of str to MeasuredHemisphereRow
        Those that are valid.
    such_as : str
        An example for the hint.

    Raises
    ------
    InputError
        If there is none, or a name is not valid.
    """
    named = several("hemisphere", hemisphere, such_as=such_as)
    if not named:
        raise InputError("hemisphere must not be empty", hint=f"For example: {such_as}.")
    return tuple(dict.fromkeys(choice("hemisphere", side, rows).name for side in named))


def hemisphere_ids(hemisphere: MeasuredHemisphere) -> tuple[int, int]:
    """``hemisphere_id`` for an experiment injected on the left, and for one injected on the right.

    The two are equal unless the hemisphere is relative to the injected one.
    """
    left, right = HEMISPHERES["left"].unionize_id, HEMISPHERES["right"].unionize_id
    if hemisphere == "ipsilateral":
        return left, right
    if hemisphere == "contralateral":
        return right, left
    if hemisphere == "both" or hemisphere == "left" or hemisphere == "right":
        fixed = MEASURED_HEMISPHERES[hemisphere].unionize_id
        assert fixed is not None
        return fixed, fixed
    assert_never(hemisphere)
