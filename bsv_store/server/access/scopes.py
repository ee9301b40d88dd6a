"""What a request may do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bsv_store.errors import ScopeError
from bsv_store.vocabulary import ACCESS_SCOPES

if TYPE_CHECKING:
    from starlette.requests import Request

    from bsv_store.vocabulary import AccessScope

KEY: Final = "bsv_store.access"
"""Key of the `Access` of a request in its ASGI scope."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do.

    Attributes
    ----------
    token_name : str or None
        None for a local user, who does not need a token.
    scopes : collection of AccessScope
    """

    token_name: str | None
    scopes: Collection[AccessScope]


LOCAL_USER: Final = Access(None, tuple(row.name for row in ACCESS_SCOPES.values()))


def access_of(request: Request) -> Access | None:
    """What a request may do; None for addresses that are answered without a token."""
    found: Access | None = request.scope.get(KEY)
    return found


def require_scope(request: Request, scope: AccessScope) -> None:
    """Check that a request may do something.

    Raises
    ------
    ScopeError
        If its token does not have the scope.
    """
    access = access_of(request)
    if access is None or scope not in access.scopes:
        raise ScopeError(
            f"the token does not have the scope {scope!r}, which permits {ACCESS_SCOPES[scope].words}",
            hint=f"Ask the administrator of the server for a token with this scope: "
            f"bsv-store serve token add NAME --scope {scope}",
        )
