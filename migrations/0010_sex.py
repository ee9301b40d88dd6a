"""Normalize the sex of experiments to M, F or null; the history retains the original values of the lists.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_WORDS = {"M": ("m", "male"), "F": ("f", "female")}


def upgrade() -> None:
    for sex, words in _WORDS.items():
        listed = ", ".join(f"'{word}'" for word in words)
        op.execute(f"UPDATE experiment SET sex = '{sex}' WHERE sex <> '{sex}' AND lower(trim(sex)) IN ({listed})")
    op.execute("UPDATE experiment SET sex = NULL WHERE sex NOT IN ('M', 'F')")


def downgrade() -> None:
    # Original values are not restored: M, F and null are valid in the earlier revision too.
    pass
