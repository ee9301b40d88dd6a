"""The templates in the store: the rows of table ``template`` as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Row, select

from bsv_store.catalog.atlas_files import atlas_object, record_atlas_file
from bsv_store.catalog.database.models import StoredTemplate as _Model
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.stored_object import StoredObject
from bsv_store.volumes.template import TemplateFile

if TYPE_CHECKING:
    from typing import Any

_table = _Model.__table__
_PLAIN = tuple(field.name for field in fields(TemplateFile) if field.name != "grid")


def find_template(connection: Connection, spacing_um: int) -> TemplateFile | None:
    """The template with that spacing, or None if the store does not have it."""
    row = connection.execute(select(*_table.columns).where(_Model.spacing_um == spacing_um)).one_or_none()
    return None if row is None else _value(row)


def all_templates(connection: Connection) -> list[TemplateFile]:
    """All templates in the store, the finest first."""
    return [_value(row) for row in connection.execute(select(*_table.columns).order_by(_Model.spacing_um))]


def stored_templates(connection: Connection) -> Iterator[StoredObject]:
    """All templates in the store, the finest first."""
    for file in all_templates(connection):
        yield atlas_object(template_key(file.grid.spacing_um), "template", file)


def template_key(spacing_um: int) -> str:
    """The key of a template, in claims and in the inventory."""
    return f"template/{spacing_um}"


def record_template(connection: Connection, file: TemplateFile) -> str | None:
    """Write the row of a published file, see `record_atlas_file`."""
    return record_atlas_file(connection, _Model, file, _PLAIN, key=template_key(file.grid.spacing_um))


def _value(row: Row[Any]) -> TemplateFile:
    return TemplateFile(grid=Grid(row.spacing_um), **{name: getattr(row, name) for name in _PLAIN})
