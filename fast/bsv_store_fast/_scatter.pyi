from typing import Any

# Arrays, or anything else with the buffer protocol: total, index, values; and the divisor.
def add_parts(parts: list[tuple[Any, Any, Any, float]], first: int, /) -> None: ...

# Center and spread, and low and high, may be None.
def add_moments(
    index: Any, values: Any, total: Any, listed: Any, center: Any, spread: Any, low: Any, high: Any, /
) -> None: ...
