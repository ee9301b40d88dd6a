"""Keep the state of the catalog when old changes are removed; record when volumes were last used.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    base = op.create_table(
        "catalog_change_base",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "changes", sa.BigInteger(), nullable=False, comment="Number of rows that were removed from catalog_change"
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_catalog_change_base_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_change_base")),
    )
    op.bulk_insert(base, [{"id": 1, "changes": 0}])
    op.create_table(
        "volume_use",
        sa.Column("volume_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("used_on", sa.Date(), nullable=False, comment="Last day on which it was read, UTC"),
        sa.ForeignKeyConstraint(
            ["volume_id"], ["volume.id"], name=op.f("fk_volume_use_volume_id_volume"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("volume_id", name=op.f("pk_volume_use")),
    )
    # Whoever removes rows, the sum of the base and the number of rows stays the same.
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER catalog_change_delete_is_counted AFTER DELETE ON catalog_change"
            " BEGIN UPDATE catalog_change_base SET changes = changes + 1; END"
        )
        return
    for name, removed in (("deleted", "gone"), ("truncated", "catalog_change")):
        op.execute(
            f"CREATE FUNCTION count_{name}_catalog_changes() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN UPDATE catalog_change_base SET changes = changes + (SELECT count(*) FROM {removed});"
            " RETURN NULL; END $$"
        )
    op.execute(
        "CREATE TRIGGER delete_is_counted AFTER DELETE ON catalog_change REFERENCING OLD TABLE AS gone"
        " FOR EACH STATEMENT EXECUTE FUNCTION count_deleted_catalog_changes()"
    )
    op.execute(
        "CREATE TRIGGER truncate_is_counted BEFORE TRUNCATE ON catalog_change"
        " FOR EACH STATEMENT EXECUTE FUNCTION count_truncated_catalog_changes()"
    )


def downgrade() -> None:
    # The earlier schema counts rows only: an answer recorded before rows were removed could become current again.
    op.execute("DELETE FROM dataset_answer WHERE (SELECT changes FROM catalog_change_base) > 0")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER catalog_change_delete_is_counted")
    else:
        op.execute("DROP FUNCTION count_deleted_catalog_changes() CASCADE")
        op.execute("DROP FUNCTION count_truncated_catalog_changes() CASCADE")
    op.drop_table("volume_use")
    op.drop_table("catalog_change_base")
