"""The registry's tables. ``registry/embedded/migrations`` brings an older file to this shape."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

DIGEST = String(71)
NAME = String(129)
TIME = String(32)  # ISO 8601 in UTC: sorts as text, and reads back the same from every database

bases = Table(
    "bases",
    metadata,
    Column("fingerprint", DIGEST, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("document", Text, nullable=False),
    Column("created", TIME, nullable=False),
)

adapters = Table(
    "adapters",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("versions", Integer, nullable=False),  # how many there are; its row is the lock that keeps numbers gapless
    Column("moves", Integer, nullable=False),
    Column("last_move", String(71), nullable=False),  # hash of the newest history entry
)

versions = Table(
    "versions",
    metadata,
    Column("name", NAME, ForeignKey("adapters.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("base_fingerprint", DIGEST, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("created", TIME, nullable=False),
    Column("actor", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("seal", DIGEST, nullable=False, server_default=""),  # registry.embedded.seal
    UniqueConstraint("name", "digest"),
    Index("versions_by_digest", "digest"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("name", NAME, ForeignKey("adapters.name"), primary_key=True),
    Column("alias", String(32), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("moved", TIME, nullable=False),
)

moves = Table(
    "moves",
    metadata,
    Column("name", NAME, ForeignKey("adapters.name"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("alias", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("previous", Integer),
    Column("number", Integer, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("moved", TIME, nullable=False),
    Column("parent", String(71), nullable=False),
    Column("hash", DIGEST, nullable=False),
)

profiles = Table(
    "profiles",
    metadata,
    Column("fingerprint", DIGEST, primary_key=True),
    Column("base_fingerprint", DIGEST, nullable=False),
    Column("document", Text, nullable=False),
    Column("serving_since", TIME, nullable=False),
    Index("profiles_by_base", "base_fingerprint", "serving_since"),
)

reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("version_digest", DIGEST, nullable=False),
    Column("profile_fingerprint", DIGEST, nullable=False),
    Column("suite_digest", DIGEST, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Column("created", TIME, nullable=False),
    Column("seal", DIGEST, nullable=False, server_default=""),  # registry.embedded.seal
    Index("reports_by_version", "version_digest", "profile_fingerprint"),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("version_digest", DIGEST, primary_key=True),
    Column("form", String(32), primary_key=True),
    Column("quant", String(32), primary_key=True),
    Column("document", Text, nullable=False),
    Column("created", TIME, nullable=False),
    Column("seal", DIGEST, nullable=False, server_default=""),  # registry.embedded.seal
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("subject", NAME, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created", TIME, nullable=False),
    sqlite_autoincrement=True,  # ids are never used twice, so a reader can go on from the last one it saw
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("scopes", Text, nullable=False),  # JSON, as the next
    Column("adapters", Text, nullable=False),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", Integer),
    Column("concurrent", Integer),
    Column("weight", Float, nullable=False),
    Column("created", TIME, nullable=False),
    Column("actor", Text, nullable=False),
    Column("expires", TIME),
    Column("last_used", TIME),
    Column("revoked", TIME),
)

usage = Table(
    "usage",
    metadata,
    Column("key", String(32), primary_key=True),  # an id, or "anonymous": no foreign key
    Column("adapter", NAME, primary_key=True),  # or the base
    Column("number", Integer, primary_key=True),  # 0 for the base
    Column("day", String(10), primary_key=True),  # UTC
    Column("requests", BigInteger, nullable=False),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("base_fingerprint", DIGEST, nullable=False),
    Column("document", Text, nullable=False),
    Column("started", TIME, nullable=False),
    Column("heartbeat", TIME, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("url", Text, nullable=False),
    Column("kinds", Text, nullable=False),  # JSON, as the next
    Column("names", Text, nullable=False),
    Column("secret", Text, nullable=False),  # it has to sign, so a hash would not do
    Column("created", TIME, nullable=False),
    Column("actor", Text, nullable=False),
    Column("delivered", TIME),  # when a delivery last succeeded
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("webhook", String(12), ForeignKey("webhooks.id"), primary_key=True),
    Column("event", Integer, ForeignKey("events.id"), primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("due", TIME, nullable=False),  # when to try next; while one is under way, when others may try
    Column("claim", String(32), nullable=False),  # of the process that tries, or ""
    Column("dead", TIME),  # when it was given up
    Column("failure", Text, nullable=False),  # of the last attempt
    Index("deliveries_by_time", "webhook", "dead", "due"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", TIME, nullable=False),
    Column("actor", Text, nullable=False),
    Column("key", String(12), nullable=False),  # id of the API key, or ""
    Column("action", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    Column("result", Text, nullable=False),
    Index("audit_by_subject", "subject", "id"),
    sqlite_autoincrement=True,
)

deprecations = Table(
    "deprecations",
    metadata,
    Column("name", NAME, ForeignKey("adapters.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("marked", TIME, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column("name", NAME, ForeignKey("adapters.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

deletions = Table(
    "deletions",
    metadata,
    Column("name", NAME, ForeignKey("adapters.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("marked", TIME, nullable=False),
    Column("due", TIME, nullable=False),
    Column("removed", TIME),  # when the version went; the row is its tombstone from then on
    Column("seal", DIGEST, nullable=False),
)

retention = Table(
    "retention",
    metadata,
    Column("pattern", NAME, primary_key=True),
    Column("keep_last", Integer, nullable=False),
    Column("keep_aliased", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created", TIME, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", NAME, ForeignKey("adapters.name"), nullable=False),
    Column("alias", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("started", TIME, nullable=False),
    Column("document", Text, nullable=False),
    Index("releases_by_alias", "name", "alias", "state"),
)

release_counts = Table(
    "release_counts",
    metadata,
    Column("release", String(12), ForeignKey("releases.id"), primary_key=True),
    Column("arm", String(16), primary_key=True),
    Column("minute", Integer, primary_key=True),  # since 1970; 0 for all that is long past
    Column("document", Text, nullable=False),
)

release_texts = Table(
    "release_texts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("release", String(12), ForeignKey("releases.id"), nullable=False),
    Column("document", Text, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created", TIME, nullable=False),
    Index("batches_by_time", "created"),
)
