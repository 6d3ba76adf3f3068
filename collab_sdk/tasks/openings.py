"""Rows of a task as chats to train on: the goal, the user's first message, and as much of the rest as is asked for."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from collab_sdk.errors import SampleError, UserFaultError
from collab_sdk.messages import Message
from collab_sdk.models.resolve import ModelLike
from collab_sdk.rollout import Rollout
from collab_sdk.runs.local import run_here
from collab_sdk.runs.runner import Outcome
from collab_sdk.scorer import scene_of
from collab_sdk.simulator import Fault
from collab_sdk.tasks.brief import BriefWriter
from collab_sdk.types import Conversation, Goal


def is_opening(conversation: Conversation) -> bool:
    """Whether the goal and the user's first message are there, so that nobody has to be asked for them."""
    return conversation.goal is not None and bool(conversation.goal.text) and bool(conversation.messages)


def marked(chat: Conversation, row: Conversation, *, task: str, made_with: Mapping[str, Any]) -> Conversation:
    """The chat, with metadata that say what it was made of, and by whom, so that nobody takes it for a logged one.

    `simulated` says whether a model wrote any of it: the goal, the user's messages or the replies.
    """
    is_simulated = (chat.goal, chat.messages) != (row.goal, row.messages)
    made = {"task": task, "row": row.id, "simulated": is_simulated, "made_with": dict(made_with)}
    return replace(chat, metadata={**chat.metadata, **made})


class OpeningWriter:
    """Makes chats of a task's rows, as `export-prefs` and `finetune --rounds` read them.

    The goal is the brief, which `judge` writes where the row has none, with its reference. Where nothing was said yet,
    the rollout's simulator writes the user's first message. With `exchanges` of 1 or more the rollout's assistant
    answers, and they go on for so many exchanges at most.
    """

    def __init__(self, *, rollout: Rollout, judge: ModelLike, exchanges: int = 0) -> None:
        self.exchanges = exchanges
        self._rollout = rollout
        self._briefs = BriefWriter(judge, engine=rollout.engine)

    def awrite_all(self, conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[Conversation]]:
        """Each row as a chat, in input order."""
        return run_here(self.awrite, conversations, engine=self._rollout.engine)

    async def awrite(self, conversation: Conversation) -> Conversation:
        """The row as a chat. Raises SampleError where a model fails, or the user leaves before they were answered."""
        goal = conversation.goal or Goal(text="")
        if not goal.text:
            goal = await self._briefs.awrite(goal, conversation_id=conversation.id)
        chat = replace(conversation, goal=goal)
        if self.exchanges:
            return replace(chat, messages=(*chat.messages, *await self._aplay(chat, goal)))
        return chat if chat.messages else replace(chat, messages=await self._abegin(chat, goal))

    async def _abegin(self, chat: Conversation, goal: Goal) -> tuple[Message, ...]:
        """The user's first message, under the names that it has where the conversation is played on."""
        draw = f"{chat.id}/future-0"
        seat = self._rollout.simulator.seat(goal, draw=draw)
        async with seat.played_alone():
            said = await seat.areply((), turn=0, sample=f"{draw}/0", conversation_id=chat.id)
        if not said.message:
            raise UserFaultError(f"The simulated user {seat.name} {Fault.LEAVES}.", fault=Fault.LEAVES)
        return (Message(role="user", content=said.message),)

    async def _aplay(self, chat: Conversation, goal: Goal) -> tuple[Message, ...]:
        scene = scene_of(self._rollout.toolbox.equip(chat))
        rollout = self._rollout.with_window(self.exchanges)
        future = await rollout.aconverse(chat.messages, goal=goal, scene=scene)
        if future.error is not None:
            raise SampleError(future.error)
        if not any(message.role == "assistant" for message in future.messages):
            raise UserFaultError(f"The simulated user {future.user} {Fault.LEAVES}.", fault=Fault.LEAVES)
        return future.messages
