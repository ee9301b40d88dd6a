"""The mapped classes that are more than their columns."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from bsv_store.catalog.database.models import Experiment, InjectionSummary, Unionize
from bsv_store.catalog.database.models.base import UtcDateTime
from bsv_store.store.store import Store
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
