"""`collab cache`: the replies that are kept."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from collab_cli.failures import ExitCode
from collab_cli.options import CACHE_PLACE, cache_option
from collab_cli.params import Group, Number, option
from collab_cli.paths import ReadPath
from collab_cli.setup import open_chosen_cache
from collab_cli.terminal import note, print_text
from collab_cli.units import size
from collab_sdk.cache import LARGEST, Contents, KeptCache, SharedCache, copy_cache, is_directory, open_cache
from collab_sdk.errors import InputError, UsageError

SECONDS_A_DAY = 86_400
DRY_RUN = option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
YES = option("--yes", is_flag=True, help="Do not ask for confirmation. Required if there is no terminal.")


@click.group(cls=Group)
def cache() -> None:
    """Manage the cache of model replies.

    Every reply is cached, so that no call is paid for twice and a stopped run can be resumed. Replies are deleted only
    by these commands.
    """


@cache.command()
@cache_option
def stats(cache: str | None) -> None:
    """Show where the cache is, its size, and how many of its replies can be read.

    The size is shown at once; reading all replies can take longer.
    """
    with closing(open_chosen_cache(cache, any_key=True)) as replies:
        found = replies.stats()
        print_text(f"{found.where}: {_replies(found.records)}, {size(found.bytes)}")
        _show_unreadable(replies.inspect())
        if isinstance(replies, SharedCache) and (rights := replies.rights()):
            note(f"Warning: The cache at {found.where} {rights}.")


@cache.command()
@option(
    "--older-than",
    type=Number(min=0),
    metavar="DAYS",
    help="Delete replies older than this many days, by the clock of the cache's server.",
)
@option(
    "--unreadable", is_flag=True, help="Also delete replies that cannot be read, including those that were moved aside."
)
@option(
    "--served",
    metavar="NAME",
    help="Forget that the replicas of a model answer as NAME, so that a run continues after their provider has renamed "
    "the model.",
)
@DRY_RUN
@YES
@cache_option
def prune(
    older_than: float | None, unreadable: bool, served: str | None, dry_run: bool, yes: bool, cache: str | None
) -> None:
    """Delete old or unreadable replies.

    \b
      collab cache prune --older-than 90 --dry-run
      collab cache prune --unreadable --yes
    """
    if older_than is None and not unreadable and served is None:
        raise click.UsageError("Choose what to delete: --older-than, --unreadable or --served.")
    age = None if older_than is None else older_than * SECONDS_A_DAY
    with _opened(cache) as replies:
        now = replies.now()
        found = replies.prune(age, now=now, unreadable=unreadable, served=served, dry_run=True)
        what = _replies(found.matching)
        if unreadable:
            what += f", {found.unreadable:,} unreadable and {found.aside:,} moved aside"
        else:
            _show_unreadable(found)
        nothing = not (found.matching or (unreadable and (found.unreadable or found.aside)))
        if _is_agreed(what, replies.where, nothing=nothing, dry_run=dry_run, yes=yes):
            deleted = replies.prune(age, now=now, unreadable=unreadable, served=served)
            count = deleted.matching + (deleted.unreadable + deleted.aside if unreadable else 0)
            left = deleted.others + (0 if unreadable else deleted.unreadable)
            print_text(f"Deleted {_replies(count)} from {replies.where}; {left:,} are left.")


@cache.command()
@DRY_RUN
@YES
@cache_option
def clear(dry_run: bool, yes: bool, cache: str | None) -> None:
    """Delete all readable replies.

    Unreadable replies are kept, because another key may be able to read them.
    """
    with _opened(cache) as replies:
        found = replies.inspect()
        _show_unreadable(found)
        what = _replies(found.matching)
        if _is_agreed(what, replies.where, nothing=not found.matching, dry_run=dry_run, yes=yes):
            print_text(f"Deleted {_replies(replies.clear().matching)} from {replies.where}.")


@cache.command()
@click.argument("source", type=ReadPath(path_type=str), metavar="FROM")
@click.argument("target", type=CACHE_PLACE, metavar="TO")
def copy(source: str, target: str) -> None:
    """Copy the replies of one cache into another.

    FROM and TO are directories or URLs. Replies that TO already has are not changed, and a copy that was stopped can be
    started again. Unreadable replies, and replies that are too large for TO, are not copied.

    \b
      collab cache copy ~/.cache/collab redis://cache.example:6379/0
    """
    if is_directory(source) and not Path(source).is_dir():
        raise InputError("there is no cache", where=source)
    with closing(open_cache(source)) as replies, closing(open_cache(target)) as copies:
        copied = copy_cache(replies, copies)
        print_text(f"Copied {copied.added:,} of {_replies(copied.read)} from {replies.where} to {copies.where}.")
        if copied.unreadable:
            count = _replies(copied.unreadable)
            note(f"{count} could not be read, and stay where they are: `collab cache stats` says why.")
        if copied.too_large:
            key, size_there = max(copied.too_large.items(), key=lambda item: item[1])
            note(
                f"{_replies(len(copied.too_large))} not copied: {copies.where} holds none of more than "
                f"{size(LARGEST)}, and the largest, {key[:12]}…, has {size(size_there)}. They stay where they are."
            )
        if copied.unreadable or copied.too_large:
            raise click.exceptions.Exit(ExitCode.SOME_FAILED)


@cache.command()
@DRY_RUN
@cache_option
def reseal(dry_run: bool, cache: str | None) -> None:
    """Sign the replies of a shared cache with a new key.

    Set COLLAB_CACHE_HMAC_KEY to both keys, separated by a comma: the first key signs new replies, and replies signed
    with either key can be read. When every user of the cache has the new key first, this command signs the remaining
    replies with it, and the old key is no longer needed.

    \b
      export COLLAB_CACHE_HMAC_KEY=NEW,OLD
      collab cache reseal --cache redis://cache.example:6379/0
    """
    with _opened(cache) as replies:
        if not isinstance(replies, SharedCache):
            raise UsageError(f"{replies.where} is a directory, whose replies no key signs.")
        found = replies.reseal(dry_run=dry_run)
        _show_unreadable(found)
        done = f"{'Would sign' if dry_run else 'Signed'} {_replies(found.matching)} anew"
        print_text(f"{done} at {replies.where}; {found.others:,} were signed with this key.")


@contextmanager
def _opened(chosen: str | None) -> Iterator[KeptCache]:
    with closing(open_chosen_cache(chosen)) as replies:
        yield replies


def _show_unreadable(found: Contents) -> None:
    """What is kept although it cannot be read, and why it cannot."""
    kinds = {
        "signed with another key": found.foreign,
        "damaged": found.damaged,
        "moved aside earlier": found.aside,
    }
    if told := ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count):
        key = " Is COLLAB_CACHE_HMAC_KEY that of this cache? If so," if found.foreign else ""
        note(f"Unreadable, and kept: {told}.{key} `collab cache prune --unreadable` deletes them.")


def _is_agreed(what: str, where: str, *, nothing: bool, dry_run: bool, yes: bool) -> bool:
    """Whether to delete: asks, unless it was said before."""
    if dry_run:
        print_text(f"Would delete {what} from {where}.")
        return False
    if nothing:
        print_text(f"Deleted 0 replies from {where}: there are none of that kind.")
        return False
    if yes:
        return True
    try:
        is_agreed = click.confirm(f"Delete {what} from {where}? They would have to be paid for again.", err=True)
    except click.Abort:  # Ctrl-C, or nobody is there
        if sys.stdin.isatty():
            raise
        print_text(err=True)  # ends the line of the question
        raise UsageError("Nothing was deleted: there is no terminal to ask on, so say --yes.") from None
    if not is_agreed:
        raise click.Abort
    return True


def _replies(count: int) -> str:
    return f"{count:,} {'reply' if count == 1 else 'replies'}"
