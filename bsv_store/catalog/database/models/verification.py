"""When each object of the store was last verified."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, ColumnElement

from bsv_store.catalog.database.models.base import Base

INTACT = "intact"
"""The outcome of an object without damage."""


class Verification(Base):
    """The last verification of an object at one depth.

    It is valid only while the object has the same content: a row does not outlive a file that is replaced.
    """

    __tablename__ = "verification"
    __table_args__ = (CheckConstraint("depth in ('quick', 'deep', 'decode')", name="depth"),)

    object_key: ColumnElement[str] = Column(primary_key=True, comment="e.g. volume/projection_density/100/158375425")
    depth: ColumnElement[str] = Column(primary_key=True, comment="quick, deep or decode")
    content_hash: ColumnElement[str] = Column(comment="Of the recorded hashes of the object that was verified")
    outcome: ColumnElement[str] = Column(comment="intact, or the kind of the finding")
    verified_at: ColumnElement[datetime] = Column(comment="Time of the database's clock, UTC")
