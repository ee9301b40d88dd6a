"""The tables of the catalog, one class each."""

from bsv_store.catalog.database.models.access import AccessTokenRow
from bsv_store.catalog.database.models.activity import Activity
from bsv_store.catalog.database.models.annotation import StoredAnnotation
from bsv_store.catalog.database.models.base import Base
from bsv_store.catalog.database.models.dataset import (
    Dataset,
    DatasetAnswer,
    DatasetCheck,
    DatasetGroup,
    DatasetMember,
    DatasetTag,
    DatasetVersion,
)
from bsv_store.catalog.database.models.experiment import (
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    TransgenicLine,
    Unionize,
    UnionizeCoverage,
    UnionizeRevision,
)
from bsv_store.catalog.database.models.history import SchemaHistory
from bsv_store.catalog.database.models.ontology import Structure, StructureAncestor, StructureSet, StructureSetMember
from bsv_store.catalog.database.models.seal import Seal, UnionizeSeal
from bsv_store.catalog.database.models.shared import Exclusion, NamedSelection
from bsv_store.catalog.database.models.store import (
    CatalogChange,
    CatalogChangeBase,
    Claim,
    ExperimentRevision,
    SnapshotMember,
    SourceSnapshot,
    StoreInfo,
    StoreLink,
)
from bsv_store.catalog.database.models.template import StoredTemplate
from bsv_store.catalog.database.models.verification import Verification
from bsv_store.catalog.database.models.volume import StoredVolume, VolumeBlockHashes, VolumeUse

__all__ = [
    "AccessTokenRow",
    "Activity",
    "Base",
    "CatalogChange",
    "CatalogChangeBase",
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
    "NamedSelection",
    "SchemaHistory",
    "Seal",
    "SnapshotMember",
    "SourceSnapshot",
    "StoreInfo",
    "StoreLink",
    "StoredAnnotation",
    "StoredTemplate",
    "StoredVolume",
    "Structure",
    "StructureAncestor",
    "StructureSet",
    "StructureSetMember",
    "TransgenicLine",
    "Unionize",
    "UnionizeCoverage",
    "UnionizeRevision",
    "UnionizeSeal",
    "Verification",
    "VolumeBlockHashes",
    "VolumeUse",
]
