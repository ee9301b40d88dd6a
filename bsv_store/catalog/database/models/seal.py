"""Seals: hashes of the rows that enter results, to detect flipped bits and lost rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ColumnElement

from bsv_store.catalog.database.models.base import Base


class Seal(Base):
    """The hash of a row of the catalog and its dependent rows. A row without a seal was added by another program."""

    __tablename__ = "seal"
    __table_args__ = {"sqlite_with_rowid": False}

    scope: ColumnElement[str] = Column(primary_key=True, comment="Kind of row: experiment, line, structure, ...")
    key: ColumnElement[str] = Column(primary_key=True, comment="Which row")
    hash: ColumnElement[str] = Column(comment="XXH3 of the values in canonical form, 32 hexadecimal digits")


class UnionizeSeal(Base):
    """The hashes of one half of an experiment's unionize table, one for each structure."""

    __tablename__ = "unionize_seal"
    __table_args__ = (
        CheckConstraint("part in ('injection', 'projection')", name="part"),
        {"sqlite_with_rowid": False},
    )

    # No foreign key, as for the rows themselves.
    experiment_id: ColumnElement[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    part: ColumnElement[str] = Column(primary_key=True, comment="injection or projection")
    hashes: ColumnElement[bytes] = Column(
        comment="For each structure, ascending: its id and the XXH3 of its rows, 8 bytes each, little-endian"
    )
