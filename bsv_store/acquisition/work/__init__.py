"""How concurrent runs divide work: claims with leases, shared connection limits, outcomes."""
