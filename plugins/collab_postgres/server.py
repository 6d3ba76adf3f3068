"""Connecting to PostgreSQL, and whether it can hold a cache at all."""

import os
from typing import Any

from collab_postgres.errors import explained, load_psycopg
from collab_postgres.rows import PostgresRows
from collab_postgres.schema import prepare
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
                prepare(connection, self._address)
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
