"""The number of random examples that hypothesis draws."""

from __future__ import annotations

import hypothesis

# Set when pytest starts, before test modules are imported.
FEW = False


def examples(count: int) -> hypothesis.settings:
    """Settings with that number of examples, and a quarter of it in the ordinary run, where no ``long`` tests run."""
    return hypothesis.settings(max_examples=max(count // 4, 5) if FEW else count)
