from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bsv_store.check import looks_like_mm, point_um, whole_number
from bsv_store.errors import InputError


@pytest.mark.parametrize("value", [(8, 1.5, 8.5), [8.0, 1.5, 8.5], np.array([8, 1.5, 8.5])])
def test_millimeters_are_refused_with_the_um_that_are_meant(value: Any) -> None:
    with pytest.raises(InputError, match=r"point is 8,1\.5,8\.5: these seem to be mm") as caught:
        point_um("point", value)
    assert caught.value.hint == "Give um: 8000,1500,8500."


def test_um_are_taken() -> None:
    assert point_um("point", (8000, 15, 8500)) == (8000.0, 15.0, 8500.0)
    assert not looks_like_mm(0, 0, 0)
    with pytest.raises(InputError, match="no point"):
        point_um("point", (1, 2))


def test_whole_numbers() -> None:
    assert whole_number("top", np.int64(3), least=1) == 3
    for wrong in (0, 2.5, True, "3"):
        with pytest.raises(InputError, match="top is"):
            whole_number("top", wrong, least=1)
