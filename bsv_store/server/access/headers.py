"""Security headers of all answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final


def content_security_policy(extra: Mapping[str, Collection[str]] | None = None) -> str:
    """The Content-Security-Policy of a page; without ``extra`` the one of all answers.

    A route that needs more sets the header itself, and the middleware leaves it as it is::

        HTMLResponse(page, headers={"Content-Security-Policy": content_security_policy({"worker-src": ("blob:",)})})

    Parameters
    ----------
    extra : mapping of str to collection of str, optional
        Sources that are permitted besides the server itself, by directive.

    Raises
    ------
    ValueError
        If a source would permit inline scripts or ``eval``.
    """
    policy: dict[str, list[str]] = {
        "default-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
    }
    for directive, sources in (extra or {}).items():
        if refused := {"'unsafe-inline'", "'unsafe-eval'", "*"}.intersection(sources):
            raise ValueError(f"{directive} must not permit {', '.join(sorted(refused))}")
        policy.setdefault(directive, ["'self'"]).extend(sources)
    return "; ".join(f"{directive} {' '.join(sources)}" for directive, sources in policy.items())


SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)

DEFAULT_POLICY: Final = content_security_policy().encode()
