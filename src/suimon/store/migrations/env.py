"""What alembic runs: migrations on the connection, and in the transaction, that `store.schema` hands over."""

from alembic import context

from suimon.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
