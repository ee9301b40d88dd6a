"""Talk to the person, on standard error, in which nothing from a file can play tricks with the terminal."""

from __future__ import annotations

import click


def printable(text: str, *, keep: str = "") -> str:
    """The text with control, bidirectional and other invisible characters shown as escapes, but for those to keep."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def note(text: str) -> None:
    """Say something to the person."""
    click.echo(printable(text, keep="\n\t"), err=True)


def complain(message: str, hint: str | None = None) -> None:
    """Say what went wrong and, on a line of its own, what to do next."""
    note(f"Error: {message}")
    if hint:
        note(hint)
