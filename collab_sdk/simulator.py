"""The user, played by a model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from collab_sdk.concurrency import run_sync, sync_twins
from collab_sdk.engine.asking import ask_json, prompt_request
from collab_sdk.engine.engine import Engine, default_engine
from collab_sdk.messages import Message, as_messages
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.form import Flag, Note, Record, Text
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import fence, fence_goal, fence_transcript, json_line
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import Goal

__all__ = ["Simulator", "UserTurn"]

STYLE_EXAMPLES = 6
STYLE_CHARACTERS = 300
FORM = Record(fields={"reason": Note(), "done": Flag(null=False), "message": Text(default="")})


@dataclass(frozen=True, kw_only=True, slots=True)
class UserTurn:
    """What the user says next. When `done`, they leave after `message`, which may be empty."""

    message: str
    done: bool
    reason: str


@sync_twins
class Simulator:
    """Plays the user of a conversation: sees the goal and how the real user writes; the assistant sees neither.

    `model` is anything `as_chat_model` takes. The paper simulates users at temperature 1.0 (section 4); the settings of
    a ModelSpec, or `temperature`, replace that.
    """

    def __init__(self, model: ModelLike, *, temperature: float | None = None, engine: Engine | None = None) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.settings = settings_for(self.model, ROLE_DEFAULTS["simulator"])
        if temperature is not None:
            self.settings = replace(self.settings, temperature=temperature)
        self.engine = engine or default_engine()

    def reply(self, messages: Iterable[Message | Mapping[str, Any]], *, goal: Goal | str, sample: str = "") -> UserTurn:
        return run_sync(self.areply(messages, goal=goal, sample=sample))

    async def areply(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goal | str,
        sample: str = "",
        conversation_id: str = "",
    ) -> UserTurn:
        """The user's answer to a conversation that ends with an assistant message. `sample` tells draws apart.

        Raises SampleError if the model fails or does not answer in the form asked for.
        """
        goal = Goal.of(goal)
        fields = {
            "goal": fence_goal(goal.text),
            "style": fence("examples", _examples(goal.style)),
            "transcript": fence_transcript(as_messages(messages)),
        }
        request = prompt_request(
            CallRole.SIMULATOR,
            "simulator",
            fields,
            form=FORM,
            settings=self.settings,
            sample=sample,
            conversation_id=conversation_id,
        )
        return await ask_json(self.engine, self.model, request, _read)


def _read(answer: Any) -> UserTurn:
    said = FORM.read(answer)
    if not said["message"].strip() and not said["done"]:
        raise ValueError('"message" is empty though "done" is false')
    return UserTurn(message=said["message"].strip(), done=said["done"], reason=said["reason"])


def _examples(style: Iterable[str]) -> str:
    examples = [json_line(text[:STYLE_CHARACTERS]) for text in style if text.strip()]
    return "\n".join(examples[:STYLE_EXAMPLES]) or "(none)"
