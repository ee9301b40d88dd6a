"""``bsv-store store``: one module for each verb."""

from bsv_store_cli.commands.store.group import store
from bsv_store_cli.commands.store.permissions import permissions

__all__ = ["permissions", "store"]
