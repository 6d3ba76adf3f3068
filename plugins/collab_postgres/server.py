"""Connecting to PostgreSQL, and whether it can hold a cache at all.

Tables are made where they are missing, and refused where another version made them.
"""

import os
from collections.abc import Iterator
from typing import Any

from collab_postgres.postgres_errors import explained, load_psycopg
from collab_postgres.postgres_rows import RIGHTS, PostgresRows, grants
from collab_sdk.cache import SharedCache, is_local, server_address, signer_of
from collab_sdk.errors import CacheError, LostConnectionError, UsageError
from collab_sdk.secrets import Address

EXAMPLE = "postgresql://USER:PASSWORD@localhost:5432/DATABASE"
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
    set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false);
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout' -- from PostgreSQL 14 on
"""
OLDER, VERSION = "collab/cache/v1", "collab/cache/v2"
SETUP = 0x636F6C6C6162
"""The advisory lock of whoever makes the tables."""
KEYS = """
CREATE TABLE collab_keys ("check" text PRIMARY KEY, since timestamptz DEFAULT now());
COMMENT ON TABLE collab_keys IS 'check values of the keys that rows are signed with, not the keys'
"""
TABLES = f"""
CREATE TABLE collab_replies (key text COLLATE "C" PRIMARY KEY, row bytea NOT NULL);
ALTER TABLE collab_replies ALTER COLUMN row SET STORAGE EXTERNAL; -- compressed already, and cut into without all of it
COMMENT ON TABLE collab_replies IS '{VERSION}';
CREATE TABLE collab_quarantine (key text, row bytea, since timestamptz DEFAULT now());
{KEYS}
"""
OWNED = """
SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE relname = 'collab_replies' AND pg_table_is_visible(oid)
"""
MARK = """
SELECT coalesce(obj_description(oid, 'pg_class'), '') FROM pg_class
WHERE relname = 'collab_replies' AND pg_table_is_visible(oid)
"""


def open_cache(url: str, *, any_key: bool = False) -> SharedCache:
    """The shared cache at `postgresql://` (or `postgres://`), in tables of its own in that database.

    Raises UsageError for what is no URL or has no HMAC key beside it, CacheError where the database cannot hold one.
    """
    server = PostgresServer(url)
    return SharedCache(server, signer_of(os.environ, server.where), any_key=any_key)


class PostgresServer:
    def __init__(self, url: str) -> None:
        self._address = server_address(url, os.environ, example=EXAMPLE)
        self.where = self._address.shown

    def connect(self) -> PostgresRows:
        connection = self._open()
        try:
            with explained(self._address):
                [read_only] = connection.execute("SHOW transaction_read_only").fetchone()
                if read_only == "on":
                    raise LostConnectionError(  # and not refused, since in a failover this goes by
                        f"The cache at {self.where} takes no writes, as a replica does: give the URL of its primary."
                    )
                connection.execute(SETTINGS)
                _prepare(connection, self._address)
        except BaseException:
            connection.close()
            raise
        return PostgresRows(connection, self._address, warnings=[*_warnings(connection)])

    def _open(self) -> Any:
        psycopg = load_psycopg()
        try:
            parts = psycopg.conninfo.conninfo_to_dict(self._address.url)
        except psycopg.ProgrammingError as error:
            raise UsageError(
                f"{self.where!r} is not the address of a PostgreSQL server ({self._address.said(error)}): "
                f"write it like {EXAMPLE}."
            ) from None
        with explained(self._address, connecting=True):
            return psycopg.connect(**{**DEFAULTS, **parts}, autocommit=True)


def _warnings(connection: Any) -> Iterator[str]:
    if is_local(connection.info.host):
        return
    mode = connection.info.get_parameters().get("sslmode", "prefer")
    if not connection.pgconn.ssl_in_use:
        yield (
            f"is sent chats in clear text, to {connection.info.host} (sslmode={mode}): give "
            "?sslmode=verify-full&sslrootcert=FILE where others share the network"
        )
    elif mode in ("allow", "prefer"):
        yield (
            f"would be sent chats in clear text if {connection.info.host} asked for that (sslmode={mode}): give "
            "?sslmode=verify-full&sslrootcert=FILE"
        )


def _prepare(connection: Any, address: Address) -> None:
    """Raises CacheError where the tables are not what they should be, or this user may not use them."""
    version = _version(connection)
    if version is None or version == OLDER:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (SETUP,))
            if (version := _version(connection)) is None:
                connection.execute(TABLES)
            elif version == OLDER:
                _renew(connection, address)
            version = _version(connection)
    if version != VERSION:
        raise CacheError(
            f"The cache at {address.shown} was made by another version of collab-sdk ({version or 'unmarked'}; this "
            f"one needs {VERSION}): use that version, or ALTER TABLE collab_replies RENAME TO another name."
        )
    for table in RIGHTS:
        lacking = [right for right in RIGHTS[table] if not _may(connection, table, right)]
        if lacking:
            raise CacheError(
                f"The cache at {address.shown} does not let this user do what a cache needs: "
                f"{grants('the user', [table])}."
            )


def _renew(connection: Any, address: Address) -> None:
    """Add what tables of the version before lack; rows stay as they are."""
    [is_owner] = connection.execute(OWNED).fetchone()
    if not is_owner:
        raise CacheError(
            f"The cache at {address.shown} was made by an earlier version of collab-sdk: let the owner of its tables "
            "open it once, with `collab cache stats`, and GRANT as docs/scale.md says."
        )
    connection.execute(f"COMMENT ON TABLE collab_replies IS '{VERSION}'; {KEYS}")


def _may(connection: Any, table: str, right: str) -> bool:
    [allowed] = connection.execute("SELECT has_table_privilege(%s, %s)", (table, right)).fetchone()
    return bool(allowed)


def _version(connection: Any) -> str | None:
    """None where there is no table, '' where it has no mark.

    From the catalogue, which is seen at one moment: to_regclass would know a table made since, and not yet its mark.
    """
    row = connection.execute(MARK).fetchone()
    return None if row is None else str(row[0])
