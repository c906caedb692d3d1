"""Servers that run, and what they serve."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TIME = sa.String(32)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "replicas",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("base_fingerprint", sa.String(71), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("started", TIME, nullable=False),
        sa.Column("heartbeat", TIME, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("replicas")
