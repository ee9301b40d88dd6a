"""The tables of the catalog, one class each, named for the domain."""

from bsv_store.catalog.models.annotation import StoredAnnotation
from bsv_store.catalog.models.base import Base
from bsv_store.catalog.models.dataset import (
    Dataset,
    DatasetAnswer,
    DatasetCheck,
    DatasetGroup,
    DatasetMember,
    DatasetTag,
    DatasetVersion,
)
from bsv_store.catalog.models.experiment import (
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    TransgenicLine,
    Unionize,
    UnionizeCoverage,
)
from bsv_store.catalog.models.injection import InjectionSummary
from bsv_store.catalog.models.ontology import Structure, StructureAncestor, StructureSet, StructureSetMember
from bsv_store.catalog.models.shared import Exclusion, NamedSelection
from bsv_store.catalog.models.store import (
    CatalogChange,
    Claim,
    ExperimentRevision,
    SnapshotMember,
    SourceSnapshot,
    StoreInfo,
)
from bsv_store.catalog.models.volume import StoredVolume

__all__ = [
    "Base",
    "CatalogChange",
    "Claim",
    "Dataset",
    "DatasetAnswer",
    "DatasetCheck",
    "DatasetGroup",
    "DatasetMember",
    "DatasetTag",
    "DatasetVersion",
    "Exclusion",
    "Experiment",
    "ExperimentInjectionStructure",
    "ExperimentLine",
    "ExperimentRevision",
    "InjectionSummary",
    "NamedSelection",
    "SnapshotMember",
    "SourceSnapshot",
    "StoreInfo",
    "StoredAnnotation",
    "StoredVolume",
    "Structure",
    "StructureAncestor",
    "StructureSet",
    "StructureSetMember",
    "TransgenicLine",
    "Unionize",
    "UnionizeCoverage",
]
