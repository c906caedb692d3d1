"""Webhooks, what is still to be delivered to them, and who did what."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TIME = sa.String(32)


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("kinds", sa.Text, nullable=False),
        sa.Column("names", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("delivered", TIME),
    )
    op.create_table(
        "deliveries",
        sa.Column("webhook", sa.String(12), sa.ForeignKey("webhooks.id"), primary_key=True),
        sa.Column("event", sa.Integer, sa.ForeignKey("events.id"), primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", TIME, nullable=False),
        sa.Column("claim", sa.String(32), nullable=False),
        sa.Column("dead", TIME),
        sa.Column("failure", sa.Text, nullable=False),
    )
    op.create_index("deliveries_by_time", "deliveries", ["webhook", "dead", "due"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("key", sa.String(12), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_by_subject", "audit", ["subject", "id"])


def downgrade() -> None:
    """Drop them."""
    for table in ("audit", "deliveries", "webhooks"):
        op.drop_table(table)
