"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

DIGEST = sa.String(71)
NAME = sa.String(129)
TIME = sa.String(32)


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "bases",
        sa.Column("fingerprint", DIGEST, primary_key=True),
        sa.Column("name", NAME, nullable=False, unique=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
    )
    op.create_table(
        "adapters",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("versions", sa.Integer, nullable=False),
        sa.Column("moves", sa.Integer, nullable=False),
        sa.Column("last_move", DIGEST, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("name", NAME, sa.ForeignKey("adapters.name"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("base_fingerprint", DIGEST, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.UniqueConstraint("name", "digest"),
    )
    op.create_index("versions_by_digest", "versions", ["digest"])
    op.create_table(
        "aliases",
        sa.Column("name", NAME, sa.ForeignKey("adapters.name"), primary_key=True),
        sa.Column("alias", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("moved", TIME, nullable=False),
    )
    op.create_table(
        "moves",
        sa.Column("name", NAME, sa.ForeignKey("adapters.name"), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("alias", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("previous", sa.Integer),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.Column("moved", TIME, nullable=False),
        sa.Column("parent", DIGEST, nullable=False),
        sa.Column("hash", DIGEST, nullable=False),
    )
    op.create_table(
        "profiles",
        sa.Column("fingerprint", DIGEST, primary_key=True),
        sa.Column("base_fingerprint", DIGEST, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("serving_since", TIME, nullable=False),
    )
    op.create_index("profiles_by_base", "profiles", ["base_fingerprint", "serving_since"])
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("version_digest", DIGEST, nullable=False),
        sa.Column("profile_fingerprint", DIGEST, nullable=False),
        sa.Column("suite_digest", DIGEST, nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
    )
    op.create_index("reports_by_version", "reports", ["version_digest", "profile_fingerprint"])
    op.create_table(
        "artifacts",
        sa.Column("version_digest", DIGEST, primary_key=True),
        sa.Column("form", sa.String(32), primary_key=True),
        sa.Column("quant", sa.String(32), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", NAME, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drop everything."""
    for table in ("events", "artifacts", "reports", "profiles", "moves", "aliases", "versions", "adapters", "bases"):
        op.drop_table(table)
