"""Connecting to PostgreSQL, and whether it can hold a cache at all.

Tables are made where they are missing, and refused where another version made them.
"""

import os
from typing import Any

from collab_postgres.postgres_errors import explained, load_psycopg
from collab_postgres.postgres_rows import PostgresRows
from collab_sdk.cache import SharedCache, signer_of
from collab_sdk.errors import CacheError, UsageError
from collab_sdk.secrets import Address

DEFAULTS = {
    "connect_timeout": "5",
    "application_name": "collab-sdk",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""Where the URL does not say otherwise: a server that is gone is missed within half a minute."""
SETTINGS = """
SELECT set_config('statement_timeout', '25s', false),
    set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false)
"""
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


def open_cache(url: str) -> SharedCache:
    """The shared cache at `postgresql://` (or `postgres://`), in tables of its own in that database.

    Raises UsageError for what is no URL or has no HMAC key beside it, CacheError where the database cannot hold one.
    """
    server = PostgresServer(url)
    return SharedCache(server, signer_of(os.environ, server.where))


class PostgresServer:
    def __init__(self, url: str) -> None:
        self._address = Address(url)
        self.where = self._address.shown

    def connect(self) -> PostgresRows:
        connection = self._open()
        try:
            with explained(self._address):
                [read_only] = connection.execute("SHOW transaction_read_only").fetchone()
                if read_only == "on":
                    raise CacheError(
                        f"The cache at {self.where} takes no writes, as a replica does: give the URL of its primary."
                    )
                connection.execute(SETTINGS)
                _prepare(connection, self._address)
        except BaseException:
            connection.close()
            raise
        return PostgresRows(connection, self._address)

    def _open(self) -> Any:
        psycopg = load_psycopg()
        try:
            parts = psycopg.conninfo.conninfo_to_dict(self._address.url)
        except psycopg.ProgrammingError as error:
            raise UsageError(
                f"{self.where!r} is no address of a PostgreSQL ({self._address.said(error)}): write it like "
                "postgresql://USER:PASSWORD@localhost:5432/DATABASE."
            ) from None
        with explained(self._address, connecting=True):
            return psycopg.connect(**{**DEFAULTS, **parts}, autocommit=True)


def _prepare(connection: Any, address: Address) -> None:
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
