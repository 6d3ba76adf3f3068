"""A user played by a model that writes as one: plain text, in a chat whose sides are changed."""

from collections.abc import Iterable, Mapping
from typing import Any

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import EmptyReplyError, SampleError
from collab_sdk.messages import Message
from collab_sdk.models.base import CallRole, ChatModel, ChatRequest, settings_for
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import load_prompt
from collab_sdk.simulator.base import Situation, UserTurn
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import End, Goal

PLAIN = "plain:"
END_OF_CONVERSATION = "<|endconversation|>"
"""What such a user writes when they leave (UserLM's token, arXiv 2510.06552); it is in no transcript."""


class PlainUser:
    """A chat model that is the user: its own messages are the assistant's of its chat, the bot's are the user's.

    It gets no instruction but what it wants and who it is, and answers with the message alone.
    """

    def __init__(self, model: ModelLike) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.settings = settings_for(self.model, ROLE_DEFAULTS["simulator"])

    @property
    def name(self) -> str:
        return f"{PLAIN}{self.model.name}"

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        known = self.model.fingerprint
        return None if known is None else {"user": "plain", **known}

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        """Raises SampleError if the model fails, or begins a conversation with nothing."""
        request = ChatRequest(
            role=CallRole.SIMULATOR,
            messages=changed_sides(situation.messages, situation.goal),
            settings=self.settings,
            sample=situation.sample,
            conversation_id=situation.conversation_id,
        )
        try:
            said = (await engine.call(self.model, request)).content
        except EmptyReplyError:
            said = END_OF_CONVERSATION
        message, left, _ = said.partition(END_OF_CONVERSATION)
        message = message.strip()
        if not message and not situation.messages:
            raise SampleError(f"{self.name} began the conversation with nothing.")
        return UserTurn(message=message, end=End.USER_DONE if left or not message else None)


def changed_sides(messages: Iterable[Message], goal: Goal) -> tuple[Message, ...]:
    """A conversation as its user's model sees it, and is trained on it: what it wants, then what was said.

    The user's messages are the assistant's and the other way round; several of one side in a row are one message.
    """
    changed = [Message(role="system", content=load_prompt("plain").fill(goal=goal.text))]
    for message in messages:
        if message.role not in ("user", "assistant") or not message.content:
            continue
        role = "assistant" if message.role == "user" else "user"
        if changed[-1].role == role:
            changed[-1] = Message(role=role, content=f"{changed[-1].content}\n\n{message.content}")
        else:
            changed.append(Message(role=role, content=message.content))
    return tuple(changed)
