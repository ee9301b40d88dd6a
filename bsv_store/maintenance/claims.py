"""Claims of downloads: who holds them, and removing those that block others."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from bsv_store import check
from bsv_store.acquisition.work.claims import HeldClaim, delete_claims, held_claims
from bsv_store.catalog.activity import record_activity
from bsv_store.errors import InputError
from bsv_store.text import listed, near_names, shown

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database


def list_claims(database: Database) -> list[HeldClaim]:
    """See `Admin.claims`."""
    with database.reading() as connection:
        return held_claims(connection)


def break_claims(
    database: Database, keys: Collection[str] | None = None, *, all_ended: bool = False
) -> tuple[HeldClaim, ...]:
    """See `Admin.break_claims`."""
    if check.boolean("all_ended", all_ended) == (keys is not None):
        raise InputError(
            "exactly one of keys and all_ended must be given", hint="The keys are in the column object of `claims()`."
        )
    wanted = None if keys is None else _checked_keys(keys)
    with database.writing() as connection:
        held = {claim.object_key: claim for claim in held_claims(connection, lock=True)}
        if wanted is None:
            broken = [claim for claim in held.values() if claim.state == "ended"]
        else:
            _check_held(wanted, held)
            broken = [held[key] for key in sorted(wanted)]
        delete_claims(connection, [claim.object_key for claim in broken])
        if broken:
            names = [claim.object_key for claim in broken]
            holders = sorted({f"{claim.host} {claim.process_id or '?'}" for claim in broken})
            record_activity(connection, "broke", listed(names), {"claims": len(broken), "of": listed(holders)})
    return tuple(broken)


def _checked_keys(keys: Collection[str]) -> set[str]:
    example = "'volume/projection_density/100/158375425'"
    return {check.text("keys", each, such_as=example) for each in check.several("keys", keys, such_as=f"[{example}]")}


def _check_held(wanted: Collection[str], held: Collection[str]) -> None:
    unknown = sorted(key for key in wanted if key not in held)
    if unknown:
        near = near_names(unknown[0], held)
        raise InputError(
            f"there is no claim on {shown(unknown[0])}",
            hint=f"Perhaps {listed(near)}." if near else "It may have ended. See `bsv-store claims list`.",
        )
