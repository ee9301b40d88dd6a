"""Downloading and recording a file of the atlas, an annotation or a template, of one spacing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import Connection

from bsv_store.acquisition.presence import has_complete_file
from bsv_store.acquisition.tasks.orphans import published_images
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.task import CommitResult, RunControl, Task
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.atlas_files import lock_atlas_files
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.unused_files import keep_files, trash_unused
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import BsvStoreError, InputError, UpstreamError
from bsv_store.sources.allen import AllenClient
from bsv_store.sources.allen.client import Reply
from bsv_store.vocabulary import Action
from bsv_store.volumes.annotation import Annotation, AnnotationFile
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.template import Template, TemplateFile

ContentT = TypeVar("ContentT", Annotation, Template)
FileT = TypeVar("FileT", AnnotationFile, TemplateFile)


@dataclass(frozen=True, slots=True)
class AtlasFileKind(Generic[FileT]):
    """Names and database functions of one kind of file.

    Attributes
    ----------
    what : str
        Name in messages and in recorded activities, and prefix of file names.
    folder : str
        Folder of the published files, with a subfolder for each spacing.
    key : callable
        Returns the key under which the file of a spacing is claimed.
    find : callable
        Returns the recorded file of a spacing, or None.
    record : callable
        Writes the row of a file; returns the path of a file that it replaces.
    """

    what: str
    folder: str
    key: Callable[[int], str]
    find: Callable[[Connection, int], FileT | None]
    record: Callable[[Connection, FileT], str | None]

    def subject(self, spacing_um: int) -> str:
        """The subject of recorded activities about the file of a spacing."""
        return f"{self.what} at {spacing_um} um"


class AtlasFileTask(Task[FileT], Generic[ContentT, FileT]):
    """Downloads the file of one spacing; the spacing is the number that identifies the object.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    client : AllenClient
    kind : AtlasFileKind
    spacing_um : int
    refresh : bool
        Also download a file that the store has.

    Attributes
    ----------
    recovered : bool
        Whether the file was left by an interrupted run, and nothing was downloaded.
    remarks : tuple of str
        Results of the checks, one sentence each.
    error : BsvStoreError or None
        Why the download failed. A `Failure` holds the message alone.
    """

    def __init__(
        self,
        database: Database,
        files: StoreFiles,
        client: AllenClient,
        kind: AtlasFileKind[FileT],
        spacing_um: int,
        *,
        refresh: bool,
    ) -> None:
        self.what = kind.what
        self.subject = kind.subject(spacing_um)
        self.action = "synced"
        self.host = client.download_host
        self.connections = client.connections
        self.max_connections = client.max_connections
        self.recovered = False
        self.remarks: tuple[str, ...] = ()
        self.error: BsvStoreError | None = None
        self._kind: AtlasFileKind[FileT] = kind
        self._database = database
        self._files = files
        self._client = client
        self._refresh = refresh

    @abstractmethod
    def _request(self, spacing_um: int, scratch: Path, on_bytes: Callable[[int], None]) -> Reply[ContentT]:
        """Download the content."""

    @abstractmethod
    def _address(self, spacing_um: int) -> str:
        """The address from which it is downloaded."""

    @abstractmethod
    def _check(self, content: ContentT, what: str) -> None:
        """Check the content, and set the remarks; raises an error that names it as ``what``."""

    @abstractmethod
    def _publish(self, content: ContentT, source: str, on_slab: Callable[[], None]) -> FileT:
        """Publish content that was checked."""

    @abstractmethod
    def _read_image(self, image: bytes, what: str) -> tuple[ContentT, str]:
        """The content of a published file, and its source; raises an error that names it as ``what``."""

    @abstractmethod
    def _described(self, image: bytes, content: ContentT, source: str) -> FileT | None:
        """The record of a published file whose content was checked; None if encoding it again gives other bytes."""

    def _is_from_file(self, file: FileT) -> bool:
        """Whether a recorded file was not derived from another one."""
        return True

    def _counts(self, file: FileT) -> bool:
        """Whether a recorded file makes a download unnecessary."""
        return True

    def key(self, spacing_um: int) -> str:
        """The key under which the file is claimed."""
        return self._kind.key(spacing_um)

    def present(self, spacings: Collection[int]) -> set[int]:
        """The spacings that are recorded and have a file of the recorded size; none if they are refreshed."""
        if self._refresh:
            return set()
        with self._database.reading() as connection:
            found = {spacing: self._kind.find(connection, spacing) for spacing in spacings}
        return {
            spacing
            for spacing, file in found.items()
            if file is not None and self._counts(file) and has_complete_file(self._files, file)
        }

    def download(self, spacings: Sequence[int], control: RunControl) -> FileT:
        """Recover the file from an interrupted run, or else download, check and publish it."""
        (spacing_um,) = spacings
        try:
            if not self._refresh and (orphan := self._orphan(spacing_um)) is not None:
                self.recovered = True
                return orphan
            with self._files.temporary() as scratch:
                reply = self._request(spacing_um, scratch, control.on_bytes)
            checkpoint("atlas-file:downloaded")
            self._check(reply.value, f"the {self.what} from {reply.source}")
        except (UpstreamError, InputError) as error:
            # The caller raises it with its hint.
            self.error = error
            raise
        file = self._publish(reply.value, reply.source, control.raise_if_stopped)
        checkpoint("atlas-file:published")
        return file

    def _orphan(self, spacing_um: int) -> FileT | None:
        """The file of an interrupted run, if it has the recorded content or comes from the same address."""
        with self._database.reading() as connection:
            stored = self._kind.find(connection, spacing_um)
        recorded = stored.array_sha256 if stored is not None and self._is_from_file(stored) else None
        for name, image in published_images(self._files, f"{self._kind.folder}/{spacing_um}um", self.what):
            try:
                content, source = self._read_image(image, name)
                if content.grid != Grid(spacing_um) or recorded not in (None, content.array_sha256):
                    continue
                if recorded is None and source != self._address(spacing_um):
                    continue
                self._check(content, name)
            except BsvStoreError:
                # Not a valid file.
                continue
            if (file := self._described(image, content, source)) is not None:
                return file
        return None

    def commit(self, downloads: Sequence[FileT], spacings: Sequence[int], claims: Claims) -> CommitResult:
        """Record the file; a file that it replaces is moved to the trash."""
        (file,) = downloads
        key = self.key(file.grid.spacing_um)
        with self._database.writing() as connection:
            # A recovered file has no row yet and may have been removed since.
            keep_files(connection)
            is_ours = bool(claims.confirmed(connection, [key])) and has_complete_file(self._files, file)
            replaced = self._kind.record(connection, file) if is_ours else None
            claims.release(connection, [key])
        checkpoint("atlas-file:committed")
        if replaced is not None:
            trash_unused(self._database, self._files, [replaced], "replaced")
        return CommitResult() if is_ours else CommitResult(lost=frozenset(spacings))

    def abort(self) -> None:
        """Abort the download."""
        self._client.abort()


def record_ingested(
    database: Database,
    files: StoreFiles,
    kind: AtlasFileKind[FileT],
    file: FileT,
    *,
    refuse: Callable[[FileT | None], None],
    publish: Callable[[], object],
    action: Action | None,
) -> bool:
    """Record a published file whose content comes from a user's file; a file that it replaces is moved to the trash.

    Parameters
    ----------
    refuse : callable
        Raises if the recorded file, which another process may have stored meanwhile, must be kept.
    publish : callable
        Publishes the file again, if it was removed meanwhile.
    action : Action or None
        Recorded as an activity of this user; None records nothing.

    Returns
    -------
    bool
        Whether different content was replaced.
    """
    checkpoint("atlas-file:published")
    with database.writing() as connection:
        lock_atlas_files(connection)
        stored = kind.find(connection, file.grid.spacing_um)
        refuse(stored)
        keep_files(connection)
        if not has_complete_file(files, file):
            publish()
        replaced = kind.record(connection, file)
        if action is not None:
            record_activity(connection, action, kind.subject(file.grid.spacing_um), {"source": file.source})
    checkpoint("atlas-file:committed")
    if replaced is not None:
        trash_unused(database, files, [replaced], "replaced")
    return stored is not None and stored.array_sha256 != file.array_sha256
