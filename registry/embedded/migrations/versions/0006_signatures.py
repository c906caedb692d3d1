"""Signatures of versions, and whose signatures a name needs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

DIGEST = sa.String(71)
KEY = sa.String(64)
NAME = sa.String(129)
TIME = sa.String(32)


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "signatures",
        sa.Column("version_digest", DIGEST, primary_key=True),
        sa.Column("key", KEY, primary_key=True),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("bundle", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("seal", DIGEST, nullable=False),
    )
    op.create_table(
        "signing_policies",
        sa.Column("pattern", NAME, primary_key=True),
        sa.Column("key", KEY, primary_key=True),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("seal", DIGEST, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("signing_policies", "signatures"):
        op.drop_table(table)
