"""References to versions: ``name``, ``name@3``, ``name@latest``, ``name@tag``; names and tags."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bsv_store.check import text as checked_text
from bsv_store.errors import InputError
from bsv_store.text import shown

LATEST = "latest"

# The name is also the name of a folder.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RULE = "up to 100 letters, digits, '.', '_' and '-', starting with a letter or digit"


def version_key(name: str, number: int) -> str:
    """The key of a version in the inventory and in the record of verifications."""
    return f"version/{name}@{number}"


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A reference to a version.

    Attributes
    ----------
    name : str
    number : int or None
        From 1.
    tag : str or None
        Without number and tag, the latest version is meant.
    """

    name: str
    number: int | None = None
    tag: str | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.name}@{self.number}"
        return f"{self.name}@{self.tag or LATEST}"


_MAX_DIGITS = 18


def parse_ref(text: str) -> DatasetRef:
    """The reference ``name``, ``name@3``, ``name@latest`` or ``name@tag``.

    Raises
    ------
    InputError
        If the text is not a valid reference.

    Examples
    --------
    >>> parse_ref("visual-by-AP@2").number
    2
    """
    name, at, which = checked_text("ref", text, such_as="visual-by-AP@3").partition("@")
    checked = check_name(name)
    if not at or which == LATEST:
        return DatasetRef(checked)
    if which.isascii() and which.isdigit():
        # Databases have integers of 63 bits; Python refuses to convert thousands of digits.
        if len(which) > _MAX_DIGITS or int(which) < 1:
            raise InputError(f"{shown(text)} is not a valid reference", hint="Versions are numbered from 1.")
        return DatasetRef(checked, number=int(which))
    if not which:
        raise InputError(
            f"{text!r} is not a valid reference", hint=f"For example: {checked}, {checked}@3 or {checked}@tag."
        )
    return DatasetRef(checked, tag=check_tag(which))


def check_name(name: str) -> str:
    """The name of a dataset.

    Raises
    ------
    InputError
        If it is not valid: it has other characters than letters, digits, '.', '_' and '-', or is too long.
    """
    if not _NAME.fullmatch(checked_text("name", name, such_as="visual-by-AP")):
        raise InputError(f"{_shown(name)} is not a valid dataset name", hint=f"A name has {_RULE}.")
    return name


def check_tag(tag: str) -> str:
    """The tag of a version.

    Raises
    ------
    InputError
        If it is not valid: like a dataset name, but not a number or 'latest'.
    """
    if not _NAME.fullmatch(checked_text("tag", tag, such_as="paper")):
        raise InputError(f"{_shown(tag)} is not a valid tag", hint=f"A tag has {_RULE}.")
    if tag.lower() == LATEST:
        raise InputError("'latest' is not a valid tag: it always means the latest version", hint="Use another word.")
    if _looks_like_a_number(tag):
        raise InputError(f"{tag!r} is not a valid tag: it is a number", hint=f"Add a letter, for example v{tag}.")
    return tag


def near_names(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests names similar to an unknown one."""
    names = sorted(known)
    lowered = {each.lower(): each for each in names}
    near = [lowered[found] for found in difflib.get_close_matches(name.lower(), lowered, n=3)]
    if near:
        return f"Did you mean {', '.join(near)}?"
    if not names:
        return "The store has no datasets. Create one with `bsv-store aggregate`."
    return f"Datasets: {', '.join(names[:10])}{' ...' if len(names) > 10 else ''}."


def _looks_like_a_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 100 else f"{text[:97]}...")
