"""Empty catalogs, the real ontology and the real lists."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsv_store.catalog.ingest import ingest_structures
from bsv_store.catalog.records import ExperimentList, Ontology, StructureRecord
from bsv_store.formats.experiments import read_experiments
from bsv_store.formats.structures import read_structures
from tests.stores import store_with

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.catalog.database.engine import Database


@pytest.fixture
def catalog(store: Store) -> Database:
    """The database of an empty store."""
    return store.database


@pytest.fixture
def small_atlas(catalog: Database) -> Database:
    """A catalog with five structures: root 997 over 8 over 10 (with child 11) and 20."""
    ingest_structures(catalog, small_ontology(), source="small")
    return catalog


def small_ontology(*, without: int | None = None, **names: str) -> Ontology:
    """Five structures, the acronyms those of ``names`` where given (``s10="X"``)."""
    tree = ((997, None), (8, 997), (10, 8), (11, 10), (20, 8))
    return Ontology(
        tuple(
            StructureRecord(
                structure_id,
                names.get(f"s{structure_id}", f"A{structure_id}"),
                f"name, {structure_id}",
                parent,
                order,
                "0A0B0C",
                (1,),
            )
            for order, (structure_id, parent) in enumerate(tree)
            if structure_id != without
        )
    )


@pytest.fixture(scope="session")
def real_ontology(data: Path) -> Ontology:
    """AllenSDK's structures.json: 1,327 structures with their sets."""
    return read_structures((data / "allensdk_cache" / "structures.json").read_bytes(), what="structures.json")


@pytest.fixture(scope="session")
def csv_ontology(data: Path) -> Ontology:
    """The same graph as allenCCF carries it: nine acronyms damaged, commas lost in names, no sets."""
    return read_structures((data / "structure_tree_safe_2017.csv").read_bytes(), what="structure_tree_safe_2017.csv")


_LISTS = {
    "2019-02": ("allensdk_cache/experiments.json", date(2019, 2, 1)),
    "2020-07": ("experiments_2020-07_2992rows.json", date(2020, 7, 1)),
    "2020-11": ("experiments_2020-11_2997rows_5dup.json", date(2020, 11, 1)),
    "csv": ("allenAtlasProjection_info.csv", None),
    "csv 2016": ("web_export_2016.csv", None),
}


@pytest.fixture(scope="session")
def real_lists(data: Path) -> dict[str, ExperimentList]:
    """The five real lists, by a short name."""
    return {
        name: read_experiments((data / path).read_bytes(), what=path, upstream_date=day)
        for name, (path, day) in _LISTS.items()
    }


def _fill_real_atlas(store: Store, data: Path) -> None:
    store.ingest_structures(data / "allensdk_cache" / "structures.json")


real_store = store_with(_fill_real_atlas, "data")


@pytest.fixture
def real_atlas(real_store: Store) -> Database:
    """A catalog with the real ontology and no experiments."""
    return real_store.database
