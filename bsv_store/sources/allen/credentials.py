"""Settings from the environment: proxies, certificates, and passwords for the configured hosts."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

from bsv_store.config import setting
from bsv_store.config.home import expanded
from bsv_store.errors import InputError
from bsv_store.formats.input_file import shown_path
from bsv_store.text import shown

_CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def proxies(url: str) -> dict[str, str]:
    """The proxies for an address, from the environment (``https_proxy``, ``no_proxy`` and so on)."""
    from requests.utils import get_environ_proxies

    return dict(get_environ_proxies(url, no_proxy=None))


def certificates() -> str | bool:
    """The file or folder of trusted certificates, from the environment; True means those of certifi."""
    return next((os.environ[name] for name in _CERTIFICATE_VARIABLES if os.environ.get(name)), True)


def missing_certificates(url: str) -> str | None:
    """What is wrong if the certificates that an address needs do not exist; None if they do."""
    found = certificates()
    if urlsplit(url).scheme != "https" or not isinstance(found, str) or Path(found).exists():
        return None
    return f"the certificates {shown_path(Path(found))} do not exist"


MISSING_CERTIFICATES_HINT = f"Correct or unset {' or '.join(_CERTIFICATE_VARIABLES)}."


def logins(urls: list[str]) -> dict[str, tuple[str, str]]:
    """User names and passwords by host, from the file that the setting ``netrc`` names; empty if it is not set.

    The entry ``default`` of the file is never used. ``~/.netrc`` is used only if the setting names it.

    Parameters
    ----------
    urls : list of str
        Base addresses.

    Returns
    -------
    dict
        User name and password by host and port, as written in the addresses.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    found_setting = setting("netrc")
    if found_setting.value is None:
        return {}
    name = found_setting.text
    file = expanded(f"the netrc file (from {found_setting.origin})", name)
    hosts, problem = {}, None
    try:
        hosts = netrc.netrc(str(file)).hosts
    except netrc.NetrcParseError as error:
        problem = f"line {error.lineno} is not valid"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or "it is not a text file"
    if problem is not None:
        # Not chained, because the message of the cause may contain a password.
        raise InputError(f"{shown(name)} (from {found_setting.origin}) cannot be read: {problem}", hint=_FORM_HINT)
    found = {}
    for url in urls:
        parts = urlsplit(url)
        if parts.hostname != "default" and (entry := hosts.get(parts.hostname or "")) is not None:
            found[parts.netloc] = (entry[0], entry[2])
    return found


_FORM_HINT = "It must have lines of the form: machine HOST login USER password PASSWORD"


def refusal_hint(status: int, host: str) -> str | None:
    """What to do if a server requires a password; None if it refused a request for another reason.

    Parameters
    ----------
    status : int
        HTTP status of the response.
    host : str
        With its port, as in an address.
    """
    if status != 401:
        return None
    name = urlsplit(f"//{host}").hostname
    if setting("netrc").value is None:
        return (
            "The server requires a password or a token. Write the line `machine "
            f"{name} login bsv password TOKEN` to a file that only you can read, and run: export "
            "BSV_STORE_NETRC=FILE"
        )
    return (
        f"The server requires a password or a token. Check the line of {name} in the file that BSV_STORE_NETRC names; "
        "a token may have expired or been revoked."
    )
