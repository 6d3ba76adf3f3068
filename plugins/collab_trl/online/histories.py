"""What the model is to answer while it is trained: every user message of logged chats."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError, ModelCallError
from collab_sdk.logs import read_conversations
from collab_sdk.messages import Message
from collab_sdk.tools import Toolbox, with_tools
from collab_sdk.types import Conversation, Turn
from collab_trl.hf.chat_format import ChatFormat

NO_CALLS = (
    "the chat has tools, and this method learns from replies alone: take --method grpo or --rounds, which learn from "
    "calls too"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A chat up to a user message; the response of `turn` is what was answered, and is not looked at."""

    conversation: Conversation
    turn: Turn
    tools: tuple[Mapping[str, Any], ...]
    """What the model may call."""
    tokens: int
    """Of the prompt, by the model's own chat template."""

    @property
    def messages(self) -> tuple[Message, ...]:
        return self.turn.history

    @property
    def id(self) -> str:
        return f"{self.conversation.id}/{self.turn.index}"


def read_chats(path: Path) -> tuple[list[Conversation], dict[str, list[str]]]:
    """The chats in logs of any format, with tools as an export has them; and the rows that are none, by problem."""
    faults: dict[str, list[str]] = {}

    def refuse(error: InputError) -> None:
        faults.setdefault(error.problem, []).append(error.where or str(path))

    return list(with_tools(read_conversations([path], unanswered=True, on_error=refuse))), faults


def histories_of(
    chats: Iterable[Conversation],
    chat_format: ChatFormat,
    toolbox: Toolbox,
    *,
    longest: int,
    openings: bool,
    learns_calls: bool,
    faults: dict[str, list[str]],
) -> list[History]:
    """What ends with a user message in the chats, or the openings alone; where it cannot be answered, a fault."""
    found = []
    for conversation in map(toolbox.equip, chats):
        tools = conversation.tools
        for turn in _openings(conversation) if openings else _turns(conversation):
            try:
                if not learns_calls and (tools or conversation.uses_tools):
                    raise ModelCallError(NO_CALLS)
                tokens = len(chat_format.prompt(turn.history, tools))
            except ModelCallError as error:
                faults.setdefault(str(error), []).append(f"{conversation.id}, turn {turn.index}")
                continue
            if tokens >= longest:
                problem = f"longer than {longest:,} tokens (--max-length), so there is no room for a reply"
                faults.setdefault(problem, []).append(f"{conversation.id}, turn {turn.index}")
                continue
            found.append(History(conversation=conversation, turn=turn, tools=tools, tokens=tokens))
    return found


def _openings(conversation: Conversation) -> Iterable[Turn]:
    if conversation.opening:
        yield Turn(index=0, history=conversation.opening, response=())


def _turns(conversation: Conversation) -> Iterable[Turn]:
    """Those that answer a user message, and the one that is still to come."""
    turns = [turn for turn in conversation.turns() if turn.history[-1].role == "user"]
    yield from turns
    if conversation.messages and conversation.messages[-1].role == "user":
        yield Turn(index=len(turns), history=conversation.messages, response=())
