from typing import Any

# Arrays, or anything else with the buffer protocol: total, index, values; and the divisor.
def add_parts(parts: list[tuple[Any, Any, Any, float]], first: int, /) -> None: ...
