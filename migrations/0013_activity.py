"""Record who changed the store.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSAL = "rows of activity cannot be changed or deleted"


def upgrade() -> None:
    op.create_table(
        "activity",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="Time of the database's clock, UTC"),
        sa.Column("action", sa.String(), nullable=False, comment="fetched, computed, deleted, ..."),
        sa.Column(
            "subject", sa.String(), nullable=True, comment="What was changed, such as a dataset version or a list"
        ),
        sa.Column("details", sa.String(), nullable=True, comment="Numbers and options, as JSON"),
        sa.Column("user_name", sa.String(), nullable=False, comment="Login name according to the operating system"),
        sa.Column("database_role", sa.String(), nullable=True, comment="Role of the database session; null on SQLite"),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("release", sa.String(), nullable=False, comment="Version of bsv-store"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity")),
    )
    op.create_index(op.f("ix_activity_at"), "activity", ["at"])
    if op.get_bind().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER activity_{what.lower()}_is_refused BEFORE {what} ON activity"
                f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION refuse_change_of_activity() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER activity_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON activity"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_activity()"
    )


def downgrade() -> None:
    op.drop_table("activity")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change_of_activity()")
