"""A shared cache in PostgreSQL: `collab_sdk.cache.open.open_cache("postgresql://user@host/database")`."""

from collab_postgres.server import open_cache

__all__ = ["open_cache"]
