"""Plausibility of volumes: each is compared with what the catalog and other volumes say about its experiment."""
