"""The classes that stand for tables, and the mapped classes for a Session."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import Column, ColumnElement, insert, inspect, select
from sqlalchemy.orm import Session

from bsv_store import Store, models
from bsv_store.catalog.database import models as tables
from bsv_store.catalog.database.models.base import Base, UtcDateTime
from bsv_store.models import Experiment, InjectionSummary, Unionize
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer


def test_injection_summaries_are_the_unionize_rows_inside_the_injection(store: Store) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=2)) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(api_url=server.url)
    with store.database.reading() as connection:
        session = Session(connection)
        rows = session.scalars(select(InjectionSummary)).all()
        inside = session.scalars(select(Unionize).where(Unionize.is_injection)).all()
        assert {(r.experiment_id, r.structure_id, r.hemisphere_id, r.projection_volume) for r in rows} == {
            (u.experiment_id, u.structure_id, u.hemisphere_id, u.projection_volume) for u in inside
        }
        assert {r.hemisphere for r in rows} == {"right", "both"}  # both experiments are injected on the right
        experiment = session.scalars(select(Experiment).order_by(Experiment.id)).first()
        assert experiment is not None
        assert experiment.primary_structure in experiment.injection_structures


def test_the_view_has_every_column_of_its_class(store: Store) -> None:
    with store.database.reading() as connection:
        columns = {column["name"] for column in inspect(connection).get_columns("injection_summary")}
    assert columns == set(InjectionSummary.__table__.columns.keys())


def test_times_without_a_zone_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), store.database.engine.dialect)


@pytest.mark.parametrize("name", models.__all__)
def test_annotations_of_a_mapped_class_are_those_of_its_table(name: str) -> None:
    model = getattr(models, name)
    annotations = model.__annotations__
    relationships = set(inspect(model).relationships.keys())
    expected = {
        column.name: f"Mapped[{column.type.python_type.__name__}{' | None' if column.nullable else ''}]"
        for column in model.__table__.columns
    }
    assert {key: value for key, value in annotations.items() if key not in relationships} == expected


def test_a_class_stands_for_its_table_in_statements() -> None:
    experiment, structure = tables.Experiment, tables.Structure
    query = (
        select(experiment.id)
        .join(structure, structure.id == experiment.primary_structure_id)
        .where(structure.acronym == "VISp")
    )
    assert " ".join(str(query).split()) == (
        "SELECT experiment.id FROM experiment JOIN structure ON structure.id = experiment.primary_structure_id "
        "WHERE structure.acronym = :acronym_1"
    )
    assert insert(experiment).table is experiment.__table__


def test_columns_follow_their_annotations() -> None:
    columns = tables.Experiment.__table__.columns
    assert not columns["source_kind"].nullable
    assert columns["strain"].nullable
    assert columns["primary_structure_id"].type.python_type is int  # of the column it refers to


def test_a_column_without_its_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.name is annotated as Column"):

        class Wrong(Base):
            __tablename__ = "wrong"

            id: ColumnElement[int] = Column(primary_key=True)
            name: Column[str]
