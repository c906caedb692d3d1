"""Which sums were added already."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "batches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("created", sa.String(32), nullable=False),
    )
    op.create_index("batches_by_time", "batches", ["created"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("batches")
