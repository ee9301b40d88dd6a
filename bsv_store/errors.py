"""Every error raised on purpose, with the exit code of the command line.

::

    BsvStoreError                    3
    ├── InputError                   2   an argument or input file is not valid
    │   ├── UnknownStructureError
    │   ├── UnknownExperimentError
    │   ├── UnknownDatasetError
    │   ├── SelectionError
    │   │   ├── EmptySelectionError
    │   │   └── ExcludedExperimentError  named by id, and on the exclusion list
    │   ├── RecipeError
    │   ├── MissingDataError             volumes or unionize rows not in the store
    │   ├── QueryError
    │   ├── FormatError                  a file or response body is not valid
    │   │   ├── EnvelopeError
    │   │   ├── ImplausibleVolumeError   a volume that contradicts the catalog
    │   │   ├── IncompleteTableError     a unionize table without some of its rows
    │   │   └── FrameError               wrong coordinate frame or grid
    │   ├── IncompleteListError          an experiment list that seems to be incomplete
    │   ├── NotReproducibleError         a bundle whose result cannot be reproduced from its inputs
    │   ├── NotACacheError
    │   └── StoreExistsError
    ├── StoreError                   3   the store is not usable
    │   ├── NotAStoreError
    │   ├── StoreUnreachableError
    │   ├── StoreMismatchError
    │   ├── ReadOnlyStoreError
    │   ├── AccessDeniedError            the database account may not read the catalog or change its schema
    │   ├── BackupError                  a backup target or snapshot is not usable
    │   ├── DamagedFileError
    │   └── DamagedCatalogError          rows of the database differ from what was stored
    ├── SchemaError                  4
    │   ├── SchemaTooOldError
    │   └── SchemaTooNewError
    ├── BusyError                    5
    ├── UpstreamError                6   the Allen API failed
    │   ├── NotFoundUpstreamError
    │   ├── UnreachableUpstreamError
    │   ├── NothingDownloadedError   every requested download failed
    │   └── IncompleteReplyError     a reply with an incomplete unionize table
    └── NoSpaceError                 7

The message names the problem and the object; ``hint`` says what to do next.

Warnings::

    BsvStoreWarning
    ├── FolderWarning                    the folder may be a copy of the one that belongs to the database
    ├── ExperimentsWarning               about some experiments
    │   ├── LeftOutWarning               they were left out of a result
    │   │   ├── MissingUnionizesWarning  their unionize tables are not in the store
    │   │   └── UnknownHemisphereWarning ipsilateral or contralateral; their injected hemisphere is not known
    │   └── DamagedVolumeWarning         their damaged volumes were fetched again
    ├── WaitingWarning                   another job is using the catalog
    └── PrivateCopyWarning               the catalog is read from a private copy
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bsv_store.advice import for_open_stores

UPGRADE_HINT = "Upgrade the package: pip install --upgrade bsv-store"
"""The hint of errors about data in a form that only later releases read."""


class BsvStoreError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    message : str
        What happened, and to which object.
    hint : str, optional
        What the user can do next; shown on a separate line. While a store on a server is open, it says who
        can run commands that such a store refuses.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint and for_open_stores(hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InputError(BsvStoreError, ValueError):
    """An argument or input file is not valid."""

    exit_code = 2


class UnknownStructureError(InputError):
    """A structure acronym or id is not in the ontology."""


class UnknownExperimentError(InputError):
    """An experiment id is not in the catalog."""


class UnknownDatasetError(InputError):
    """A dataset name, version number or tag is not in the store."""


class SelectionError(InputError):
    """A selection is contradictory or malformed."""


class EmptySelectionError(SelectionError):
    """A selection matches no experiment where at least one is needed."""


class ExcludedExperimentError(SelectionError):
    """A selection names an experiment by id that is on the exclusion list."""


class RecipeError(InputError):
    """A recipe has an unknown or contradictory part."""


class MissingDataError(InputError):
    """Required volumes or unionize rows are not in the store."""


class QueryError(InputError):
    """A SQL query of the user was refused or failed."""


class FormatError(InputError):
    """A file or response body does not have the expected format."""


class EnvelopeError(FormatError):
    """An RMA response reports a failure, or is not an RMA response."""


class IncompleteTableError(FormatError):
    """A unionize table does not have all rows of an experiment."""


class FrameError(FormatError):
    """A grid has another coordinate frame or shape than requested."""


class ImplausibleVolumeError(FormatError):
    """A volume contradicts the catalog or other volumes of its experiment."""


class IncompleteListError(InputError):
    """An experiment list or an ontology seems to be a part of one; ``allow_shrinking`` ingests it if it is complete."""


class NotReproducibleError(InputError):
    """The result in a bundle differs from what this store computes from the same inputs."""


class NotACacheError(InputError):
    """The folder is not a cache of Brain Street View or AllenSDK."""


class StoreExistsError(InputError):
    """A store cannot be created because something exists at its path."""


class StoreError(BsvStoreError):
    """The store is not reachable or not consistent."""


class NotAStoreError(StoreError):
    """The folder is not a store."""


class StoreUnreachableError(StoreError):
    """The database or folder of the store is not reachable."""


class StoreMismatchError(StoreError):
    """The folder and the database belong to two different stores."""


class ReadOnlyStoreError(StoreError):
    """A write to a store that is open, or accessible, for reading only."""


class AccessDeniedError(StoreError):
    """The database account has no right to read the catalog, or to create or change its tables."""


class TokenError(StoreError):
    """A server requires a token and got none, or one that is not valid."""


class ScopeError(TokenError):
    """The scope of a token does not include the request."""


class BackupError(StoreError):
    """A backup target cannot be used, or a snapshot in it is damaged."""


class DamagedFileError(StoreError):
    """A stored file is missing, truncated, or differs from what was published."""


class DamagedCatalogError(StoreError):
    """Rows of the catalog are missing or differ from what was stored."""


class SchemaError(BsvStoreError):
    """The database schema does not match this version of the package."""

    exit_code = 4


class SchemaTooOldError(SchemaError):
    """The store was created by an older version: upgrade the store."""


class SchemaTooNewError(SchemaError):
    """The store was created by a newer version: upgrade the package."""


class BusyError(BsvStoreError):
    """A lock was not released by another process in time."""

    exit_code = 5


class UpstreamError(BsvStoreError):
    """The Allen API was not reachable, or its response is not usable."""

    exit_code = 6


class NotFoundUpstreamError(UpstreamError):
    """The Allen API does not have what was requested."""


class UnreachableUpstreamError(UpstreamError):
    """The server cannot be reached, because of its name, the network, a proxy or its certificate.

    Parameters
    ----------
    message : str
    hint : str, optional
    reason : str
        The cause without the object, which is the same for all objects of the server.
    """

    def __init__(self, message: str, *, hint: str | None = None, reason: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class NothingDownloadedError(UpstreamError):
    """Every requested download failed.

    Parameters
    ----------
    message : str
    hint : str, optional
    reports : tuple
        The reports of the run, each with the reason for every experiment: ``error.reports[0].reasons``.
    """

    def __init__(self, message: str, *, hint: str | None = None, reports: tuple[Any, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.reports = reports


class IncompleteReplyError(UpstreamError):
    """A reply of the Allen API contains an incomplete unionize table."""


class NoSpaceError(BsvStoreError):
    """The disk or quota is full."""

    exit_code = 7


class BsvStoreWarning(UserWarning):
    """Base of all warnings of this package.

    Parameters
    ----------
    message : str
        What happened, and to which object.
    hint : str, optional
        What the user can do next; shown on a separate line.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint and for_open_stores(hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class FolderWarning(BsvStoreWarning):
    """The folder of a store may be a copy of the one that belongs to its database."""


class ExperimentsWarning(BsvStoreWarning):
    """A warning about some experiments.

    Parameters
    ----------
    experiment_ids : collection of int
        Ids of the experiments; stored as an ascending tuple.
    """

    def __init__(self, message: str, *, hint: str | None = None, experiment_ids: Collection[int] = ()) -> None:
        super().__init__(message, hint=hint)
        self.experiment_ids = tuple(sorted(experiment_ids))


class LeftOutWarning(ExperimentsWarning):
    """Experiments were left out of a result."""


class MissingUnionizesWarning(LeftOutWarning):
    """Experiments were left out of a result because their unionize tables are not in the store."""


class DamagedVolumeWarning(ExperimentsWarning):
    """Damaged volumes were fetched again."""


class UnknownHemisphereWarning(LeftOutWarning):
    """Experiments were left out of ipsilateral or contralateral values because their injected hemisphere is unknown."""


class WaitingWarning(BsvStoreWarning):
    """A transaction is waiting for another job that is using the catalog."""


class PrivateCopyWarning(BsvStoreWarning):
    """The catalog cannot be read in place by this account, so a private copy of it is read."""
