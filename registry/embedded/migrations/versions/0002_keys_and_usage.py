"""API keys, and what was used with them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = sa.String(129)
TIME = sa.String(32)


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "keys",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("adapters", sa.Text, nullable=False),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("tokens_per_minute", sa.Integer),
        sa.Column("concurrent", sa.Integer),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("expires", TIME),
        sa.Column("last_used", TIME),
        sa.Column("revoked", TIME),
    )
    op.create_table(
        "usage",
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("adapter", NAME, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("tokens_in", sa.BigInteger, nullable=False),
        sa.Column("tokens_out", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table("usage")
    op.drop_table("keys")
