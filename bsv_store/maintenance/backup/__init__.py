"""Backups of a store: a target with content-addressed objects, and one manifest for each snapshot.

A target is a folder or an fsspec URL::

    bsv-backup.json         the format of the target, and its id
    objects/ab/<sha256>     the bytes of files and of parts of databases, each once
    snapshots/<sha256>.json one manifest for each snapshot, named by its own hash
    locks/<name>.json       running backups and prunes
    tmp/                    objects that are being written

Objects are written under a temporary name and renamed. The manifest is written last, so a killed backup leaves objects,
which the next one reuses, but no snapshot.
"""
