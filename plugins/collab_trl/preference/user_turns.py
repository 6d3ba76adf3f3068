"""What the users of logged chats say, as examples: each turn with all that its user knew, and that they leave."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from collab_sdk.errors import InputError
from collab_sdk.simulator import END_OF_CONVERSATION, flip_roles
from collab_sdk.training import NO_GOAL, UserChats, has_goal
from collab_sdk.types import Conversation
from collab_trl.preference.row_formats import Example, Repeat
from collab_trl.preference.tokens import Completion, Tokens

AS_TEXT = f"a message holds {END_OF_CONVERSATION}, with which a user leaves, as text"
NO_USER = "chats in which no user speaks"


class UserTurns:
    """The turns of the users in chats, each chat once, and the places of those without any, by problem.

    A user is asked, when the simulator plays them, with what `flip_roles` makes of goal and conversation. So each
    turn is learnt with that as its prompt.
    """

    def __init__(self, chats: UserChats, faults: dict[str, list[str]]) -> None:
        self._chats = chats
        self._faults = faults
        self._seen: dict[bytes, str] = {}
        """The first chat with such words."""
        self.conversations: set[str] = set()
        self.repeats: list[Repeat] = []
        for problem, places in chats.faults.items():
            faults.setdefault(problem, []).extend(places)

    def train(self) -> Iterator[Example]:
        """The turns of the chats in the logs."""
        return self._of(self._chats.train)

    def held_out(self) -> Iterator[Example]:
        """The turns of the chats in the file beside the logs that is held out."""
        return self._of(self._chats.held_out or ())

    def _of(self, chats: Iterable[Conversation]) -> Iterator[Example]:
        for chat in chats:
            try:
                turns = examples_of(chat)
            except InputError as error:
                self._faults.setdefault(error.problem, []).append(chat.id)
                continue
            self.conversations.add(chat.id)
            digest = hashlib.sha256("\0".join(turn.words for turn in turns).encode("utf-8", "surrogatepass")).digest()
            first = self._seen.setdefault(digest, chat.id)
            if first != chat.id:
                self.repeats.append(Repeat(where=chat.id, of=first, is_other=True))
                continue
            yield from turns


def examples_of(chat: Conversation) -> list[Example]:
    """Every turn of a chat's user, and that they leave, where it is known that they did. Raises InputError."""
    if all(message.role != "user" for message in chat.messages):
        raise InputError(NO_USER)
    if chat.goal is None or not has_goal(chat):
        raise InputError(NO_GOAL)
    changed = [message.to_dict() for message in flip_roles(chat.messages, chat.goal)]
    if any(END_OF_CONVERSATION in message["content"] for message in changed):
        raise InputError(AS_TEXT)
    if not _is_broken_off(chat):
        if changed[-1]["role"] == "assistant":
            changed[-1] = {**changed[-1], "content": f"{changed[-1]['content']}\n{END_OF_CONVERSATION}"}
        else:
            changed.append({"role": "assistant", "content": END_OF_CONVERSATION})
    places = [place for place, message in enumerate(changed) if message["role"] == "assistant"]
    said = tuple(message.content for message in chat.messages if message.role == "user")
    return [
        Example(
            where=f"{chat.id}, user turn {n}",
            conversation=chat.id,
            prompt=tuple(changed[:place]),
            chosen=(changed[place],),
            user=said,
        )
        for n, place in enumerate(places, start=1)
    ]


def leaves(example: Example) -> bool:
    """Whether the user leaves with this turn."""
    return str(example.chosen[-1]["content"]).endswith(END_OF_CONVERSATION)


def end_of(tokens: Tokens, decode: Callable[[list[int]], str]) -> Tokens:
    """A turn with which a user leaves, in which their leaving alone counts, and not what they say before it."""
    ids, learnt = tokens.chosen.ids, list(tokens.chosen.learnt)
    begin = next(place for place in reversed(range(len(ids))) if END_OF_CONVERSATION in decode(ids[place:]))
    learnt[:begin] = [0] * begin
    return replace(tokens, chosen=Completion(ids=ids, learnt=learnt))


def _is_broken_off(chat: Conversation) -> bool:
    """Whether the log ends in the middle of an answer, so that nobody knows what the user did next."""
    turns = list(chat.turns())
    return bool(turns) and turns[-1].followed is None
