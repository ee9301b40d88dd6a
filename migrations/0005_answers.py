"""Record in which state of the catalog each version was last known to answer its recipe.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Tables that selections, groupings and averages read. On SQLite, batch_alter_table creates a table again without its
# triggers, so they must be created again too.
INPUTS = (
    "exclusion",
    "experiment",
    "experiment_injection_structure",
    "experiment_line",
    "named_selection",
    "structure",
    "structure_ancestor",
    "structure_set",
    "structure_set_member",
    "transgenic_line",
    "unionize_coverage",
    "volume",
)

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "catalog_change",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_change")),
    )
    op.create_table(
        "dataset_answer",
        sa.Column("version_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column(
            "change_count", sa.BigInteger(), nullable=False, comment="Number of rows of catalog_change at that time"
        ),
        sa.Column("release", sa.String(), nullable=False, comment="Version of bsv-store that recorded it"),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_dataset_answer")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_version.id"], name=op.f("fk_dataset_answer_version_id_dataset_version")
        ),
    )
    if op.get_bind().dialect.name == "sqlite":
        # SQLite has row triggers only. Therefore none is on unionize: each change of it also changes unionize_coverage.
        for table in INPUTS:
            for what in ("INSERT", "UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_{what.lower()}_is_a_change AFTER {what} ON {table}"
                    " BEGIN INSERT INTO catalog_change (changed_at) VALUES (CURRENT_TIMESTAMP); END"
                )
        return
    op.execute(
        "CREATE FUNCTION note_catalog_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO catalog_change (changed_at) VALUES (CURRENT_TIMESTAMP); RETURN NULL; END $$"
    )
    for table in (*INPUTS, "unionize"):
        op.execute(
            f"CREATE TRIGGER is_a_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION note_catalog_change()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in INPUTS:
            for what in ("insert", "update", "delete"):
                op.execute(f"DROP TRIGGER {table}_{what}_is_a_change")
    else:
        op.execute("DROP FUNCTION note_catalog_change() CASCADE")
    op.drop_table("dataset_answer")
    op.drop_table("catalog_change")
