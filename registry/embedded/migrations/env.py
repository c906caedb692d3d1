"""Alembic's entry: runs inside the transaction that ``registry.embedded.database`` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
