"""What PostgreSQL and its client say, in one line, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from collab_sdk.errors import CacheError, LostConnectionError, MissingExtraError
from collab_sdk.secrets import Address

POOLED = (
    "is behind a pooler that shares its connections out (pgbouncer in transaction mode), which leases cannot bear: "
    "give its own address, or a pool in session mode"
)
REFUSALS = {
    "28P01": "refuses the user or password of its URL",
    "28000": "refuses this user: see its pg_hba.conf",
    "login": "does not let this user log in: ALTER ROLE NAME LOGIN",
    "connect": "does not let this user into the database: GRANT CONNECT ON DATABASE NAME TO the user",
    "closed": "takes no connections to this database: ALTER DATABASE NAME ALLOW_CONNECTIONS true",
    "3D000": "has no such database: create it with `createdb NAME`, or mend the URL",
    "42501": "does not let this user do what a cache needs: let its owner open the cache once and GRANT as "
    "docs/scale.md says, or GRANT USAGE, CREATE ON SCHEMA public TO the user",
    "certificate": "has a certificate not trusted here: name who signed it with ?sslrootcert=FILE",
    **dict.fromkeys(("26000", "42P05"), POOLED),  # a prepared statement is gone, or is another connection's
    **dict.fromkeys(
        ("42P01", "42P07", "3F000"),
        "has the tables of a cache in part, or where this user does not look for them: see `\\dt *.collab_*` and the "
        "user's search_path",
    ),
    "53100": "is full: free space on its disk, or delete old replies with `collab cache prune`",
}
"""By SQLSTATE (PostgreSQL's manual, appendix A), or a name of ours for what has none."""
PASSING = {
    "53300": "has no connection left for this process, which needs three: raise max_connections (or the CONNECTION "
    "LIMIT of the user or database, or the pooler's), or run fewer processes",
    "57014": "takes too long for a statement, which it or an administrator has cancelled: see in pg_stat_activity what "
    "keeps it busy",
    "25006": "takes no writes, as a replica does: give the URL of its primary",
}
"""What goes by when others leave, or in a failover: it is waited for."""
WORDS = {
    "too many clients": "53300",
    "too many connections": "53300",
    "connection slots are reserved": "53300",
    "no more connections allowed": "53300",  # pgbouncer
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "pg_hba.conf": "28000",
    "certificate verify failed": "certificate",
    "root certificate file": "certificate",
    "not permitted to log in": "login",
    "permission denied for database": "connect",
    "not currently accepting connections": "closed",
    'role "': "28000",
    'database "': "3D000",
}
"""While connecting there is no SQLSTATE, but a line with one of these in it."""
MAY_PASS = ("08", "40", "55", "57", "58")
"""Connections, deadlocks, locks, shutdowns and timeouts, trouble of the system."""


def load_psycopg() -> Any:
    """PostgreSQL's client, imported on first use. Raises MissingExtraError where it is not installed."""
    try:
        import psycopg
    except ImportError:
        raise MissingExtraError.of("A cache in PostgreSQL needs its client", "postgres") from None
    return psycopg


@contextmanager
def explained(address: Address, *, connecting: bool = False) -> Iterator[None]:
    """Raise LostConnectionError where another try may help, and CacheError elsewhere."""
    psycopg = load_psycopg()
    try:
        yield
    except (psycopg.Error, OSError) as error:
        said = address.said(error)
        state = getattr(error, "sqlstate", None) or (_state(str(error)) if connecting else None)
        if state in PASSING:
            raise LostConnectionError(
                f"The cache at {address.shown} {PASSING[state]}. It said: {said}.", is_full=state == "53300"
            ) from None
        if state in REFUSALS:
            raise CacheError(f"The cache at {address.shown} {REFUSALS[state]}. It said: {said}.") from None
        gone = state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | OSError)
        if gone or (state is not None and state.startswith(MAY_PASS)):
            raise LostConnectionError(
                f"The cache at {address.shown} does not answer: {said}. See that PostgreSQL runs there."
            ) from None
        raise CacheError(f"The cache at {address.shown} cannot be used: {said}.") from None


def _state(text: str) -> str | None:
    return next((state for words, state in WORDS.items() if words in text), None)
