"""A user played by a model that is told to, and answers in JSON."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from collab_sdk.engine.asking import ask_json, prompt_request
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import UserFaultError
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.form import Flag, Note, Record, Text
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import fence, fence_goal, fence_persona, fence_transcript, json_line, load_prompt
from collab_sdk.secrets import one_line
from collab_sdk.simulator.base import Situation, UserTurn
from collab_sdk.simulator.faults import Fault
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import End

STYLE_EXAMPLES = 6
STYLE_CHARACTERS = 300
UNSAID = ("", "none", "null", "false")
ENDINGS: Mapping[str, End] = {
    "satisfied": End.USER_DONE,
    "gave up": End.GAVE_UP,
    "cannot play": End.USER_FAILED,
}
"""How a user leaves, in their own words. Whether they do is a key of its own, and comes before it: of small models that
had one word for both, most left at once."""
ENDING = Note(words=("none", *ENDINGS))
FORM = Record(fields={"reason": Note(), "done": Flag(null=False), "ending": ENDING, "message": Text(default="")})


class PromptedUser:
    """Any chat model, told what it wants, who it is and how it writes.

    The paper simulates users at temperature 1.0 (section 4); the settings of a ModelSpec, or of `as_chat_model`,
    replace that.
    """

    def __init__(self, model: ModelLike) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.settings = settings_for(self.model, ROLE_DEFAULTS["simulator"])

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        return self.model.fingerprint

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        """Raises SampleError if the model fails, does not answer in the form asked for, or says that it cannot play."""
        request = prompt_request(
            CallRole.SIMULATOR,
            "simulator",
            prompt_fields(situation),
            form=FORM,
            settings=self.settings,
            sample=situation.sample,
            conversation_id=situation.conversation_id,
        )
        said = await ask_json(engine, self.model, request, _read)
        end, reason = _end(said), said["reason"]
        if end is End.USER_FAILED:
            why = one_line(reason, 200) or "it does not say why"
            fault = Fault.CONTRADICTS
            raise UserFaultError(f"The simulated user {self.name} {fault}: {why}", fault=fault)
        return UserTurn(message=said["message"].strip(), end=end, reason=reason)


def prompt_fields(situation: Situation) -> dict[str, str]:
    """What `simulator_turn.txt` is filled with: what a user knows, and nothing of what they do not have."""
    goal, examples = situation.goal, _examples(situation.goal.style)
    style = [fence_persona(goal.persona), fence("examples", examples) if examples else ""]
    return {
        "goal": fence_goal(goal.text),
        "style": "".join(f"{each}\n" for each in style if each),
        "transcript": fence_transcript(situation.messages)
        if situation.messages
        else load_prompt("simulator_opening").text,
    }


def _read(answer: Any) -> dict[str, Any]:
    said: dict[str, Any] = FORM.read(answer)
    if not said["message"].strip() and not said["done"]:
        raise ValueError('"message" is empty though "done" is false')
    _end(said)
    return said


def _end(said: Mapping[str, Any]) -> End | None:
    """How the user leaves; who does not say so has what they wanted. Raises ValueError for another word."""
    ending = " ".join(re.split(r"[\s_-]+", said["ending"].strip().lower()))
    if not said["done"]:
        return None
    if ending not in (*UNSAID, *ENDINGS):
        raise ValueError(f'"ending" must be one of {", ".join(map(repr, ENDINGS))}')
    return ENDINGS.get(ending, End.USER_DONE)


def _examples(style: Iterable[str]) -> str:
    examples = [json_line(text[:STYLE_CHARACTERS]) for text in style if text.strip()]
    return "\n".join(examples[:STYLE_EXAMPLES])
