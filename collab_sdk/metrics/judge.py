"""The judge: one call for all criteria of a conversation, one for its artefact."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.engine.asking import ask_json, json_request
from collab_sdk.engine.engine import Engine
from collab_sdk.metrics.base import Judgement, Rubric
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import fence, fence_transcript
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import Goal, Message


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
        conversation_id: str = "",
    ) -> dict[str, Judgement]:
        """A judgement for every rubric, by name. Raises SampleError if even one cannot be had."""
        if not rubrics:
            return {}

        def read(answer: dict[str, Any]) -> dict[str, Judgement]:
            if missing := rubrics.keys() - answer.keys():
                raise ValueError(f"no answer for {', '.join(sorted(missing))}")
            return {name: _read_judgement(rubric, answer[name]) for name, rubric in rubrics.items()}

        criteria = "\n".join(f"{name}: {rubric.criterion}" for name, rubric in rubrics.items())
        fields = {
            "goal": fence("goal", goal.text),
            "transcript": fence_transcript(messages),
            "criteria": fence("criteria", criteria),
        }
        request = json_request(CallRole.JUDGE, "judge", fields, settings=self.settings, conversation_id=conversation_id)
        return await ask_json(self.engine, self.model, request, read)

    async def aextract(self, messages: tuple[Message, ...], *, wanted: str, conversation_id: str = "") -> str:
        """What the assistant finally delivered, empty if nothing. Raises SampleError if that cannot be found out."""
        fields = {"transcript": fence_transcript(messages), "wanted": wanted}
        request = json_request(
            CallRole.JUDGE, "extract", fields, settings=self.settings, conversation_id=conversation_id
        )
        return await ask_json(self.engine, self.model, request, _read_artefact)


def _read_judgement(rubric: Rubric, answer: Any) -> Judgement:
    try:
        return rubric.read(answer)
    except ValueError:
        raise
    except Exception as error:  # a stranger's metric trips over the judge's form: the judge is to mend it
        raise ValueError(f"the form is wrong ({type(error).__name__}: {error})") from error


def _read_artefact(answer: dict[str, Any]) -> str:
    artefact = answer.get("artefact")
    if not isinstance(artefact, str):
        raise ValueError('"artefact" must be a string')
    return artefact
