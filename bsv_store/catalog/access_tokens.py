"""Tokens of clients of a server: only their hashes are stored."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, select, update

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import AccessTokenRow
from bsv_store.catalog.database.models.base import UtcDateTime, now
from bsv_store.catalog.edits import refusing_concurrent_change
from bsv_store.errors import InputError
from bsv_store.owner import current_user
from bsv_store.text import listed, shown
from bsv_store.vocabulary import ACCESS_SCOPES

if TYPE_CHECKING:
    from bsv_store.vocabulary import AccessScope

_PREFIX = "bsv_"
_RANDOM_BYTES = 32
# The name is in the access log and in metrics.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of a server, without its secret.

    Attributes
    ----------
    name : str
    scopes : tuple of AccessScope
    created_at : datetime.datetime
        Aware UTC, as are the other times.
    created_by : str
    expires_at : datetime.datetime or None
        None if it does not expire.
    revoked_at : datetime.datetime or None
    sha256 : str
        Hash of the secret, 64 hexadecimal digits.
    """

    name: str
    scopes: tuple[AccessScope, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    sha256: str = field(repr=False)

    def is_valid(self, at: datetime) -> bool:
        """Whether a server accepts it at a time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def matches(self, secret: str) -> bool:
        """Whether a secret is that of the token; takes the same time for each secret."""
        return hmac.compare_digest(_hash_of(secret), self.sha256)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just added.

    Attributes
    ----------
    secret : str
        What clients send. It is not stored, and cannot be shown again.
    token : AccessToken
    """

    secret: str = field(repr=False)
    token: AccessToken


def _hash_of(secret: str) -> str:
    """The hash by which a secret is stored. The secret is random, so it needs neither salt nor a slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def add_token(database: Database, name: str, scope: AccessScope, expires_in: timedelta | None) -> NewToken:
    """See :meth:`bsv_store.store.admin.Admin.add_token`."""
    _check_name(name)
    secret = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    table = table_of(AccessTokenRow)
    with database.writing() as connection:
        before = connection.execute(select(table.c.revoked_at).where(table.c.name == name)).first()
        if before is not None:
            state = "a token has this name" if before.revoked_at is None else "a revoked token had this name"
            raise InputError(f"{state}: {name}", hint="Choose another name; `bsv-store serve token list` shows them.")
        created: datetime = connection.execute(select(now(type_=UtcDateTime()))).scalar_one()
        try:
            expires = None if expires_in is None else created + expires_in
        except OverflowError as error:
            raise InputError(f"expires_in is too long: {shown(expires_in)}") from error
        row: dict[str, Any] = {
            "name": name,
            "sha256": _hash_of(secret),
            "scopes": ",".join(ACCESS_SCOPES[scope].includes),
            "created_at": created,
            "created_by": current_user(),
            "expires_at": expires,
        }
        with refusing_concurrent_change(f"the token {name}"):
            connection.execute(insert(table).values(row))
        details = {"scope": scope, "expires_at": None if expires is None else expires.isoformat()}
        record_activity(connection, "issued", f"token {name}", details)
    return NewToken(secret, AccessToken(**{**row, "scopes": ACCESS_SCOPES[scope].includes}, revoked_at=None))


def access_tokens(connection: Connection) -> list[AccessToken]:
    """See :meth:`bsv_store.store.admin.Admin.tokens`."""
    table = table_of(AccessTokenRow).c
    names = list(AccessToken.__dataclass_fields__)
    rows = connection.execute(select(*(table[name] for name in names)).order_by(table.name)).mappings()
    return [AccessToken(**{**row, "scopes": tuple(row["scopes"].split(","))}) for row in rows]


def revoke_tokens(database: Database, names: Collection[str]) -> tuple[str, ...]:
    """See :meth:`bsv_store.store.admin.Admin.revoke_token`."""
    for name in names:
        _check_name(name)
    table = table_of(AccessTokenRow)
    with database.writing() as connection:
        query = select(table.c.name, table.c.revoked_at).where(table.c.name.in_(names)).with_for_update()
        found = {row.name: row.revoked_at for row in connection.execute(query)}
        if unknown := [name for name in names if name not in found]:
            raise InputError(f"no token has the name {listed(unknown)}", hint="See `bsv-store serve token list`.")
        revoked = tuple(sorted(name for name, at in found.items() if at is None))
        for name in revoked:
            connection.execute(update(table).where(table.c.name == name).values(revoked_at=now()))
            record_activity(connection, "revoked", f"token {name}")
    return revoked


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"the name of a token must be 1 to 64 letters, digits, '.', '_', '@' or '-', got {shown(name)}",
            hint="For example: laptop-anna.",
        )
