"""The average template of one spacing; the number that identifies the object is the spacing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bsv_store.acquisition.presence import has_complete_file
from bsv_store.acquisition.tasks.atlas_files import record_claimed
from bsv_store.acquisition.tasks.orphans import recover_template
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.task import CommitResult, RunControl, Task
from bsv_store.atlas.template import check_template
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.templates import find_template, record_template, template_key
from bsv_store.catalog.unused_files import trash_unused
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import BsvStoreError, InputError, UpstreamError
from bsv_store.sources.allen import AllenClient
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.template import Template, TemplateFile, publish_template


def template_subject(spacing_um: int) -> str:
    """The subject of recorded activities about a template."""
    return f"template at {spacing_um} um"


class TemplateTask(Task[TemplateFile]):
    """Downloads the template.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    client : AllenClient
    spacing_um : int
    refresh : bool
        Also download a template that the store has.
    """

    def __init__(
        self, database: Database, files: StoreFiles, client: AllenClient, spacing_um: int, *, refresh: bool
    ) -> None:
        self.what = "template"
        self.subject = template_subject(spacing_um)
        self.action = "synced"
        self.host = client.download_host
        self.connections = client.connections
        self.max_connections = client.max_connections
        self.recovered = False
        self.remarks: tuple[str, ...] = ()
        self.error: BsvStoreError | None = None
        self._database = database
        self._files = files
        self._client = client
        self._refresh = refresh

    def key(self, spacing_um: int) -> str:
        """The key under which the template is claimed."""
        return template_key(spacing_um)

    def present(self, spacings: Collection[int]) -> set[int]:
        """The spacings that are recorded and have a file of the recorded size; none if they are refreshed."""
        if self._refresh:
            return set()
        with self._database.reading() as connection:
            found = {spacing: find_template(connection, spacing) for spacing in spacings}
        return {spacing for spacing, file in found.items() if file is not None and has_complete_file(self._files, file)}

    def download(self, spacings: Sequence[int], control: RunControl) -> TemplateFile:
        """Recover the template from an interrupted run, or else download, check and publish it."""
        (spacing_um,) = spacings
        try:
            if not self._refresh and (orphan := self._orphan(spacing_um)) is not None:
                self.recovered = True
                return orphan
            with self._files.temporary() as scratch:
                reply = self._client.template(spacing_um, scratch=scratch, on_bytes=control.on_bytes)
            checkpoint("template:downloaded")
            self._check(reply.value, f"the {self.what} from {reply.source}")
        except (UpstreamError, InputError) as error:
            # A `Failure` holds the message alone; the caller raises this error with its hint.
            self.error = error
            raise
        file = publish_template(self._files, reply.value, source=reply.source, on_slab=control.raise_if_stopped)
        checkpoint("template:published")
        return file

    def _check(self, template: Template, what: str) -> None:
        self.remarks = check_template(self._database, self._files, template, what=what).remarks()

    def _orphan(self, spacing_um: int) -> TemplateFile | None:
        """The file of an interrupted run, if it is the recorded template or comes from the same address."""
        with self._database.reading() as connection:
            stored = find_template(connection, spacing_um)
        recorded = None if stored is None else stored.array_sha256
        orphan = recover_template(self._files, spacing_um, self._check, array_sha256=recorded)
        if orphan is not None and stored is None and orphan.source != self._client.template_source(spacing_um):
            return None
        return orphan

    def commit(self, downloads: Sequence[TemplateFile], spacings: Sequence[int], claims: Claims) -> CommitResult:
        """Record the file; a file that it replaces is moved to the trash."""
        (file,) = downloads
        key = self.key(file.grid.spacing_um)
        is_ours, replaced = record_claimed(self._database, self._files, file, key, claims, record_template)
        checkpoint("template:committed")
        if replaced is not None:
            trash_unused(self._database, self._files, [replaced], "replaced")
        return CommitResult() if is_ours else CommitResult(lost=frozenset(spacings))

    def abort(self) -> None:
        """Abort the download."""
        self._client.abort()
