"""Deprecations, tags, deletions and retention rules; seals on the rows that nobody may change."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

DIGEST = sa.String(71)
NAME = sa.String(129)
TIME = sa.String(32)

SEALED = {"versions": ("name", "number"), "reports": ("id",), "artifacts": ("version_digest", "form", "quant")}
"""Tables that get a seal -> their primary keys."""


def upgrade() -> None:
    """Create the tables, and seal what is there."""
    op.create_table(
        "deprecations",
        sa.Column("name", NAME, sa.ForeignKey("adapters.name"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("marked", TIME, nullable=False),
    )
    op.create_table(
        "tags",
        sa.Column("name", NAME, sa.ForeignKey("adapters.name"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "deletions",
        sa.Column("name", NAME, sa.ForeignKey("adapters.name"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("marked", TIME, nullable=False),
        sa.Column("due", TIME, nullable=False),
        sa.Column("removed", TIME),
        sa.Column("seal", DIGEST, nullable=False),
    )
    op.create_table(
        "retention",
        sa.Column("pattern", NAME, primary_key=True),
        sa.Column("keep_last", sa.Integer, nullable=False),
        sa.Column("keep_aliased", sa.Boolean, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
    )
    for table, key in SEALED.items():
        op.add_column(table, sa.Column("seal", DIGEST, nullable=False, server_default=""))
        _seal(table, key)


def downgrade() -> None:
    """Drop the tables and the seals."""
    for table in SEALED:
        op.drop_column(table, "seal")
    for table in ("retention", "deletions", "tags", "deprecations"):
        op.drop_table(table)


def _seal(name: str, key: tuple[str, ...]) -> None:
    connection = op.get_bind()
    table = sa.Table(name, sa.MetaData(), autoload_with=connection)
    rows = connection.execute(sa.select(table).order_by(*(table.c[column] for column in key)))
    for row in rows.mappings().all():
        values = {column: value for column, value in row.items() if column not in {"id", "seal"}}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        seal = "sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest()
        here = [table.c[column] == row[column] for column in key]
        connection.execute(sa.update(table).where(*here).values(seal=seal))
