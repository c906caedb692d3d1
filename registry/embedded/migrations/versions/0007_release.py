"""Releases, what was counted of their versions, and texts that were kept to compare."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "releases",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(129), sa.ForeignKey("adapters.name"), nullable=False),
        sa.Column("alias", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started", sa.String(32), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("releases_by_alias", "releases", ["name", "alias", "state"])
    op.create_table(
        "release_counts",
        sa.Column("release", sa.String(12), sa.ForeignKey("releases.id"), primary_key=True),
        sa.Column("arm", sa.String(16), primary_key=True),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "release_texts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("release", sa.String(12), sa.ForeignKey("releases.id"), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("release_texts", "release_counts", "releases"):
        op.drop_table(table)
