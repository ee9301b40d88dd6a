"""``bsv-store store``: one module for each verb."""

from bsv_store_cli.commands.store.attach import attach
from bsv_store_cli.commands.store.group import store
from bsv_store_cli.commands.store.move import move
from bsv_store_cli.commands.store.permissions import permissions

for _command in (attach, move, permissions):
    store.add_command(_command)

__all__ = ["store"]
