"""`collab logs list` and `collab logs show`."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from collab_cli.failures import finish
from collab_cli.params import Command, Count, option
from collab_cli.paths import ReadPath
from collab_cli.terminal import Problems, make_console, note, print_text, printable, shown_call
from collab_cli.terminal import show as show_text
from collab_cli.units import of
from collab_sdk import Conversation
from collab_sdk.errors import InputError
from collab_sdk.files import JsonlWriter, to_json
from collab_sdk.logs import ConversationStore, LoggedCall, StoredChat
from collab_sdk.messages import Message, text_of

if TYPE_CHECKING:
    from rich.table import Table

STORES = ReadPath(exists=True, dir_okay=False, path_type=Path)
"""Files of stores that are read; what else is wrong with them, the store says."""
READ_STORE = option("--store", type=STORES, required=True, metavar="FILE", help="Conversation store to use.")
LISTED = 50
SCHEMA = "collab/stored-chat/v1"
INDENT, STEP = "    ", "  "
LONGEST_ID = 64
"""Characters of an id that are not broken, so that it can be copied."""
OTHER_COLUMNS = 56
SIDE_COLUMN = 6


@click.command("list", cls=Command)
@READ_STORE
@option("--limit", type=Count(min=1), metavar="N", help=f"Show at most N chats.  [default: {LISTED}; with --json, all]")
@option("--json", is_flag=True, help="Print JSON lines instead of a table.")
def list_(store: Path, limit: int | None, json: bool) -> None:
    """List the chats of a store, latest first, and count the calls that belong to no chat."""
    problems, listed, left_out = Problems(), 0, 0
    with ConversationStore(store) as chats:
        if json:
            with JsonlWriter("-") as rows:
                for chat in chats.listing(limit=limit, on_error=problems.report):
                    rows.write({"schema": SCHEMA, **asdict(chat)})
                    listed, left_out = listed + 1, left_out + chat.left_out
        else:
            shown = list(chats.listing(limit=limit or LISTED, on_error=problems.report))
            listed, left_out = len(shown), sum(chat.left_out for chat in shown)
            if shown:
                has_side_calls = any(chat.side_calls for chat in shown)
                width = _id_width(shown) + OTHER_COLUMNS + (SIDE_COLUMN if has_side_calls else 0)
                show_text(_table(shown, with_side_calls=has_side_calls), at_least=width)
                note(f"{listed:,} of {of(len(chats), 'chat')} in {store}.")
        unrecorded = chats.unrecorded()
    if left_out:
        note(
            f"Note: {of(left_out, 'answer')} that no chat has, on branches that were left or that nothing joins to it."
        )
    for reason, calls in unrecorded.items():
        note(f"Note: {of(calls, 'call')} not recorded: {printable(reason)}")
    problems.close()
    finish(problems, results=listed, why=f"there is no chat in {store}")


@click.command(cls=Command)
@click.argument("id")
@READ_STORE
@option("--side-calls", is_flag=True, help="Also show side calls: what the app asked models besides the chat.")
def show(id: str, store: Path, side_calls: bool) -> None:
    """Show a chat and the alternative responses in it."""
    width = make_console(err=False).width
    with ConversationStore(store) as chats:
        described, chat = chats.describe(id), chats.get(id)
        beside = chats.side_calls(id) if side_calls else ()
    for line in _lines(described, chat, width=width):
        print_text(line)
    for number, call in enumerate(beside, 1):
        for line in _side_call(number, call, width):
            print_text(line)
    if described.side_calls and not side_calls:
        print_text(f"\n{of(described.side_calls, 'side call')} (--side-calls shows {_them(described.side_calls)})")


def _table(chats: Sequence[StoredChat], *, with_side_calls: bool) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("id", width=_id_width(chats), overflow="fold")
    table.add_column("source", overflow="fold")
    table.add_column("turns", justify="right", no_wrap=True)
    if with_side_calls:
        table.add_column("side\ncalls", justify="right", no_wrap=True)
    table.add_column("last activity", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("user", overflow="fold")
    for chat in chats:
        table.add_row(
            printable(chat.id),
            _joined(chat.sources),
            str(chat.turns),
            *([str(chat.side_calls or "")] if with_side_calls else []),
            _when(chat.last_active),
            _joined(chat.models),
            _joined(chat.users),
        )
    return table


def _id_width(chats: Sequence[StoredChat]) -> int:
    return min(max(len("id"), *(len(printable(chat.id)) for chat in chats)), LONGEST_ID)


def _lines(described: StoredChat, chat: Conversation | None, *, width: int) -> Iterator[str]:
    about = (_joined(described.sources), _joined(described.models), _when(described.last_active))
    yield " · ".join([printable(described.id), of(described.turns, "turn"), *(text for text in about if text != "-")])
    if chat is not None:
        if chat.goal is not None and chat.goal.text:
            yield "\ngoal:"
            yield from _wrapped(chat.goal.text, width, INDENT)
        yield from _messages(chat, width)
    if described.failed:
        reasons = "; ".join(dict.fromkeys(printable(reason) for reason in described.failed))
        yield f"\n{of(len(described.failed), 'call')} without an answer: {reasons}"


def _side_call(number: int, call: LoggedCall, width: int) -> Iterator[str]:
    """What a call beside the chat was asked and said, its instructions in a line."""
    about = (call.source, call.model, _when(call.ended), "" if call.status == "ok" else call.error or call.status)
    yield "\n" + " · ".join([f"side call {number}", *(printable(text) for text in about if text and text != "-")])
    for said in (*call.messages, *call.replies):
        role, text = str(said.get("role")), _text(said)
        if role == "system":
            yield _step(f"{role}: ", text, width, "")
        else:
            yield f"{STEP}{printable(role)}:"
            yield from _wrapped(text, width, INDENT)
    if not call.replies:
        yield f"{STEP}no answer"


def _text(said: Mapping[str, Any]) -> str:
    """The text of a stored message, or its JSON where it has none."""
    try:
        text = text_of(said.get("content"), empty_allowed=True)
    except InputError:
        text = ""
    return text or to_json(said.get("tool_calls") or said.get("content") or "")


def _messages(chat: Conversation, width: int) -> Iterator[str]:
    turns = {len(turn.history): turn for turn in chat.turns()}
    place = 0
    while place < len(chat.messages):
        turn = turns.get(place)
        if turn is None:
            yield from _block(chat.messages[place].role, chat.messages[place : place + 1], width)
            place += 1
            continue
        broken = " (broken off)" if turn.is_partial else ""
        done = (chat.messages[n] for n in chat.places(turn))
        for is_system, messages in groupby(done, lambda message: message.role == "system"):
            title = "system" if is_system else f"assistant, turn {turn.index}{broken}"
            yield from _block(title, tuple(messages), width)
        for other in turn.alternatives:
            yield from _block(f"  or, turn {turn.index}", other, width, indent=INDENT + "  ")
        place = chat.places(turn).stop


def _block(title: str, messages: Sequence[Message], width: int, *, indent: str = INDENT) -> Iterator[str]:
    """Texts, and between them a line for each call and each result."""
    yield f"\n{title}:"
    answered: set[int] = set()
    for place, message in enumerate(messages):
        if message.role != "tool":
            yield from _wrapped(message.content, width, indent)
        elif place not in answered:
            yield _step("← ", _result(message), width, indent)
        for call in message.calls:
            yield _step("→ ", shown_call(call), width, indent)
            after = range(place + 1, len(messages))
            result = next((n for n in after if messages[n].tool_call_id == call.id and n not in answered), None)
            if result is not None:
                answered.add(result)
                yield _step("← ", _result(messages[result]), width, indent)


def _result(message: Message) -> str:
    return message.content if message.content.strip() else "nothing"


def _step(mark: str, text: str, width: int, indent: str) -> str:
    """A step of the assistant's, cut to one line."""
    line, room = mark + printable(text), max(width, 40) - len(indent) - len(STEP)
    if len(line) > room:
        left_out = f"… ({len(text):,} characters)"
        line = line[: room - len(left_out)] + left_out
    return indent + STEP + line


def _wrapped(text: str, width: int, indent: str) -> Iterator[str]:
    for line in text.strip().splitlines():
        shown = "".join(char if char.isprintable() else " " for char in line)
        yield from wrap(shown, max(width, 40), initial_indent=indent, subsequent_indent=indent) or [""]


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _joined(values: Iterable[str]) -> str:
    return ", ".join(printable(value) for value in values) or "-"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if 0 < seconds < 1e11 else "-"
