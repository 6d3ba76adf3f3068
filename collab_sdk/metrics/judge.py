"""The judge: one call for all criteria of a conversation, one for its artefact."""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.engine.asking import ask_fenced, ask_json, prompt_request
from collab_sdk.engine.engine import Engine
from collab_sdk.messages import Message
from collab_sdk.metrics.base import Judgement, Rubric
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.form import Record
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import fence, fence_deeds, fence_goal, fence_transcript, json_line
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import Goal

ARTEFACT = "artefact"
"""The tag between which the judge copies what was delivered."""


class Judge:
    """Judges at temperature 0 unless its model has other settings.

    The transcript is fenced so that nothing said in it can steer the judgement.
    """

    def __init__(self, model: ModelLike, *, engine: Engine) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.settings = settings_for(self.model, ROLE_DEFAULTS["judge"])
        self.engine = engine

    async def ajudge(
        self,
        messages: tuple[Message, ...],
        *,
        goal: Goal,
        rubrics: Mapping[str, Rubric],
        tools: Sequence[Mapping[str, Any]] = (),
        conversation_id: str = "",
    ) -> dict[str, Judgement]:
        """A judgement for every rubric, by name. Raises SampleError if even one cannot be had."""
        if not rubrics:
            return {}

        form = Record(fields={name: rubric.form for name, rubric in rubrics.items()})

        def read(answer: Any) -> dict[str, Judgement]:
            answers = form.read(answer)
            return {name: _read_judgement(rubric, answers[name]) for name, rubric in rubrics.items()}

        criteria = "\n".join(f"{name}: {rubric.criterion}" for name, rubric in rubrics.items())
        fields = {
            "goal": fence_goal(goal.text),
            "transcript": fence_deeds(messages, tools),
            "criteria": fence("criteria", criteria),
        }
        request = prompt_request(
            CallRole.JUDGE, "judge", fields, form=form, settings=self.settings, conversation_id=conversation_id
        )
        return await ask_json(self.engine, self.model, request, read)

    async def aextract(self, messages: tuple[Message, ...], *, wanted: str, conversation_id: str = "") -> str:
        """What the assistant finally delivered, empty if nothing. Raises SampleError if that cannot be found out."""
        acted = any(message.calls for message in messages)
        prompt, transcript = (
            ("extract_deeds", fence_deeds(messages)) if acted else ("extract", fence_transcript(messages))
        )
        fields = {"transcript": transcript, "wanted": json_line(wanted)}
        request = prompt_request(
            CallRole.JUDGE, prompt, fields, form=None, settings=self.settings, conversation_id=conversation_id
        )
        return await ask_fenced(self.engine, self.model, request, ARTEFACT)


def _read_judgement(rubric: Rubric, answer: Any) -> Judgement:
    try:
        return rubric.read(answer)
    except ValueError:
        raise
    except Exception as error:  # a stranger's metric trips over the judge's form: the judge is to mend it
        raise ValueError(f"the form is wrong ({type(error).__name__}: {error})") from error
