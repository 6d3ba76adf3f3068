"""A user played by a model that writes as one: plain text, in a chat whose roles are flipped."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from collab_sdk.engine.engine import Engine, require_whole
from collab_sdk.errors import UsageError
from collab_sdk.messages import Ending, Message
from collab_sdk.models.base import CallRole, ChatModel, ChatReply, ChatRequest, settings_for
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import ABOUT_YOU, END_OF_CONVERSATION, load_prompt
from collab_sdk.simulator.base import SILENCE, Situation, UserTurn, read_by_user
from collab_sdk.spec import ROLE_DEFAULTS, ModelSettings
from collab_sdk.types import End, Goal, Persona

PLAIN = "plain"
LEAVES = re.compile(r"<\|?\s*end[\s_-]*(?:of[\s_-]*)?conversation\s*\|?>", re.IGNORECASE)
"""The end of a conversation as models spell it that write it in pieces."""
LEAST_OF_END = 3
"""Characters of an end that was broken off by which it is known."""
SIGN = re.compile(r"[^\w\s]")
NEXT_SPEAKER = re.compile(
    r"<\|(?:eot_id|eom_id|im_end|im_start|end|endoftext|end_of_text|start_header_id)\|>|</s>|<(?:end|start)_of_turn>"
)
"""Where a server does not stop: what follows is what the model thinks the assistant said."""
BEGINS = re.compile(r"<\|(?:im_start|start_header_id)|<start_of_turn")
"""Of these, the tokens before a speaker's name."""


def keep_roles(messages: Iterable[Message], goal: Goal) -> tuple[Message, ...]:
    """A conversation for a model whose chat template opens the user's turn: what it wants, then what was said."""
    return (_wish(goal), *_spoken(messages))


def flip_roles(messages: Iterable[Message], goal: Goal) -> tuple[Message, ...]:
    """A conversation as its user's model sees it, and is trained on it: what it wants, then what was said.

    The user's messages are the assistant's and the other way round; several of one side in a row are one message. Where
    the user begins, a line says so: many chat templates take no chat that the assistant opens, and none of a system
    message alone.
    """
    changed = [_wish(goal)]
    for message in _spoken(messages):
        role = "assistant" if message.role == "user" else "user"
        if len(changed) == 1 and role == "assistant":
            changed.append(_opening())
        if changed[-1].role == role:
            changed[-1] = Message(role=role, content=f"{changed[-1].content}\n\n{message.content}")
        else:
            changed.append(Message(role=role, content=message.content))
    return tuple(changed) if len(changed) > 1 else (*changed, _opening())


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """How models of one kind are asked to be the user."""

    settings: ModelSettings
    laid_out: Callable[[Iterable[Message], Goal], tuple[Message, ...]]
    other: str
    """The role of the bot's messages in its chat."""


FAMILIES: Mapping[re.Pattern[str], Family] = {
    # Its template opens the user's turn, and its card samples so: huggingface.co/microsoft/UserLM-8b
    re.compile(r"userlm-\d+b(?!.*@)", re.IGNORECASE): Family(
        settings=ModelSettings(temperature=1.0, top_p=0.8), laid_out=keep_roles, other="assistant"
    ),
}
"""By what is in the name of the model. An adapter was trained by whoever made it, and no longer of the family."""
OTHERS = Family(settings=ROLE_DEFAULTS["simulator"], laid_out=flip_roles, other="user")


def family_of(name: str) -> Family:
    """How the model of that name is asked."""
    return next((family for known, family in FAMILIES.items() if known.search(name)), OTHERS)


class PlainUser:
    """A chat model that is the user: its own messages are the assistant's of its chat, the bot's are the user's.

    It gets no instruction but what it wants and who it is, and answers with the message alone, or with nothing, or
    `end`, to leave. Models of a known family (see FAMILIES) are asked in that family's way. Raises UsageError for a
    setting `stop` that would hide the end.
    """

    def __init__(self, model: ModelLike, *, end: str = END_OF_CONVERSATION) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.family = family_of(self.model.name)
        self.settings = settings_for(self.model, self.family.settings)
        self.end = end
        if not end.strip():
            raise UsageError("The end of a conversation is empty: say what the user writes to leave.")
        if any(stop in end or end in stop for stop in self.settings.stop or ()):
            raise UsageError(
                f"stop may not hold {end}: a server leaves it out of the reply, and nobody sees that the user left."
            )

    @property
    def name(self) -> str:
        return f"{PLAIN}:{self.model.name}"

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        known = self.model.fingerprint
        return None if known is None else {"user": PLAIN, "end": self.end, **known}

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        """Raises SampleError if the model fails, or is cut off before it has said all or left."""
        messages = self.family.laid_out(situation.messages, situation.goal)
        if situation.messages and messages[-1].role not in (self.family.other, "system"):
            # A server would let the model go on with its own last message.
            messages = (*messages, Message(role=self.family.other, content=SILENCE))
        request = ChatRequest(
            role=CallRole.SIMULATOR,
            messages=messages,
            settings=self.settings,
            sample=situation.sample,
            conversation_id=situation.conversation_id,
            whole=False,
        )
        return self._read(await engine.call(self.model, request, accept=self._read))

    def _read(self, reply: ChatReply) -> UserTurn:
        """The message before the end, without it; nothing at all is a way to leave too.

        What follows once the next speaker begins is not the user's, an end neither.
        """
        said = reply.content
        end, other = self._end_in(said), _next_speaker_in(said)
        left = end is not None and (other is None or end <= other)
        if not left and other is None and (reply.ended is not Ending.EMPTY or reply.reasoning):
            require_whole(reply, self.name)
        message = said[: end if left else other].strip()
        return UserTurn(message=message, end=End.USER_DONE if left or not message else None)

    def _end_in(self, said: str) -> int | None:
        """Where the user leaves.

        An end that breaks off counts if no ordinary message ends like that: it begins with a sign, and has a letter.
        """
        spelled = (re.search(re.escape(self.end), said, re.IGNORECASE), LEAVES.search(said))
        if found := [each.start() for each in spelled if each is not None]:
            return min(found)
        rest = said.rstrip()
        for length in range(len(self.end) - 1, LEAST_OF_END - 1, -1):
            begun = self.end[:length]
            if rest.endswith(begun) and SIGN.match(begun) and any(map(str.isalnum, begun)):
                return len(rest) - length
        return None


def _next_speaker_in(said: str) -> int | None:
    """Where somebody else begins to speak, after what the user says; a reply may begin with the user's own header."""
    found = NEXT_SPEAKER.search(said)
    if found is None or (not said[: found.start()].strip() and BEGINS.match(found[0])):
        return None
    return found.start()


def _spoken(messages: Iterable[Message]) -> list[Message]:
    return [Message(role=each.role, content=each.content or SILENCE) for each in read_by_user(messages)]


def _wish(goal: Goal) -> Message:
    filled = load_prompt("plain").fill(goal=goal.text, persona=_described(goal.persona))
    return Message(role="system", content=filled.strip())


def _opening() -> Message:
    return Message(role="user", content=load_prompt("plain_opening").text)


def _described(persona: Persona | None) -> str:
    """Who the user is, a line for each thing that is known; the name where nothing else is."""
    if persona is None or persona.is_nobody:
        return ""
    known = {
        "Who you are": "; ".join(persona.traits),
        "How you write": persona.writes,
        "What you forget or mix up": persona.forgets,
        "Answers of no use after which you leave": "" if persona.patience is None else str(persona.patience),
    }
    lines = [f"{what}: {said}" for what, said in known.items() if said]
    return "\n".join([ABOUT_YOU, *(lines or [f"Who you are: {persona.name}"])])
