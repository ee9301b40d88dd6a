"""The name of the program that uses the package, as administrators of a database server see it."""

from __future__ import annotations

_name = "python"


def name_program(name: str) -> None:
    """Set the name; the command line sets the name of its command."""
    global _name
    _name = name


def program_name() -> str:
    """The name of the program: a command of bsv-store, or "python"."""
    return _name
