"""The persona of a real user, described by a model from what they typed."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from collab_sdk.concurrency import run_sync, sync_twins
from collab_sdk.engine.asking import ask_json, prompt_request
from collab_sdk.engine.engine import Engine, default_engine
from collab_sdk.errors import SampleError
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.form import Items, Number, Record, Text
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.personas import PERSONAS
from collab_sdk.prompts import fence, json_line, middle_out, prompts_digest
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import Conversation, Persona
from collab_sdk.version import __version__
from collab_sdk.words import vocabulary

MOST_TRAITS, MOST_PATIENCE = 4, 20
MOST_READ, MOST_OF_MESSAGE = 40, 600
"""The messages of a user that are read, and characters of each."""
QUOTED = 4
"""So many words in a row, as the user typed them, are a quotation."""
PERSONA_FORM = Record(
    fields={
        "traits": Items(item=Text(), at_most=MOST_TRAITS),
        "writes": Text(default=""),
        "forgets": Text(default=""),
        "patience": Number(high=MOST_PATIENCE),
    }
)
_WORD = re.compile(r"[\w'’]+")
_IDENTIFIER = re.compile(r"(?<!\S)\S*(?:\d|@|://)\S*")
_NAME = re.compile(r"(?<=[\w,;:)] )[A-Z][a-z]\w+")
"""A capital in the middle of a sentence."""
_EVERYDAY = vocabulary(text for each in PERSONAS.values() for text in (*each.traits, each.writes, each.forgets))
"""Words that a description cannot do without, and that people also type with a capital."""


@sync_twins
class PersonaReader:
    """Describes how the users of logged chats behave and write, and nothing of what they want or who they are.

    A description that quotes its user, or holds a name, number or address that they typed, is refused and asked for
    once more: of the matter itself a rule cannot tell, so the prompt alone forbids it.
    """

    def __init__(self, model: ModelLike, *, engine: Engine | None = None) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.settings = settings_for(self.model, ROLE_DEFAULTS["judge"])
        self.engine = engine or default_engine()

    @property
    def made_with(self) -> dict[str, Any]:
        """What decides a description, for the rows of `persona_row`."""
        known = self.model.fingerprint
        model = None if known is None else {**known, "settings": self.settings.sent()}
        return {"model": model, "prompts": prompts_digest(), "package": __version__}

    def read(self, conversation: Conversation) -> Persona:
        return run_sync(self.aread(conversation))

    async def aread(self, conversation: Conversation) -> Persona:
        """One call; the model sees what the user typed, and nothing of the assistant's.

        Raises SampleError if the user typed nothing, or the model fails or does not answer in the form asked for.
        """
        if not (typed := typed_by_user(conversation)):
            raise SampleError("The chat has no message of a user, so there is nobody to describe.")
        request = prompt_request(
            CallRole.GOAL,
            "persona",
            {"messages": fence("examples", "\n".join(map(json_line, typed)))},
            form=PERSONA_FORM,
            settings=self.settings,
            conversation_id=conversation.id,
        )
        name = f"user-{hashlib.sha256(conversation.id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        return await ask_json(self.engine, self.model, request, lambda answer: _read(answer, typed, name))


def typed_by_user(conversation: Conversation) -> list[str]:
    """What is read of a chat: what its user typed."""
    typed = [message.content for message in conversation.messages if message.role == "user"]
    return [middle_out(text, MOST_OF_MESSAGE)[0] for text in typed if text.strip()][:MOST_READ]


def _read(answer: Any, typed: Sequence[str], name: str) -> Persona:
    said = PERSONA_FORM.read(answer)
    persona = Persona(
        name=name,
        traits=tuple(filter(None, (trait.strip() for trait in said["traits"])))[:MOST_TRAITS],
        patience=round(said["patience"]) or None,
        writes=said["writes"].strip(),
        forgets=said["forgets"].strip(),
    )
    if not (persona.traits or persona.writes):
        raise ValueError('"traits" and "writes" are both empty')
    _check_private((*persona.traits, persona.writes, persona.forgets), typed)
    return persona


def _check_private(described: Iterable[str], typed: Sequence[str]) -> None:
    """Raise ValueError, which repeats nothing, where a description holds what would tell who its user is."""
    quotable = {run for text in typed for run in _runs(text)}
    names = {name for text in typed for name in _NAME.findall(text)}
    found = (*names, *(each for text in typed for each in _IDENTIFIER.findall(text)))
    telling = {word for each in found for word in _words(each) if len(word) > 2 or word.isdigit()} - _EVERYDAY
    for text in described:
        if quotable.intersection(_runs(text)):
            raise ValueError(f"{QUOTED} words in a row are the user's own: say it in other words")
        # "Will" and "will": an everyday word is a name only where both have it with a capital.
        if telling.intersection(_words(text)) or names.intersection(_NAME.findall(text)):
            raise ValueError("a name, number or address of the user's is in it: leave it out")


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _runs(text: str) -> list[tuple[str, ...]]:
    words = _words(text)
    return [tuple(words[place : place + QUOTED]) for place in range(len(words) - QUOTED + 1)]
