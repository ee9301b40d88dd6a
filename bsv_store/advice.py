"""Hints that name commands: which commands a store on a server refuses, and what hints say about them.

Hints are written for a store in a folder. While this process has a store on a server open, each error and warning adds
a sentence to a hint with a command that such a store refuses. The sentence names the server, because another store may
be open too, and the hint may be about that one.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FolderCommand:
    """A command that needs the folder of the store, so that only the administrator of a server can run it.

    Attributes
    ----------
    name : str
        Without ``bsv-store``.
    only_with : str
        The option that needs the folder; without it, the command works on a server too.
    unless : str
        The option with which the command works on a server too.
    """

    name: str
    only_with: str = ""
    unless: str = ""


# `init` is not among them: its hints are about creating another store.
FOLDER_COMMANDS: Final = (
    FolderCommand("activity"),
    FolderCommand("adopt"),
    FolderCommand("aggregate", only_with="--fetch"),
    FolderCommand("backup create"),
    FolderCommand("claims break"),
    FolderCommand("claims list"),
    FolderCommand("config set"),
    FolderCommand("dataset delete"),
    FolderCommand("dataset import"),
    FolderCommand("dataset rebuild", unless="--check"),
    FolderCommand("dataset tag"),
    FolderCommand("dataset untag"),
    FolderCommand("db check"),
    FolderCommand("db current"),
    FolderCommand("db downgrade"),
    FolderCommand("db grant"),
    FolderCommand("db history"),
    FolderCommand("db journal"),
    FolderCommand("db stamp"),
    FolderCommand("db upgrade"),
    FolderCommand("doctor"),
    FolderCommand("exclude add"),
    FolderCommand("exclude remove"),
    FolderCommand("fetch"),
    FolderCommand("gc"),
    FolderCommand("ingest annotation"),
    FolderCommand("ingest experiments"),
    FolderCommand("ingest structures"),
    FolderCommand("ingest template"),
    FolderCommand("ingest unionizes"),
    FolderCommand("quota"),
    FolderCommand("repair"),
    FolderCommand("selection save"),
    FolderCommand("serve token add"),
    FolderCommand("serve token list"),
    FolderCommand("serve token revoke"),
    FolderCommand("store attach"),
    FolderCommand("store move"),
    FolderCommand("store permissions"),
    FolderCommand("sync annotation"),
    FolderCommand("sync experiments"),
    FolderCommand("sync structures"),
    FolderCommand("sync template"),
    FolderCommand("sync unionizes"),
    FolderCommand("trash"),
    FolderCommand("untrash"),
    FolderCommand("verify"),
)
"""The commands that a store on a server refuses."""

THIS_SERVER: Final = "this server"
"""What a server calls itself; it does not know the address by which clients reach it."""

_BY_NAME: Final = {each.name: each for each in FOLDER_COMMANDS}
_NAMES: Final = "|".join(re.escape(each) for each in sorted(_BY_NAME, key=len, reverse=True))
# A command ends where the next command, sentence or line begins.
_COMMAND: Final = re.compile(
    rf"\bbsv-store (?:--store (?:'[^']*'|\S+) )?(?P<name>{_NAMES})\b(?!-)(?P<rest>(?:(?!bsv-store )[^`;\n])*)"
)
# A hint with this word already says who can run the command.
_ADMINISTRATOR: Final = "administrator"

# Addresses of the servers of open stores, by the identity of the object that keeps each of them open.
_open: dict[int, str] = {}


def note_server(owner: object, url: str) -> None:
    """Record that a store on a server is open, until `forget_server` is called or its owner is garbage-collected."""
    _open[id(owner)] = url
    weakref.finalize(owner, _open.pop, id(owner), None)


def forget_server(owner: object) -> None:
    """Record that a store on a server is closed."""
    _open.pop(id(owner), None)


def for_open_stores(hint: str) -> str:
    """A hint for the users of all stores that this process has open."""
    # A copy, because other threads and the garbage collector may close stores meanwhile.
    servers = tuple(_open.copy().values())
    return for_readers_of(hint, servers) if servers else hint


def for_readers_of(hint: str, servers: Iterable[str]) -> str:
    """A hint for users of stores on servers, with a sentence about the commands that these stores refuse.

    Parameters
    ----------
    hint : str
    servers : iterable of str
        Addresses, or `THIS_SERVER`.
    """
    refused = refused_commands(hint)
    if not refused or _ADMINISTRATOR in hint:
        return hint
    commands = " and ".join(f"`bsv-store {each}`" for each in refused)
    where, them = " or ".join(sorted(set(servers))), "it" if len(refused) == 1 else "them"
    return f"{hint}\nA store on a server refuses {commands}: ask the {_ADMINISTRATOR} of {where} to run {them}."


def refused_commands(hint: str) -> list[str]:
    """The commands in a hint that a store on a server refuses, without ``bsv-store``, in the order of the hint."""
    found: dict[str, None] = {}
    for match in _COMMAND.finditer(hint):
        command, rest = _BY_NAME[match["name"]], match["rest"]
        if command.unless and command.unless in rest:
            continue
        if not command.only_with or command.only_with in rest:
            found[f"{command.name} {command.only_with}".strip()] = None
    return list(found)
