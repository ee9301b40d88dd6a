"""Add tokens of clients of a server.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "access_token",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False, comment="Who uses it, for lists and the access log"),
        sa.Column(
            "sha256",
            sa.String(),
            nullable=False,
            comment="SHA-256 of the token, which is 256 random bits; 64 hexadecimal digits",
        ),
        sa.Column("scopes", sa.String(), nullable=False, comment="read, or read,sql"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True, comment="Null if it does not expire"),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_token")),
        sa.UniqueConstraint("name", name=op.f("uq_access_token_name")),
        sa.UniqueConstraint("sha256", name=op.f("uq_access_token_sha256")),
    )


def downgrade() -> None:
    op.drop_table("access_token")
