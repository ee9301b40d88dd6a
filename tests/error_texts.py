"""The search for a secret in errors."""

from __future__ import annotations


def every_text(error: BaseException | None) -> str:
    """The texts of an error and of all errors that led to it."""
    texts, seen = [], set[int]()
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop()
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            texts.append(f"{current} {current!r} {vars(current)}")
            waiting += [current.__cause__, current.__context__, *current.args]
    return "\n".join(texts)
