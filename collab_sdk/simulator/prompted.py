"""A user played by a model that is told to, and answers in JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from collab_sdk.engine.asking import ask_json, prompt_request
from collab_sdk.engine.engine import Engine
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.form import Flag, Note, Record, Text
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import fence, fence_goal, fence_transcript, json_line
from collab_sdk.simulator.base import Situation, UserTurn
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import End

STYLE_EXAMPLES = 6
STYLE_CHARACTERS = 300
FORM = Record(fields={"reason": Note(), "done": Flag(null=False), "message": Text(default="")})


class PromptedUser:
    """Any chat model, told what it wants and how it writes.

    The paper simulates users at temperature 1.0 (section 4); the settings of a ModelSpec, or `temperature`, replace
    that.
    """

    def __init__(self, model: ModelLike, *, temperature: float | None = None) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.settings = settings_for(self.model, ROLE_DEFAULTS["simulator"])
        if temperature is not None:
            self.settings = replace(self.settings, temperature=temperature)

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        return self.model.fingerprint

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        """Raises SampleError if the model fails or does not answer in the form asked for."""
        goal = situation.goal
        fields = {
            "goal": fence_goal(goal.text),
            "style": fence("examples", _examples(goal.style)),
            "transcript": fence_transcript(situation.messages),
        }
        request = prompt_request(
            CallRole.SIMULATOR,
            "simulator",
            fields,
            form=FORM,
            settings=self.settings,
            sample=situation.sample,
            conversation_id=situation.conversation_id,
        )
        return await ask_json(engine, self.model, request, _read)


def _read(answer: Any) -> UserTurn:
    said = FORM.read(answer)
    if not said["message"].strip() and not said["done"]:
        raise ValueError('"message" is empty though "done" is false')
    end = End.USER_DONE if said["done"] else None
    return UserTurn(message=said["message"].strip(), end=end, reason=said["reason"])


def _examples(style: Iterable[str]) -> str:
    examples = [json_line(text[:STYLE_CHARACTERS]) for text in style if text.strip()]
    return "\n".join(examples[:STYLE_EXAMPLES]) or "(none)"
