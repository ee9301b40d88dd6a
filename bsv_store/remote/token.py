"""Tokens for stores on servers: where they come from, and where they are sent."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bsv_store.config import setting, user_file
from bsv_store.config.values import is_loopback
from bsv_store.documents import toml_values
from bsv_store.errors import InputError
from bsv_store.text import shown

TOKEN_VARIABLE: Final = "BSV_STORE_TOKEN"
_MAX_LENGTH = 512

# Tokens that were given as arguments, so that a copied store can be opened again in this process and its forks.
_given: dict[str, Token] = {}


class Token:
    """A secret. Neither ``repr()`` nor ``str()`` show it, and it cannot be pickled."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def header(self) -> str:
        """The value of the header ``Authorization``."""
        return f"Bearer {self._secret}"

    def __repr__(self) -> str:
        return "Token(...)"

    def __reduce__(self) -> str:
        raise TypeError("a token cannot be pickled")


def tokens_file() -> Path:
    """The file with tokens by address, ``bsv-store/tokens.toml`` in the platform's configuration folder."""
    return user_file().with_name("tokens.toml")


def token_for(url: str, argument: str | None = None) -> Token | None:
    """The token for the base address of a store, and None if there is none.

    The first of these that is set: the argument, the argument of an earlier call in this process, the variable
    ``BSV_STORE_TOKEN``, the entry of the address in `tokens_file`.

    Raises
    ------
    InputError
        If the token is not valid, if others can read the file, or if the token would be sent without encryption.
    """
    token = _found(url, argument)
    if token is not None and urlsplit(url).scheme != "https" and not is_loopback(url):
        raise InputError(
            f"a token must not be sent to {url} without encryption", hint="Use the https address of the server."
        )
    return token


def require_safe_scheme(url: str) -> None:
    """Check that an address uses https, is on this computer, or is one of the hosts of the setting ``http_hosts``.

    Raises
    ------
    InputError
    """
    allowed = [each.strip() for each in setting("http_hosts").text.split(",")]
    if urlsplit(url).scheme == "https" or is_loopback(url) or urlsplit(url).hostname in allowed:
        return
    raise InputError(
        f"{url} is not encrypted: others in the network could change what is read",
        hint=f"Use https, or allow the host: export BSV_STORE_HTTP_HOSTS={urlsplit(url).hostname}",
    )


def _found(url: str, argument: str | None) -> Token | None:
    if argument is not None:
        _given[url] = Token(_checked(argument, "the argument"))
    if url in _given:
        return _given[url]
    if found := os.environ.get(TOKEN_VARIABLE):
        return Token(_checked(found, TOKEN_VARIABLE))
    return _from_file(url, tokens_file())


def _checked(value: object, origin: str) -> str:
    is_token = isinstance(value, str) and 0 < len(value) <= _MAX_LENGTH and value.isascii() and value.isprintable()
    if not is_token or set(str(value)) & set(" \t"):
        raise InputError(
            f"the token (from {origin}) is not valid", hint="It is one word of printable ASCII characters."
        )
    return str(value)


def _from_file(url: str, file: Path) -> Token | None:
    try:
        with file.open("rb") as opened:
            if os.name != "nt" and (mode := stat.S_IMODE(os.fstat(opened.fileno()).st_mode)) & 0o077:
                raise InputError(
                    f"others can read the tokens in {file} (its mode is {mode:04o})", hint=f"chmod 600 {file}"
                )
            text = opened.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    try:
        values = toml_values(text)
    except ValueError:
        # Not chained, because the message of the cause may contain a token.
        values = None
    if values is None or not all(isinstance(value, str) for value in values.values()):
        raise InputError(f"{file} is not valid", hint='It has lines of the form: "https://lab.example/bsv" = "TOKEN"')
    found = {address.rstrip("/"): value for address, value in values.items()}.get(url)
    return None if found is None else Token(_checked(found, f"{file}, {shown(url)}"))
