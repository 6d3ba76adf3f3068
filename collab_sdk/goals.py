"""The goal behind a logged conversation."""

from dataclasses import replace
from typing import Any

from collab_sdk.chat.adapt import as_chat_model
from collab_sdk.chat.engine import Engine, default_engine
from collab_sdk.chat.loop import run_sync
from collab_sdk.chat.model import CallRole, ChatModel, ChatRequest
from collab_sdk.chat.structured import ask_json
from collab_sdk.prompts import fence_transcript, load_prompt
from collab_sdk.types import Conversation, Goal, Message


class GoalReader:
    """Finds out what the user of a logged chat wanted, and how they write, from the whole chat."""

    def __init__(self, model: Any, *, engine: Engine | None = None) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.engine = engine or default_engine()

    def read(self, conversation: Conversation) -> Goal:
        return run_sync(self.aread(conversation))

    async def aread(self, conversation: Conversation) -> Goal:
        """The goal in the row where there is one, else the inferred one; the user's own messages as its style.

        Raises SampleError if the model fails or does not answer in the form asked for.
        """
        goal = conversation.goal or Goal(text="")
        if not goal.text:  # a row may hold a reference and nothing else
            goal = replace(goal, text=await self._ainfer(conversation))
        if goal.style:
            return goal
        own_words = tuple(message.content for message in conversation.messages if message.role == "user")
        return replace(goal, style=own_words)

    async def _ainfer(self, conversation: Conversation) -> str:
        instructions, turn = load_prompt("goal"), load_prompt("goal_turn")
        prompt = turn.fill(transcript=fence_transcript(conversation.messages))
        request = ChatRequest(
            role=CallRole.GOAL,
            messages=(Message(role="system", content=instructions.text), Message(role="user", content=prompt)),
            temperature=0.0,
            json_reply=True,
            template=instructions.hash + turn.hash,
        )
        return await ask_json(self.engine, self.model, request, _read)


def _read(answer: dict[str, Any]) -> str:
    goal = answer.get("goal")
    if not isinstance(goal, str) or not goal.strip():
        raise ValueError('"goal" must be a string that is not empty')
    return goal.strip()
