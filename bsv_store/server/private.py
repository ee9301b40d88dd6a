"""Removes what describes the machine from messages: paths, and addresses of databases."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER_OPTION = re.compile(r"(--store[ =])('[^']*'|\"[^\"]*\"|\S+)")
_DATABASE = re.compile(r"(?:\bthe database )?\bpostgres(?:ql)?(?:\+\w+)?://[^\s'\",;)]+")
# What the driver of Postgres says about its server.
_SERVER = re.compile(r'(connection to server) (?:at|on socket) "[^"]*"(?: \([^)]*\))?(?:, port \d+)?')
_NAMED = re.compile(r"""\b(host|user|role|database) (?:"[^"]+"|'[^']+')""")
_WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\[^\s'\",;)]*")
# Folders at the root of file systems; the addresses of the server begin otherwise.
_ROOTS = (
    "Applications|Library|Network|System|Users|Volumes|bin|boot|cluster|data|dev|etc|export|gpfs|home|lib|lib64|lustre"
    "|media|mnt|net|nfs|opt|private|proc|root|run|sbin|scratch|share|shared|srv|storage|sys|tmp|usr|var|work"
)
_ABSOLUTE = re.compile(r"(?:/|[A-Za-z]:\\)[^\n]*")
_IN_QUOTES = re.compile(rf"(['\"`])/(?:{_ROOTS})(?:/[^'\"`]*)?\1")
_BARE = re.compile(rf"(?<![\w.:/-])/(?:{_ROOTS})(?:/[^\s'\"`,;:()]*)?(?![\w-])")


class PrivatePaths:
    """Rewrites messages of one store.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the store. Paths inside it become relative, the folder itself becomes "the store".
    """

    def __init__(self, folder: Path) -> None:
        spellings = {str(folder), str(folder.absolute()), str(folder.resolve())}
        self._folders = sorted(spellings - {"/", "."}, key=len, reverse=True)

    def in_cell(self, value: object) -> object:
        """A value of a table: an absolute path becomes the name of its file, as in a mirror of the catalog."""
        if not isinstance(value, str) or ("/" not in value and "\\" not in value):
            return value
        if _ABSOLUTE.fullmatch(value):
            return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
        return self.removed(value)

    def removed(self, text: str) -> str:
        """The text without paths of the machine."""
        text = _FOLDER_OPTION.sub(r"\1FOLDER", text)
        for folder in self._folders:
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
            text = re.sub(rf"{re.escape(folder)}(?![\w-])", "the store", text)
        text = _DATABASE.sub("the database", text)
        text = _SERVER.sub(r"\1", text)
        text = _NAMED.sub(r"\1", text)
        text = _IN_QUOTES.sub("a path of the server", text)
        text = _BARE.sub("a path of the server", text)
        return _WINDOWS_PATH.sub("a path of the server", text)
