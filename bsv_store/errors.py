"""Every error a user can see, with the exit code the command line gives it.

::

    BsvStoreError                    3
    ├── InputError                   2   what was asked for or handed in is wrong
    │   ├── UnknownStructureError
    │   ├── UnknownExperimentError
    │   ├── UnknownDatasetError
    │   ├── SelectionError
    │   │   ├── EmptySelectionError
    │   │   └── ExcludedExperimentError  named by id, and on the exclusion list
    │   ├── RecipeError
    │   ├── MissingDataError             volumes or unionize rows not in the store
    │   ├── QueryError
    │   ├── FormatError                  a file or body is not what it claims to be
    │   │   ├── EnvelopeError
    │   │   └── FrameError               another coordinate frame or grid
    │   ├── NotACacheError
    │   └── StoreExistsError
    ├── StoreError                   3   the store cannot be reached or trusted
    │   ├── NotAStoreError
    │   ├── StoreUnreachableError
    │   ├── StoreMismatchError
    │   ├── ReadOnlyStoreError
    │   └── DamagedFileError
    ├── SchemaError                  4
    │   ├── SchemaTooOldError
    │   └── SchemaTooNewError
    ├── BusyError                    5
    ├── UpstreamError                6   the Allen API failed or answered with an error
    │   └── NotFoundUpstreamError
    └── NoSpaceError                 7

A message says what happened and to which object; ``hint`` says what to do next.
"""

from __future__ import annotations


class BsvStoreError(Exception):
    """Base of every error raised on purpose by this package.

    Parameters
    ----------
    message : str
        What happened, and to which object.
    hint : str, optional
        What the reader can do next; shown on a line of its own.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InputError(BsvStoreError, ValueError):
    """What was asked for, or handed in, is wrong."""

    exit_code = 2


class UnknownStructureError(InputError):
    """A structure acronym or id that the ontology does not have."""


class UnknownExperimentError(InputError):
    """An experiment id that the catalog does not have."""


class UnknownDatasetError(InputError):
    """A dataset name, version number or tag that the store does not have."""


class SelectionError(InputError):
    """A selection that cannot mean anything."""


class EmptySelectionError(SelectionError):
    """A selection that matches no experiment where at least one is needed."""


class ExcludedExperimentError(SelectionError):
    """A selection names an experiment by id that is on the exclusion list."""


class RecipeError(InputError):
    """An aggregation recipe with an unknown or contradictory part."""


class MissingDataError(InputError):
    """Volumes or unionize rows that a request needs are not in the store."""


class QueryError(InputError):
    """SQL handed in by a user was refused or failed."""


class FormatError(InputError):
    """A file or reply body is not what it claims to be."""


class EnvelopeError(FormatError):
    """An RMA reply that reports failure, or is not an RMA reply at all."""


class FrameError(FormatError):
    """A grid in another coordinate frame, or of another shape, than asked for."""


class NotACacheError(InputError):
    """The folder is no cache of Brain Street View or AllenSDK."""


class StoreExistsError(InputError):
    """A store, or something else, already stands where one was to be created."""


class StoreError(BsvStoreError):
    """The store cannot be reached or cannot be trusted."""


class NotAStoreError(StoreError):
    """The folder holds no bsv-store."""


class StoreUnreachableError(StoreError):
    """The store's database or folder does not answer."""


class StoreMismatchError(StoreError):
    """The folder and the database belong to two different stores."""


class ReadOnlyStoreError(StoreError):
    """A write was asked of a store that this user may only read."""


class DamagedFileError(StoreError):
    """A stored file is missing, cut, or differs from what was published."""


class SchemaError(BsvStoreError):
    """The database schema is not the one this version of the package works with."""

    exit_code = 4


class SchemaTooOldError(SchemaError):
    """The store was made by an older version: upgrade the store."""


class SchemaTooNewError(SchemaError):
    """The store was made by a newer version: upgrade the package."""


class BusyError(BsvStoreError):
    """Somebody else holds what is needed, for longer than we may wait."""

    exit_code = 5


class UpstreamError(BsvStoreError):
    """The Allen API could not be reached, or what it sent is unusable."""

    exit_code = 6


class NotFoundUpstreamError(UpstreamError):
    """The Allen API says that it does not have what was asked for."""


class NoSpaceError(BsvStoreError):
    """The disk or quota is full."""

    exit_code = 7
