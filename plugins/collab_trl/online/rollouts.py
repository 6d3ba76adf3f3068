"""Whole conversations of the model with the simulated user, and what they were like."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from collab_sdk.concurrency import all_settled
from collab_sdk.errors import SampleError
from collab_sdk.evaluation import has_question_mark
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import get_chat_writer, read_conversations
from collab_sdk.messages import shown_text
from collab_sdk.metrics import tokens_by_role
from collab_sdk.rollout import Rollout
from collab_sdk.scorer import MRScorer, scene_of
from collab_sdk.types import Conversation, Future, Turn

REWARD = "reward"
"""Where a conversation's metadata has its R*."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollouts:
    """Conversations that were held to their end; the others `failed`."""

    conversations: tuple[Conversation, ...]
    failed: int

    @property
    def statistics(self) -> dict[str, float]:
        """Mean reward R* of the conversations, tokens a reply, the share of first replies that ask."""
        replies = [[turn.response for turn in conversation.turns()] for conversation in self.conversations]
        replies = [responses for responses in replies if responses]
        if not replies:
            return {}
        return {
            "reward": fmean(float(conversation.metadata[REWARD]) for conversation in self.conversations),
            "reply_tokens": fmean(tokens_by_role(reply)["assistant"] for responses in replies for reply in responses),
            "ask_rate": fmean(has_question_mark(shown_text(responses[0])) for responses in replies),
        }


async def aroll_out(chats: Sequence[Conversation], scorer: MRScorer, *, exchanges: int, draw: str) -> Rollouts:
    """From the opening of every chat that has one, with the scorer's bot. `draw` tells times apart."""
    rollout = scorer.rollout.with_window(exchanges)
    openings = [chat for chat in chats if chat.opening]
    held = await all_settled(_aroll_out(chat, rollout, scorer, draw) for chat in openings)
    conversations = tuple(conversation for conversation in held if conversation is not None)
    return Rollouts(conversations=conversations, failed=len(held) - len(conversations))


async def _aroll_out(chat: Conversation, rollout: Rollout, scorer: MRScorer, draw: str) -> Conversation | None:
    chat = rollout.toolbox.equip(chat)
    try:
        goal = (await scorer.goals.aread(chat)).played[0]
    except SampleError:
        return None
    log = replace(chat, id=f"{draw}/{chat.id}")
    future = await rollout.aconverse(chat.opening, goal=goal, scene=scene_of(log))
    if future.error is None:
        opening = Turn(index=0, history=chat.opening, response=())
        reward = scorer.reward.of(chat)
        future = await reward.agive(opening, future, goal=goal, tools=chat.tools, conversation_id=log.id)
    if future.reward is None:
        return None
    return _held(replace(chat, goal=goal), future)


def _held(chat: Conversation, future: Future) -> Conversation:
    messages = (*chat.opening, *future.messages)
    return replace(chat, messages=messages, alternatives={}, metadata={REWARD: future.reward})


def write_rollouts(rollouts: Rollouts, path: Path) -> None:
    row = get_chat_writer("collab")
    with JsonlWriter(path) as file:
        for conversation in rollouts.conversations:
            file.write(row(conversation))


def read_rollouts(path: Path) -> Rollouts:
    """What `write_rollouts` has written; how many failed is not told."""
    return Rollouts(conversations=tuple(read_conversations([path])), failed=0)
