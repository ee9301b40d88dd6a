"""Download or ingest the average template of the CCF."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bsv_store.acquisition.presence import has_intact_file
from bsv_store.acquisition.tasks.atlas_files import record_ingested
from bsv_store.acquisition.tasks.template import TEMPLATES, TemplateTask
from bsv_store.acquisition.work.sharing import SharedWork
from bsv_store.atlas.template import check_template
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.catalog.templates import find_template
from bsv_store.errors import InputError, MissingDataError
from bsv_store.formats.template import read_template_nrrd
from bsv_store.html import text_card
from bsv_store.progress import Progress
from bsv_store.sources.allen import AllenClient
from bsv_store.text import size_text
from bsv_store.vocabulary import TEMPLATE_OUTCOMES, Action, TemplateOutcome
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.template import Template, TemplateFile, publish_template


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """Result of downloading or ingesting a template.

    Attributes
    ----------
    spacing_um : int
    outcome : {'fetched', 'recovered', 'present', 'added', 'replaced'}
        See ``bsv_store.vocabulary.TEMPLATE_OUTCOMES``.
    size_bytes : int
        Size of the file in the store.
    downloaded_bytes : int
    source : str
        URL or file name.
    name : str
        Name of the template in figures and citations.
    remarks : tuple of str
        Results of the checks, one sentence each; empty if the template was already present.
    """

    spacing_um: int
    outcome: TemplateOutcome
    size_bytes: int
    downloaded_bytes: int
    source: str
    name: str
    remarks: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return text_card("Template", self.summary())

    def summary(self) -> str:
        """The result in a few sentences."""
        what = TEMPLATE_OUTCOMES[self.outcome].words
        if self.outcome == "fetched":
            what += f" ({size_text(self.downloaded_bytes)})"
        elif self.outcome == "present":
            # The stored template may have another source than the requested one.
            what += f", from {self.source}"
        first = f"Template at {self.spacing_um} um: {what}; {size_text(self.size_bytes)} in the store."
        return " ".join([first, *self.remarks])


@long_run()
def sync_template(
    database: Database,
    files: StoreFiles,
    client: AllenClient,
    spacing_um: int,
    *,
    refresh: bool = False,
    progress: Progress | None = None,
) -> TemplateReport:
    """Download the template of a spacing, unless the store has it with a file of the recorded size.

    If several processes request it at once, it is downloaded once.

    Parameters
    ----------
    spacing_um : int
    refresh : bool
        Download it even if the store has it, and replace it if it differs or is damaged.
    progress : Progress, optional

    Raises
    ------
    UpstreamError
        If the download fails. Nothing is stored then.
    FrameError
        If it contradicts the annotation. Nothing is stored then.
    InputError
        If the spacing is not valid.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails.
    """
    grid = Grid(spacing_um)
    task = TemplateTask(database, files, client, grid.spacing_um, refresh=refresh)
    work = SharedWork(database, task, workers=1, progress=progress)
    outcome = work.run([grid.spacing_um])
    if task.error is not None:
        raise task.error
    with database.reading() as connection:
        stored = find_template(connection, spacing_um)
    if stored is None:
        raise MissingDataError(
            f"the template at {spacing_um} um was stored, but has been removed since", hint="Run the command again."
        )
    if not outcome.stored:
        return _report(stored, "present")
    how: TemplateOutcome = "recovered" if task.recovered else "fetched"
    return _report(stored, how, downloaded_bytes=work.control.size_bytes, remarks=task.remarks)


@long_run()
def ingest_template_file(
    database: Database,
    files: StoreFiles,
    path: Path,
    *,
    source: str | None = None,
    spacing_um: int | None = None,
    replace: bool = False,
    action: Action | None = "ingested",
) -> TemplateReport:
    """Store the template from an NRRD file.

    Parameters
    ----------
    path : pathlib.Path
    source : str, optional
        Recorded as its origin. By default the name of the file.
    spacing_um : int, optional
        Required spacing. By default any.
    replace : bool
        Replace a template of the same spacing that differs.
    action : Action, optional
        Recorded as the activity of this user, if anything changes.

    Raises
    ------
    FormatError, FrameError
        If the file is not a valid template, has another grid, or contradicts the annotation. Nothing is stored then.
    InputError
        If the file cannot be read, or the store has another template of this spacing and ``replace`` is False.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails.
    """
    template = read_template_nrrd(path, what=str(path), spacing_um=spacing_um)
    spacing_um = template.grid.spacing_um
    fit = check_template(database, files, template, what=str(path))
    with database.reading() as connection:
        stored = find_template(connection, spacing_um)
    if stored is not None and stored.array_sha256 == template.array_sha256 and has_intact_file(files, stored):
        return _report(stored, "present")
    _refuse_another(path, stored, template, replace=replace)
    publish = partial(publish_template, files, template, source=path.name if source is None else source)
    file = publish()
    is_replaced = record_ingested(
        database,
        files,
        TEMPLATES,
        file,
        refuse=lambda stored: _refuse_another(path, stored, template, replace=replace),
        publish=publish,
        action=action,
    )
    return _report(file, "replaced" if is_replaced else "added", remarks=fit.remarks())


def _refuse_another(path: Path, stored: TemplateFile | None, template: Template, *, replace: bool) -> None:
    if stored is None or replace or stored.array_sha256 == template.array_sha256:
        return
    spacing_um = stored.grid.spacing_um
    raise InputError(
        f"{path} differs from the template at {spacing_um} um in the store ({stored.name}; source: {stored.source}); "
        "the stored template was kept",
        hint=f"To use the file instead: `bsv-store ingest template --replace {path}`. To download Allen's: "
        f"`bsv-store sync template --spacing {spacing_um} --refresh`.",
    )


def _report(
    file: TemplateFile, outcome: TemplateOutcome, *, downloaded_bytes: int = 0, remarks: tuple[str, ...] = ()
) -> TemplateReport:
    return TemplateReport(
        spacing_um=file.grid.spacing_um,
        outcome=outcome,
        size_bytes=file.size_bytes,
        downloaded_bytes=downloaded_bytes,
        source=file.source,
        name=file.name,
        remarks=remarks,
    )
