"""The tables of signatures, beside ``registry.embedded.tables``."""

from sqlalchemy import Column, String, Table, Text

from registry.embedded.tables import DIGEST, NAME, TIME, metadata

signatures = Table(
    "signatures",
    metadata,
    Column("version_digest", DIGEST, primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("public_key", Text, nullable=False),
    Column("bundle", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created", TIME, nullable=False),
    Column("seal", DIGEST, nullable=False),
)

signing_policies = Table(
    "signing_policies",
    metadata,
    Column("pattern", NAME, primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("public_key", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created", TIME, nullable=False),
    Column("seal", DIGEST, nullable=False),
)
