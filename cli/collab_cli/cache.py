"""`collab cache`: the replies on disk."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from collab_cli.options import CACHE_PLACE, cache_option
from collab_cli.params import Group, Number, option
from collab_cli.paths import ReadPath
from collab_cli.setup import open_chosen_cache
from collab_cli.units import size
from collab_sdk.cache import KeptCache, copy_cache, open_cache
from collab_sdk.errors import InputError

SECONDS_A_DAY = 86_400


@click.group(cls=Group)
def cache() -> None:
    """Look after the replies kept on disk.

    Whatever was answered is kept, so that nothing is paid for twice and a stopped run goes on. Nothing is ever thrown
    away on its own.
    """


@cache.command()
@cache_option
def stats(cache: str | None) -> None:
    """Show where the cache is and how big."""
    with _opened(cache) as replies:
        found = replies.stats()
        click.echo(f"{found.where}: {_replies(found.records)}, {size(found.bytes)}")


@cache.command()
@option("--older-than", type=Number(min=0), metavar="DAYS", required=True, help="Age of what goes.")
@cache_option
def prune(older_than: float, cache: str | None) -> None:
    """Delete old replies."""
    with _opened(cache) as replies:
        deleted, left = replies.prune(older_than * SECONDS_A_DAY), replies.stats()
        click.echo(f"Deleted {_replies(deleted)} from {left.where}; {left.records:,} are left.")


@cache.command()
@option("--yes", is_flag=True, help="Do not ask first.")
@cache_option
def clear(yes: bool, cache: str | None) -> None:
    """Delete all replies."""
    with _opened(cache) as replies:
        stored = replies.stats()
        if not yes:
            question = f"Delete {_replies(stored.records)} from {stored.where}? They would have to be paid for again."
            click.confirm(question, abort=True, err=True)
        click.echo(f"Deleted {_replies(replies.clear())} from {stored.where}.")


@cache.command()
@click.argument("source", type=ReadPath(path_type=str), metavar="FROM")
@click.argument("target", type=CACHE_PLACE, metavar="TO")
def copy(source: str, target: str) -> None:
    """Copy the replies of one cache into another.

    FROM and TO are directories or URLs. What TO has already stays as it is; started again, a copy goes on.

    \b
      collab cache copy ~/.cache/collab redis://cache.example:6379/0
    """
    if "://" not in source and not Path(source).is_dir():
        raise InputError("there is no cache", where=source)
    with closing(open_cache(source)) as replies, closing(open_cache(target)) as copies:
        read, added = copy_cache(replies, copies)
        click.echo(f"Copied {added:,} of {_replies(read)} from {replies.stats().where} to {copies.stats().where}.")


@contextmanager
def _opened(chosen: str | None) -> Iterator[KeptCache]:
    replies = open_chosen_cache(chosen)
    try:
        yield replies
    finally:
        replies.close()


def _replies(count: int) -> str:
    return f"{count:,} {'reply' if count == 1 else 'replies'}"
