"""Becoming a user that owns nothing."""

import secrets

from collab_sdk.sandbox.launch import installed

FIRST, HOW_MANY = 2_000_000_000, 2**24


def as_nobody(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, for root to run as a user of its own: what others run cannot count against its processes."""
    user = str(FIRST + secrets.randbelow(HOW_MANY))
    return (*without_rights(), "--reuid", user, "--regid", user, "--clear-groups", *command)


def without_rights() -> tuple[str, ...]:
    """The start of a command that can never gain a capability."""
    return (installed("setpriv"), "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all")
