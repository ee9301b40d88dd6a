"""Record the origin of annotations and from which finer one they were derived; correct injected hemispheres.

The injected hemisphere is unknown for experiments of the retina, which were injected into an eye, and for coordinates
of 0, which mean unknown.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Of the array in Allen's annotation_25.nrrd of 2017.
ALLEN_25UM = "36ed7e196bc41a850071246ed1d182f6331157df3a51b1145144848874025ad3"


RETINA = 304325711


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
    for name in ("injection_ap", "injection_dv", "injection_ml"):
        op.execute(f"UPDATE experiment SET {name} = NULL WHERE {name} = 0")
    op.execute(
        "UPDATE experiment SET injected_hemisphere = NULL, hemisphere_source = NULL"
        f" WHERE injected_hemisphere IS NOT NULL AND (primary_structure_id = {RETINA}"
        " OR (hemisphere_source = 'coordinate' AND injection_ml IS NULL))"
    )


def downgrade() -> None:
    # Derived annotations can be derived again; revision 0008 would treat them as Allen's.
    op.execute("DELETE FROM annotation WHERE derived_from_um IS NOT NULL")
    with op.batch_alter_table("annotation") as batch:
        batch.drop_column("derived_from_sha256")
        batch.drop_column("derived_from_um")
        batch.drop_column("origin")
