"""Names of datasets, their versions and tags: ``name``, ``name@3``, ``name@latest``, ``name@tag``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bsv_store.check import text as checked_text
from bsv_store.errors import InputError

LATEST = "latest"

# A name becomes a folder: nothing in it may mean anything to a file system.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RULE = "letters, digits, '.', '_' and '-', at most 100, the first a letter or digit"


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """Which version of which dataset is meant.

    Attributes
    ----------
    name : str
    number : int or None
        Version number, from 1.
    tag : str or None
        Without a number and a tag the latest version is meant.
    """

    name: str
    number: int | None = None
    tag: str | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.name}@{self.number}"
        return f"{self.name}@{self.tag or LATEST}"


def parse_ref(text: str) -> DatasetRef:
    """The reference that ``name``, ``name@3``, ``name@latest`` or ``name@tag`` stands for.

    Raises
    ------
    InputError
        If it is none of these.

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
        if int(which) < 1:
            raise InputError(f"{text!r} is no version of a dataset", hint="Versions are numbered from 1.")
        return DatasetRef(checked, number=int(which))
    if not which:
        raise InputError(f"{text!r} names no version", hint=f"Write {checked}, {checked}@3 or {checked}@tag.")
    return DatasetRef(checked, tag=check_tag(which))


def check_name(name: str) -> str:
    """The name, if a dataset can be called so.

    Raises
    ------
    InputError
        If it has other characters than letters, digits, '.', '_' and '-', such as parts of a path.
    """
    if not _NAME.fullmatch(checked_text("name", name, such_as="visual-by-AP")):
        raise InputError(f"{_shown(name)} cannot be the name of a dataset", hint=f"A name is {_RULE}.")
    return name


def check_tag(tag: str) -> str:
    """The tag, if a version can be called so.

    Raises
    ------
    InputError
        If it has other characters than a dataset's name may have, looks like a number, or is 'latest'.
    """
    if not _NAME.fullmatch(checked_text("tag", tag, such_as="paper")):
        raise InputError(f"{_shown(tag)} cannot be a tag", hint=f"A tag is {_RULE}.")
    if tag.lower() == LATEST:
        raise InputError("the tag 'latest' would not mean the latest version", hint="Choose another word.")
    if _looks_like_a_number(tag):
        raise InputError(f"the tag {tag!r} looks like a version number", hint=f"Add a letter, such as v{tag}.")
    return tag


def near_names(name: str, known: Iterable[str]) -> str:
    """A sentence with the names nearest to one that is not known."""
    names = sorted(known)
    lowered = {each.lower(): each for each in names}
    near = [lowered[found] for found in difflib.get_close_matches(name.lower(), lowered, n=3)]
    if near:
        return f"Did you mean {', '.join(near)}?"
    if not names:
        return "The store holds no dataset yet; `bsv-store aggregate` makes one."
    return f"There are {', '.join(names[:10])}{' ...' if len(names) > 10 else ''}."


def _looks_like_a_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 100 else f"{text[:97]}...")
