"""What a run cost, would cost, or gave, in a few lines on stderr."""

from collections.abc import Iterable, Iterator, Mapping
from math import sqrt
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from collab_cli.terminal import make_console, note, printable, shortened, show
from collab_cli.units import duration, figure, money, of
from collab_sdk.engine import Ledger, Usage
from collab_sdk.files import beside
from collab_sdk.preferences import ExportReport, Noise
from collab_sdk.simulator import UserTotals
from collab_sdk.spec import RunSpec
from collab_sdk.stats import MissingTally
from collab_sdk.training import same_user_warning
from collab_sdk.types import Per

if TYPE_CHECKING:
    from rich.table import Table


WIDEST, LONGEST_USER = 100, 40
"""Columns of a line that is wrapped, and characters of a user's name in it."""


def show_usage(ledger: Ledger) -> None:
    """Calls, tokens, money and time by role; no zeros where no call gave anything."""
    total = ledger.total
    if total.calls > total.failures or total.cache_hits:
        _show_roles(ledger)
    parts = [f"{of(total.retries, 'failed call')} retried"] if total.retries else []
    parts += [f"{of(total.failures, 'call')} failed for good"] if total.failures else []
    if parts:
        note(f"{', '.join(parts)}.")
    if total.unknown_endings:
        calls = of(total.unknown_endings, "call")
        note(
            f"{calls} ended for a reason that is not known here (finish_reason); their replies were taken as complete."
        )
    if total.limited_seconds >= 1:
        note(f"Calls waited for rate limits for {duration(total.limited_seconds)}.")


def _show_roles(ledger: Ledger) -> None:
    table = _table("role", "calls", "cached", "tokens in", "tokens out", "money", "call time")
    for name, usage in _with_total(ledger):
        counts = (f"{count:,}" for count in (usage.calls, usage.cache_hits))
        # Rules and functions do not count tokens; 0 would claim that they did.
        tokens = (f"{count:,}" if count else "-" for count in (usage.prompt_tokens, usage.completion_tokens))
        table.add_row(name, *counts, *tokens, money(usage), duration(usage.seconds))
    show(table, err=True)


def note_same_user(bot: str, trained_against: Iterable[str], spec: RunSpec) -> None:
    """A warning where a bot is evaluated with the user that it was trained against."""
    if (said := same_user_warning(bot, trained_against, [user.name for user in spec.simulators])) is not None:
        note(f"Warning: {printable(said)}")


def show_estimate(ledger: Ledger, *, by_need: bool = False) -> None:
    """The table of a dry run: it is what the command was asked for, so it goes to stdout."""
    table = _table("role", "calls", "tokens in", "tokens out", "money")
    for name, usage in _with_total(ledger):
        counts = (usage.calls, usage.prompt_tokens, usage.completion_tokens)
        table.add_row(name, *(f"{count:,}" for count in counts), money(usage))
    show(table)
    whole = "with everything played to full length and nothing cached. No call was made."
    if by_need:
        note(f"The estimate assumes --samples futures of each response, {whole}")
        note("Most responses need fewer; two whose order is hard to tell may need three times as many.")
    else:
        note(f"An upper estimate, {whole}")


def show_export(
    report: ExportReport, output: Path, *, per: Per, format: str, held_out: bool, seconds: float, by_confidence: bool
) -> None:
    """What an export gave, why turns gave nothing, and where the files are."""
    done = f"{of(report.written, 'pair')} from {of(report.turns, per)} of {of(report.conversations, 'conversation')}"
    note(f"{done}, in {duration(seconds)}.")
    for refusal, count in report.refused.most_common():
        note(f"{count:>7,} without a pair: {refusal}")
    if by_confidence and report.pilot is not None and (told := _noise(report.pilot.noise, per)):
        note(told)
    for what, count in report.left_out.most_common():
        have = "has" if count == 1 else "have"
        note(f"{of(count, 'pair')} {have} {what}, which {format}'s rows cannot hold: left out of {output}.")
    if report.repeated:
        of_pairs, repeat = of(report.repeated, "pair"), "repeats" if report.repeated == 1 else "repeat"
        note(f"{of_pairs} {repeat} an earlier one word for word: left out of {output}.")
    for what, count in report.incomplete.most_common():
        note(f"Note: {of(count, 'pair')} in {output} had {what}, which {format}'s rows do not show the model.")
    if report.failed:
        note(f"{of(len(report.failed), 'conversation')} failed, see above.")
    if report.candidates_lost:
        note(f"{of(report.candidates_lost, 'candidate')} could not be drawn.")
    show_mr(report.mean_mr, ok=report.samples_ok, n=report.samples)
    show_scales(report.measured, scores=report.scores)
    show_users(report.users)
    for reason, count in report.lost.most_common(3):
        note(f"{count:>7,} missing: {reason}")
    note(f"Pairs:    {output}")
    if held_out:
        note(f"Held out: {beside(output, 'eval')}")
    note(f"Details:  {beside(output, 'turns')} (every candidate, future and reason)")


def _noise(noise: Noise, per: Per) -> str:
    """What margins are judged by, or why none can be; nothing where there was nothing to compare."""
    turns = of(noise.turns, per)
    if noise.between:
        truly = sqrt(noise.between)
        return (
            f"Standard deviation, over {turns}: {sqrt(noise.within):.2g} between futures of a candidate, {truly:.2g} "
            "between candidates."
        )
    if noise.freedom:
        return (
            f"In {turns}, candidates differ no more than their futures vary by chance. "
            "More chats or --samples may tell them apart."
        )
    if noise.turns and not noise.repeats:
        return "With one future per response, no order can be told from chance; --min-confidence 0 uses raw margins."
    return ""


def show_mr(mean: float | None, *, ok: int, n: int) -> None:
    """The mean, and how many samples it is of."""
    worth = "No response could be scored" if mean is None else f"Mean MR {figure(mean)}"
    note(f"{worth}; {ok:,} of {of(n, 'sample')} succeeded.")


def show_scales(measured: Mapping[str, int], *, scores: int) -> None:
    """Which metrics count in some of the scores only: `measured` says in how many."""
    for name, count in measured.items():
        if count < scores:
            note(f"{count:,} of {of(scores, 'score')} count {name} too; the others are on another scale.")


def show_missing(rewards: MissingTally, *, broken_off: int) -> None:
    """How far what is missing could move the mean, and in how many samples the assistant's replies broke off."""
    bounds = rewards.bounds() if rewards.missing else None
    if bounds is not None:
        note(
            f"With the {of(rewards.missing, 'missing sample')}, the mean lies between {bounds[0]:.3f} and "
            f"{bounds[1]:.3f}: as if each had earned the lowest, or the highest, reward seen."
        )
    if broken_off:
        note(f"In {of(broken_off, 'sample')}, a reply of the assistant was cut off, filtered or empty, and judged so.")


def show_users(totals: UserTotals, *, reasons: bool = False) -> None:
    """Who played and how that ended, where there is more to say than that one user did; what is missing through them.

    With `reasons`, why, where nothing else tells.
    """
    if not totals.tells:
        return
    note(f"Users, in {of(totals.n, 'future')}:")
    width = min(WIDEST, make_console(err=True).width)
    for row in totals.to_rows():
        user = shortened(printable(row["user"]), LONGEST_USER)
        who = f"{user}, {printable(row['persona'])}" if row["persona"] else user
        counts = sorted(row["ends"].items(), key=lambda end: -end[1])
        line = f"{row['futures']:>7,} {who}: {', '.join(f'{end} {count:,}' for end, count in counts)}"
        for part in wrap(line, width, subsequent_indent=" " * 10, break_on_hyphens=False):
            note(part)
    if totals.user_failures:
        missing = of(totals.user_failures, "sample")
        note(f"{missing} missing because of the simulated user, not the bot.")
        for reason, count in totals.blamed.most_common(3) if reasons else ():
            note(f"{count:>7,} {printable(reason)}")


def _with_total(ledger: Ledger) -> Iterator[tuple[str, Usage]]:
    yield from ledger.by_role().items()
    yield "total", ledger.total


def _table(first: str, *numbers: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
