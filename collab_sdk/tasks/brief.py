"""The brief of a document: what its author had in mind before it was written."""

from dataclasses import replace

from collab_sdk.engine.asking import ask_json, prompt_request
from collab_sdk.engine.engine import Engine
from collab_sdk.goals import GOAL_FORM, read_goal
from collab_sdk.messages import Message
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import fence_transcript
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import Goal


class BriefWriter:
    """Sums the reference document of a goal up, so that the simulated user knows what to ask for, not what to write."""

    def __init__(self, model: ModelLike, *, engine: Engine) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.engine = engine
        self.settings = settings_for(self.model, ROLE_DEFAULTS["judge"])

    async def awrite(self, goal: Goal, *, conversation_id: str = "") -> Goal:
        """The goal with a text. Raises SampleError if the model fails or does not answer in the form asked for."""
        document = Message(role="user", content=goal.reference or "")
        fields = {"transcript": fence_transcript([document])}
        request = prompt_request(
            CallRole.GOAL, "brief", fields, form=GOAL_FORM, settings=self.settings, conversation_id=conversation_id
        )
        return replace(goal, text=await ask_json(self.engine, self.model, request, read_goal))
