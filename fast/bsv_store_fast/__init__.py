"""The inner loops of the averages of bsv-store, compiled."""

from bsv_store_fast._scatter import add_moments, add_parts

__all__ = ["add_moments", "add_parts"]
