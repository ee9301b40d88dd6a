"""Readable messages for errors of requests and urllib3, whose own messages show internal objects."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any, Final

# Codes of OpenSSL (X509_V_ERR_...): not yet valid or expired; issued for another name, e-mail or IP address.
_NOT_NOW: Final = frozenset((9, 10))
_OTHER_NAME: Final = frozenset((62, 63, 64))


def unreachable_reason(error: BaseException, host: str) -> str | None:
    """The reason why a host cannot be reached; None if the error occurred after connecting."""
    import ssl

    import requests
    import urllib3.exceptions

    causes = list(_causes(error))

    def found(*kinds: type[BaseException]) -> Any:
        return next((each for each in causes if isinstance(each, kinds)), None)

    subject = f"the proxy for {host}" if found(requests.exceptions.ProxyError) else host
    if found(urllib3.exceptions.NameResolutionError):
        return f"{subject} cannot be reached: the name could not be resolved"
    # Before ConnectTimeoutError, from which urllib3 derives it.
    if found(urllib3.exceptions.NewConnectionError):
        return f"{subject} cannot be reached: {_system_words(causes) or 'no connection'}"
    if found(urllib3.exceptions.ConnectTimeoutError):
        return f"{subject} cannot be reached: the connection timed out"
    if (certificate := found(ssl.SSLCertVerificationError)) is not None:
        return f"{host} cannot be trusted: its certificate is not valid ({certificate.verify_message})"
    if isinstance(error, requests.exceptions.SSLError):
        reason = getattr(found(ssl.SSLError), "reason", None) or "handshake failed"
        return f"{host} cannot be reached: no TLS connection ({reason})"
    if found(requests.exceptions.ProxyError):
        return f"{subject} cannot be used: {_system_words(causes) or 'it refused the connection'}"
    return None


def certificate_hint(error: BaseException) -> str | None:
    """What to do about the certificate of a server that is not valid; None if the error has another cause."""
    import ssl

    found = next((each for each in _causes(error) if isinstance(each, ssl.SSLCertVerificationError)), None)
    if found is None:
        return None
    if found.verify_code in _NOT_NOW:
        return (
            "Check the date of this computer. If it is right, the administrator of the server must renew the "
            "certificate."
        )
    if found.verify_code in _OTHER_NAME:
        return "Use the name of the server that is in its certificate."
    return (
        "If an authority of your institution issued it, name the file with the certificate of that authority: export "
        "REQUESTS_CA_BUNDLE=FILE. Otherwise ask the administrator of the server, or of the network."
    )


def network_reason(error: BaseException) -> str:
    """The reason why a transfer failed."""
    import requests
    import urllib3.exceptions

    causes = list(_causes(error))
    if any(isinstance(each, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError) for each in causes):
        return "the server did not respond in time"
    if any(isinstance(each, urllib3.exceptions.IncompleteRead | http.client.IncompleteRead) for each in causes):
        return "the connection failed: it was closed before the end of the body"
    if any(isinstance(each, http.client.RemoteDisconnected) for each in causes):
        return "the connection failed: it was closed without a response"
    if any(isinstance(each, http.client.HTTPException) for each in causes):
        return "the connection failed: the response is not valid HTTP"
    return f"the connection failed: {_system_words(causes) or type(causes[-1]).__name__}"


def _system_words(causes: list[BaseException]) -> str | None:
    """The operating system's message for an error, such as "Connection refused"."""
    return next((each.strerror for each in reversed(causes) if isinstance(each, OSError) and each.strerror), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and the errors it wraps, outermost first; requests and urllib3 wrap them in several ways."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        wrapped = [*current.args, getattr(current, "reason", None), current.__cause__, current.__context__]
        waiting += [each for each in wrapped if isinstance(each, BaseException)]
