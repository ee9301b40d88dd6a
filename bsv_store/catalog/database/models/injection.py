"""Injection summaries: the unionize rows inside the injection site, read through their view."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped

from bsv_store.vocabulary import MEASURES

# A metadata of its own: what lies in it is a view, and no migration may take it for a table.
_views = MetaData()


class _ViewBase(DeclarativeBase):
    metadata = _views


class InjectionSummary(_ViewBase):
    """Signal of an experiment in one structure and hemisphere inside its injection site. Read-only."""

    __table__ = Table(
        "injection_summary",
        _views,
        Column("experiment_id", BigInteger, primary_key=True),
        Column("structure_id", BigInteger, primary_key=True),
        Column("hemisphere_id", Integer, primary_key=True),
        Column("structure", String),
        Column("structure_name", String),
        Column("hemisphere", String),
        Column("side", String),
        *(Column(name, Float) for name in MEASURES),
        *(Column(f"max_voxel_{axis}", Integer) for axis in "xyz"),
    )

    experiment_id: Mapped[int]
    structure_id: Mapped[int]
    hemisphere_id: Mapped[int]
    structure: Mapped[str]
    hemisphere: Mapped[str]
    side: Mapped[str | None]
    projection_volume: Mapped[float]
