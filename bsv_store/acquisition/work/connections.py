"""The limit on connections to one host that all runs on one store share.

Each run limits its own connections, but a lab may start sixteen runs at once. Connections are therefore claimed in the
store's database: this works across hosts, and claims of dead processes are released. A run claims its connections when
it starts. It gets one even if none is left, so that it need not wait until another run has filled the store; the total
therefore never exceeds ``MAX_CONNECTIONS`` by more than one for each further run.
"""

from __future__ import annotations

from bsv_store import check
from bsv_store.acquisition.work.claims import Claims
from bsv_store.catalog.database.engine import Database

MAX_CONNECTIONS = 16
"""Maximum number of connections to one host, shared by all runs on a store; also the maximum number of workers."""


def checked_workers(workers: int) -> int:
    """The number of simultaneous downloads: ``workers``, but at most `MAX_CONNECTIONS`.

    Raises
    ------
    InputError
        If it is not a positive integer.
    """
    return min(check.whole_number("workers", workers, least=1), MAX_CONNECTIONS)


def claim_connections(database: Database, claims: Claims, host: str, *, wanted: int) -> int:
    """Claim connections to a host, and return how many the run may open; at least 1.

    Parameters
    ----------
    database : Database
    claims : Claims
        Of the run; the connections are its own until these are released.
    host : str
        Name and port of the server.
    wanted : int
    """
    keys = [f"connection/{host}/{number}" for number in range(MAX_CONNECTIONS)]
    granted: set[str] = set()
    # Another run may claim the same keys at the same time; retry with those still free, fewer each time.
    for _ in keys:
        with database.writing() as connection:
            free = sorted(claims.free(connection, keys) - granted)
            granted |= claims.take(connection, free[: wanted - len(granted)])
        if len(granted) == wanted or not free:
            break
    return max(1, len(granted))
