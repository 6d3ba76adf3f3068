"""The tables of a shared cache: made where they are missing, refused where another version made them."""

from typing import Any

from collab_sdk.errors import CacheError
from collab_sdk.secrets import Address

VERSION = "collab/cache/v1"
SETUP = 0x636F6C6C6162
"""The advisory lock of whoever makes the tables."""
TABLES = f"""
CREATE TABLE collab_replies (key text COLLATE "C" PRIMARY KEY, row bytea NOT NULL);
ALTER TABLE collab_replies ALTER COLUMN row SET STORAGE EXTERNAL; -- compressed already, and cut into without all of it
COMMENT ON TABLE collab_replies IS '{VERSION}';
CREATE TABLE collab_quarantine (key text, row bytea, since timestamptz DEFAULT now());
"""
MARK = """
SELECT coalesce(obj_description(oid, 'pg_class'), '') FROM pg_class
WHERE relname = 'collab_replies' AND pg_table_is_visible(oid)
"""
RIGHTS = {"collab_replies": ("SELECT", "INSERT", "DELETE"), "collab_quarantine": ("INSERT",)}


def prepare(connection: Any, address: Address) -> None:
    """Raises CacheError where the tables are not what they should be, or this user may not use them."""
    version = _version(connection)
    if version is None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (SETUP,))
            if (version := _version(connection)) is None:
                connection.execute(TABLES)
                version = VERSION
    if version != VERSION:
        raise CacheError(
            f"The cache at {address.shown} was made by another version of collab-sdk ({version or 'unmarked'}; this "
            f"one needs {VERSION}): use that version, or ALTER TABLE collab_replies RENAME TO another name."
        )
    for table, rights in RIGHTS.items():
        for right in rights:
            [allowed] = connection.execute("SELECT has_table_privilege(%s, %s)", (table, right)).fetchone()
            if not allowed:
                raise CacheError(
                    f"The cache at {address.shown} does not let this user do what a cache needs: "
                    f"GRANT {', '.join(rights)} ON {table} TO the user."
                )


def _version(connection: Any) -> str | None:
    """None where there is no table, '' where it has no mark.

    From the catalogue, which is seen at one moment: to_regclass would know a table made since, and not yet its mark.
    """
    row = connection.execute(MARK).fetchone()
    return None if row is None else str(row[0])
