"""Published counts of experiments, compared with the catalog."""

from bsv_store.reproduce.compare import ReproducedCount, Reproduction, reproduce

__all__ = ["ReproducedCount", "Reproduction", "reproduce"]
