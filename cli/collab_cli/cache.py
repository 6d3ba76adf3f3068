"""`collab cache`: the replies on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from collab_cli.options import CACHE_DIR, Number, option
from collab_cli.setup import open_cache
from collab_cli.units import size
from collab_sdk.chat.cache import DiskCache

SECONDS_A_DAY = 86_400


@click.group()
def cache() -> None:
    """Look after the replies kept on disk.

    Whatever was answered is kept, so that nothing is paid for twice and a stopped run goes on. Nothing is ever thrown
    away on its own.
    """


@cache.command()
@CACHE_DIR
def stats(cache_dir: Path | None) -> None:
    """Show where the cache is and how big."""
    with _opened(cache_dir) as replies:
        found = replies.stats()
        click.echo(f"{found.where}: {_replies(found.records)}, {size(found.bytes)}")


@cache.command()
@option("--older-than", type=Number(min=0), metavar="DAYS", required=True, help="Age of what goes.")
@CACHE_DIR
def prune(older_than: float, cache_dir: Path | None) -> None:
    """Delete old replies."""
    with _opened(cache_dir) as replies:
        deleted = replies.prune(older_than * SECONDS_A_DAY)
        click.echo(f"Deleted {_replies(deleted)} from {replies.directory}; {replies.stats().records:,} are left.")


@cache.command()
@option("--yes", is_flag=True, help="Do not ask first.")
@CACHE_DIR
def clear(yes: bool, cache_dir: Path | None) -> None:
    """Delete all replies."""
    with _opened(cache_dir) as replies:
        stored = replies.stats().records
        if not yes:
            question = f"Delete {_replies(stored)} from {replies.directory}? They would have to be paid for again."
            click.confirm(question, abort=True, err=True)
        click.echo(f"Deleted {_replies(replies.clear())} from {replies.directory}.")


@contextmanager
def _opened(chosen: Path | None) -> Iterator[DiskCache]:
    replies = open_cache(chosen)
    try:
        yield replies
    finally:
        replies.close()


def _replies(count: int) -> str:
    return f"{count:,} {'reply' if count == 1 else 'replies'}"
