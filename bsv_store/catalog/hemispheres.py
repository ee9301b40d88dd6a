"""The numbers of hemispheres in the unionize records."""

from __future__ import annotations

from typing import assert_never

from bsv_store.vocabulary import HEMISPHERES, MEASURED_HEMISPHERES, MeasuredHemisphere


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
