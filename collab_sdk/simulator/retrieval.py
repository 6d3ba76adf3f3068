"""A user who says what the real one said in the most similar situation of the logs."""

import hashlib
import re
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from collab_sdk.concurrency import in_thread
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import InputError, MissingExtraError, SampleError, UsageError
from collab_sdk.farewells import is_farewell
from collab_sdk.logs import log_files, read_conversations
from collab_sdk.messages import Message
from collab_sdk.models.base import ChatModel
from collab_sdk.simulator.base import Situation, UserTurn, read_by_user
from collab_sdk.spec import ModelSettings
from collab_sdk.types import Conversation, End

if TYPE_CHECKING:
    import numpy as np

LOGS = "logs"
NEIGHBOURS = 25
"""Situations among which those are looked for that fit the goal."""
DRAWN_FROM = 5
"""Of these, the best by situation and goal together, of which one is drawn."""
FIRST_MESSAGES = 3
"""The user messages of a chat that say what its user wants, where its row has no goal."""
LONG_REPLY = 4
"""Words of a message that nobody says twice in one conversation; "yes, please" is said again and again."""
WORD = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+"
)
"""A run of letters or digits; in scripts without spaces, a character."""


class LoggedUser:
    """Real users' own messages, each where its situation is most like the present one.

    A situation is what the assistant said, counted twice, and what the user had said before, compared by TF-IDF. Of the
    `NEIGHBOURS` nearest, the five that fit best by situation and goal together are kept, and `sample` draws one of
    them; the goal of a logged chat is that of its row, or else its user's first messages. A conversation begins as
    the chat whose goal is nearest. The user leaves where the logged one left. Nothing comes from the chat that is being
    played, known by its id, or by user messages that no more than five chats begin with.

    `path` is anything that `read_conversations` reads. Raises UsageError where no user answers an assistant there,
    MissingExtraError without scikit-learn, InputError where it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        if find_spec("sklearn") is None:
            raise MissingExtraError.of("A user from the logs needs scikit-learn", "evaluate")
        self.path = str(path)
        self._logs = _read(self.path, _state_of(self.path))

    @property
    def name(self) -> str:
        return f"{LOGS}:{self.path}"

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        return {"user": LOGS, "contents": self._logs.digest}

    @property
    def model(self) -> ChatModel | None:
        return None

    @property
    def settings(self) -> ModelSettings | None:
        return None

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        """Raises SampleError where the logs hold nothing but the chat that is being played."""
        said: UserTurn | None = await in_thread(
            lambda: self._logs.reply(situation)
        )  # the first look-up makes the index
        if said is None:
            raise SampleError(f"{self.name} holds no other chat than the one that is played.")
        return said


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chat:
    """A logged chat, as far as it is a user's."""

    id: str
    wanted: str
    user_messages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Moment:
    """A place of a chat where it was the user's turn, and what came."""

    chat: int
    text: str
    reply: str
    leaves: bool


class _Logs:
    """The situations of some logs; the index is made by the first look-up, once a process."""

    def __init__(self, chats: Sequence[_Chat], moments: Sequence[_Moment], digest: str) -> None:
        self.digest = digest
        self._chats, self._moments = chats, moments
        self._lock = threading.Lock()
        self._index: _Index | None = None
        self._by_id: dict[str, list[int]] = defaultdict(list)
        self._by_beginning: dict[str, list[int]] = defaultdict(list)
        self._by_reply: dict[str, list[int]] = defaultdict(list)
        for place, chat in enumerate(chats):
            self._by_id[chat.id].append(place)
            self._by_beginning[chat.user_messages[0]].append(place)
        for place, moment in enumerate(moments):
            self._by_reply[_plain(moment.reply)].append(place)

    def reply(self, situation: Situation) -> UserTurn | None:
        """What is said there; None where there is nobody else to ask."""
        with self._lock:
            index = self._index = self._index or _Index(self._chats, self._moments)
        played = self._played(situation)
        random = Random(hashlib.sha256(situation.sample.encode("utf-8", "surrogatepass")).digest())  # noqa: S311
        fits = index.goals(situation.goal.text)
        groups = _groups(situation.messages)
        if not groups:
            return self._opening(fits, played, random)
        return self._answer(groups, index, fits, played, random)

    def _opening(self, fits: "np.ndarray[Any, Any]", played: set[int], random: Random) -> UserTurn | None:
        others = [place for place in range(len(self._chats)) if place not in played]
        if not others:
            return None
        best = max(fits[place] for place in others)
        chat = self._chats[random.choice([place for place in others if fits[place] >= best])]
        return UserTurn(message=chat.user_messages[0], written=True)

    def _answer(
        self,
        groups: Sequence[tuple[str, str]],
        index: "_Index",
        fits: "np.ndarray[Any, Any]",
        played: set[int],
        random: Random,
    ) -> UserTurn | None:
        import numpy as np

        before = [text for role, text in groups if role == "user"]
        said = groups[-1][1] if groups[-1][0] != "user" else ""
        near = index.situations(_situation(said, before[-1] if before else ""))
        is_out = np.isin(index.chat_of, list(played))
        for text in before:
            if len(_words(text)) >= LONG_REPLY:
                is_out[self._by_reply.get(_plain(text), [])] = True
        [others] = np.nonzero(~is_out)
        if not len(others):
            return None
        # Those that are as near as the last one count too: a canned answer stands in a thousand chats.
        least = np.sort(near[others])[-min(NEIGHBOURS, len(others))]
        neighbours = [int(place) for place in others if near[place] >= least]
        random.shuffle(neighbours)  # so that the file's order decides nothing
        neighbours.sort(key=lambda place: -round(near[place] + fits[self._moments[place].chat], 9))
        moment = self._moments[random.choice(neighbours[:DRAWN_FROM])]
        return UserTurn(message=moment.reply, end=End.USER_DONE if moment.leaves else None, written=True)

    def _played(self, situation: Situation) -> set[int]:
        """The chats that may be the one that is played: by id, or by what its user said before it was played."""
        given = tuple(text for role, text in _groups(situation.messages) if role == "user" and text)
        given = given[: max(0, len(given) - situation.turn)]
        named = situation.conversation_id
        by_id = [*self._by_id.get(named, ()), *self._by_id.get(named.partition("/")[2], ())]  # `TASK/ID`
        if not given:
            return set(by_id)
        same = [place for place in by_id if self._chats[place].user_messages[0] == given[0]]
        alike = self._by_beginning.get(given[0], [])
        if same:  # the chat is known, so that others that only begin as it does are other people
            wholes = {self._chats[place].user_messages for place in same}
            return {*by_id, *(place for place in alike if self._chats[place].user_messages in wholes)}
        alike = [place for place in alike if _agree(self._chats[place].user_messages, given)]
        # "Hi" begins so many chats that it tells nothing of which one it is.
        is_telling = len({self._chats[place].user_messages for place in alike}) <= DRAWN_FROM
        return {*by_id, *(alike if is_telling else ())}


class _Index:
    """TF-IDF of situations and of goals."""

    def __init__(self, chats: Sequence[_Chat], moments: Sequence[_Moment]) -> None:
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.chat_of = np.array([moment.chat for moment in moments])
        self._of_situations = TfidfVectorizer(analyzer=_words)
        self._situations = self._of_situations.fit_transform([moment.text for moment in moments])
        self._of_goals = TfidfVectorizer(analyzer=_words)
        self._goals = self._of_goals.fit_transform([chat.wanted for chat in chats])

    def situations(self, text: str) -> "np.ndarray[Any, Any]":
        """How near each is, from 0 to 1."""
        return _similar(self._of_situations, self._situations, text)

    def goals(self, text: str) -> "np.ndarray[Any, Any]":
        """How well each chat fits a goal, from 0 to 1."""
        return _similar(self._of_goals, self._goals, text)


def _similar(vectorizer: Any, matrix: Any, text: str) -> "np.ndarray[Any, Any]":
    found: np.ndarray[Any, Any] = (matrix @ vectorizer.transform([text]).T).toarray().ravel().round(9)
    return found


def _state_of(path: str) -> tuple[tuple[str, int, int], ...]:
    """Changes when the logs do."""
    files = [Path(file) for file in log_files([path])]
    states = ((str(file), file.stat()) for file in files)
    return tuple((name, state.st_mtime_ns, state.st_size) for name, state in states)


@lru_cache(maxsize=8)
def _read(path: str, state: tuple[tuple[str, int, int], ...]) -> _Logs:
    """The situations of the logs. What cannot be read is warned of, since the other rows will do."""
    unread: list[InputError] = []
    digest = hashlib.sha256()
    chats: list[_Chat] = []
    moments: list[_Moment] = []
    anybody = False
    for conversation in read_conversations([path], on_error=unread.append, unanswered=True):
        groups = _groups(conversation.messages)
        goal = conversation.goal.text if conversation.goal else ""
        digest.update(repr((conversation.id, goal, groups)).encode("utf-8", "surrogatepass"))
        said = tuple(text for role, text in groups if role == "user" and text)
        if not said:
            continue
        anybody = True
        found = list(_moments(len(chats), groups, conversation))
        digest.update(repr([each.leaves for each in found]).encode())
        if found:
            wanted = goal or "\n".join(said[:FIRST_MESSAGES])
            chats.append(_Chat(id=conversation.id, wanted=wanted, user_messages=said))
            moments += found
    if not any(moment.reply for moment in moments):
        first = f" First bad row: {unread[0]}" if unread else ""
        why = "no user answers an assistant" if anybody else "no user speaks"
        raise UsageError(f"{LOGS}:{path}: {why} in these logs, so they cannot play the user.{first}")
    if unread:
        warnings.warn(f"{LOGS}:{path}: {len(unread):,} bad rows are not used. First: {unread[0]}", stacklevel=2)
    return _Logs(chats, moments, digest.hexdigest()[:16])


def _moments(chat: int, groups: Sequence[tuple[str, str]], conversation: Conversation) -> Iterable[_Moment]:
    """Where the user had the word, and what they said; they leave with a goodbye, or without a word at the end."""
    for place, (role, said) in enumerate(groups):
        if role == "user":
            continue
        before = groups[place - 1][1] if place else ""
        text = _situation(said, before)
        if place + 1 < len(groups):
            reply, is_last = groups[place + 1][1], place + 2 == len(groups)
            # A chat that ends with the user may have been broken off, unless they took their leave.
            if reply:
                yield _Moment(chat=chat, text=text, reply=reply, leaves=is_last and is_farewell(reply))
        elif place and _is_known_to_end(conversation):
            yield _Moment(chat=chat, text=text, reply="", leaves=True)


def _is_known_to_end(conversation: Conversation) -> bool:
    turns = list(conversation.turns())
    return bool(turns) and turns[-1].followed is not None


def _groups(messages: Iterable[Message]) -> list[tuple[str, str]]:
    """Who spoke, and what could be read of it, side by side."""
    found = []
    for role, several in groupby(read_by_user(messages), key=lambda each: each.role):
        texts = (each.content.strip() for each in several)
        found.append((role, "\n\n".join(text for text in texts if text)))
    return found


def _situation(assistant: str, before: str) -> str:
    return f"{assistant}\n{assistant}\n{before}"


def _agree(chat: Sequence[str], given: Sequence[str]) -> bool:
    """Whether two chats' user messages are the same, as far as both go."""
    return all(one == other for one, other in zip(chat, given, strict=False))


def _words(text: str) -> list[str]:
    """In small letters; of a text without any, such as emoji, its characters."""
    return WORD.findall(text.casefold()) or [letter for letter in text if not letter.isspace()]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
