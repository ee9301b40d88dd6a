"""Record which dataset versions were imported, and which users trust them.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("imported_at", sa.DateTime(timezone=True), "Time of the import from a bundle, UTC; null = computed in this store"),
    ("imported_by", sa.String(), "User who imported it"),
    ("trusted_at", sa.DateTime(timezone=True), "Time when a user marked it as trusted, UTC"),
    ("trusted_by", sa.String(), "User who marked it as trusted"),
)

_OLD = """
    d.name,
    v.number,
    v.fingerprint,
    v.content_sha256,
    v.spacing_um,
    v.group_count,
    v.member_count,
    v.created_at,
    v.created_by,
    v.software,
    v.recipe,
    v.path,
    v.size_bytes"""

# The latest check that compared the result is used.
_LAST = (
    "(SELECT c.outcome FROM dataset_check AS c WHERE c.version_id = v.id"
    " AND c.outcome IN ('identical', 'different') ORDER BY c.id DESC LIMIT 1)"
)

_NEW = f"""{_OLD},
    CASE
        WHEN v.imported_at IS NULL THEN 'computed'
        WHEN {_LAST} = 'identical' THEN 'imported, checked'
        WHEN {_LAST} = 'different' THEN 'imported, not reproducible'
        WHEN v.trusted_at IS NOT NULL THEN 'imported, trusted'
        ELSE 'imported, not checked'
    END AS standing,
    v.imported_at,
    v.imported_by,
    v.trusted_at,
    v.trusted_by"""


def _create_view(columns: str) -> None:
    op.execute(
        f"CREATE VIEW dataset_versions AS SELECT {columns}\nFROM dataset_version AS v\n"
        "JOIN dataset AS d ON d.id = v.dataset_id"
    )


def upgrade() -> None:
    op.execute("DROP VIEW dataset_versions")
    with op.batch_alter_table("dataset_version") as batch:
        for name, kind, text in _COLUMNS:
            batch.add_column(sa.Column(name, kind, nullable=True, comment=text))
        batch.drop_constraint(op.f("uq_dataset_version_dataset_id_fingerprint"), type_="unique")
    # An imported version and one computed here from the same inputs may differ.
    op.create_index(
        "uq_dataset_version_computed",
        "dataset_version",
        ["dataset_id", "fingerprint"],
        unique=True,
        sqlite_where=sa.text("imported_at IS NULL"),
        postgresql_where=sa.text("imported_at IS NULL"),
    )
    _create_view(_NEW)


def downgrade() -> None:
    op.execute("DROP VIEW dataset_versions")
    op.drop_index("uq_dataset_version_computed", "dataset_version")
    _delete_twins()
    with op.batch_alter_table("dataset_version") as batch:
        for name, _, _ in reversed(_COLUMNS):
            batch.drop_column(name)
        batch.create_unique_constraint(op.f("uq_dataset_version_dataset_id_fingerprint"), ["dataset_id", "fingerprint"])
    _create_view(_OLD)


def _delete_twins() -> None:
    """Delete imported versions with the fingerprint of a version that was computed in the store."""
    twins = (
        "SELECT v.id FROM dataset_version AS v WHERE v.imported_at IS NOT NULL AND EXISTS"
        " (SELECT 1 FROM dataset_version AS o WHERE o.dataset_id = v.dataset_id AND o.fingerprint = v.fingerprint"
        " AND o.id <> v.id AND (o.imported_at IS NULL OR o.id < v.id))"
    )
    ids = [row.id for row in op.get_bind().execute(sa.text(twins))]
    for table in ("dataset_member", "dataset_group", "dataset_tag", "dataset_check", "dataset_answer"):
        for identifier in ids:
            op.execute(sa.text(f"DELETE FROM {table} WHERE version_id = :id").bindparams(id=identifier))
    for identifier in ids:
        op.execute(sa.text("DELETE FROM dataset_version WHERE id = :id").bindparams(id=identifier))
