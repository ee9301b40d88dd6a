"""Politeness between processes: all runs on one store share so many connections to a host.

Each run is polite by itself, yet a lab may start sixteen at once. What is shared is kept as claims in the store's
database, like all that runs have to agree on: they hold across hosts, and those of a dead process are free again. A run
takes its share when it begins, and one connection if nothing is left, since nobody should wait for hours until somebody
else's filling of the store has ended. So there are never more than these and one for each further run.
"""

from __future__ import annotations

from bsv_store.acquisition.work.claims import Claims
from bsv_store.catalog.database.engine import Database

MOST_CONNECTIONS = 16
"""Connections to one host that runs on one store share; as many as one run may ask for on the command line."""


def share_of_connections(database: Database, claims: Claims, host: str, *, wanted: int) -> int:
    """Number of connections that a run may make, at least 1; they are its own until it releases its claims.

    Parameters
    ----------
    database : Database
    claims : Claims
        Of the run.
    host : str
        Name and port of the server.
    wanted : int
    """
    keys = [f"connection/{host}/{number}" for number in range(MOST_CONNECTIONS)]
    granted: set[str] = set()
    # Another run may take the same at the same time; then there may be others left, fewer each time.
    for _ in keys:
        with database.writing() as connection:
            free = sorted(claims.free(connection, keys) - granted)
            granted |= claims.take(connection, free[: wanted - len(granted)])
        if len(granted) == wanted or not free:
            break
    return max(1, len(granted))
