"""The average template of one spacing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bsv_store.acquisition.tasks.atlas_files import AtlasFileKind, AtlasFileTask
from bsv_store.atlas.template import check_template
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.templates import find_template, record_template, template_key
from bsv_store.sources.allen import AllenClient
from bsv_store.sources.allen.client import Reply
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.template import (
    TEMPLATE_FOLDER,
    Template,
    TemplateFile,
    described_template,
    publish_template,
    template_from_image,
    template_image,
)

TEMPLATES: AtlasFileKind[TemplateFile] = AtlasFileKind(
    "template", TEMPLATE_FOLDER, template_key, find_template, record_template
)


class TemplateTask(AtlasFileTask[Template, TemplateFile]):
    """Downloads the template; see `AtlasFileTask`."""

    def __init__(
        self, database: Database, files: StoreFiles, client: AllenClient, spacing_um: int, *, refresh: bool
    ) -> None:
        super().__init__(database, files, client, TEMPLATES, spacing_um, refresh=refresh)

    def _request(self, spacing_um: int, scratch: Path, on_bytes: Callable[[int], None]) -> Reply[Template]:
        return self._client.template(spacing_um, scratch=scratch, on_bytes=on_bytes)

    def _address(self, spacing_um: int) -> str:
        return self._client.template_source(spacing_um)

    def _check(self, content: Template, what: str) -> None:
        self.remarks = check_template(self._database, self._files, content, what=what).remarks()

    def _publish(self, content: Template, source: str, on_slab: Callable[[], None]) -> TemplateFile:
        return publish_template(self._files, content, source=source, on_slab=on_slab)

    def _read_image(self, image: bytes, what: str) -> tuple[Template, str]:
        return template_from_image(image, what=what)

    def _described(self, image: bytes, content: Template, source: str) -> TemplateFile | None:
        is_same = template_image(content, source=source) == image
        return described_template(image, content, source=source) if is_same else None
