"""The source of the library, the command line and the synthetic server, for rules about what it must not contain."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_FOLDERS = ("bsv_store", "cli", "synthetic", "alembic", "migrations")


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of each module, by its path in the checkout."""
    paths = [path for folder in _FOLDERS for path in sorted((CHECKOUT / folder).rglob("*.py"))]
    return {path.relative_to(CHECKOUT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def calls() -> tuple[tuple[str, str, ast.Call], ...]:
    """Path, name of the function as written, and node of every call."""
    return tuple(
        (path, ast.unparse(node.func), node)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    )


def imported() -> Iterator[tuple[str, str]]:
    """Path of the module, and full name of each thing that it imports."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((path, each.name) for each in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((path, f"{node.module}.{each.name}") for each in node.names)


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """The keyword arguments of a call."""
    return {each.arg: each.value for each in call.keywords if each.arg is not None}
