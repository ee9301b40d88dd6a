"""Proof that the tests would notice broken promises."""
