"""Record whose annotation it is, and from which finer one it was derived.

Revision ID: 0010
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0006"
branch_labels = None
depends_on = None

# Of the array in Allen's annotation_25.nrrd of 2017.
ALLEN_25UM = "36ed7e196bc41a850071246ed1d182f6331157df3a51b1145144848874025ad3"


def upgrade() -> None:
    op.add_column(
        "annotation",
        sa.Column(
            "origin",
            sa.String(),
            nullable=False,
            server_default="unchecked",
            comment="allen: its content is Allen's; like_allen: its structures lie where Allen's do; other; unchecked",
        ),
    )
    op.add_column(
        "annotation",
        sa.Column(
            "derived_from_um",
            sa.Integer(),
            nullable=True,
            comment="Spacing of the finer annotation from which it was derived; null = read from a file",
        ),
    )
    op.add_column(
        "annotation",
        sa.Column("derived_from_sha256", sa.String(), nullable=True, comment="array_sha256 of that annotation"),
    )
    stored = sa.table("annotation", sa.column("origin", sa.String), sa.column("array_sha256", sa.String))
    op.execute(sa.update(stored).where(stored.c.array_sha256 == ALLEN_25UM).values(origin="allen"))
    with op.batch_alter_table("annotation") as batch:
        batch.alter_column("origin", server_default=None)


def downgrade() -> None:
    # What was derived can be derived again; the release of revision 0006 would take it for Allen's.
    op.execute("DELETE FROM annotation WHERE derived_from_um IS NOT NULL")
    with op.batch_alter_table("annotation") as batch:
        batch.drop_column("derived_from_sha256")
        batch.drop_column("derived_from_um")
        batch.drop_column("origin")
