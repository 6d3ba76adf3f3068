"""The goal reader: what the user of a logged chat asked for, what the chat left open, what else might be wanted."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from collab_sdk.messages import Message
from collab_sdk.offline.facts import AS_WRITTEN, FILLER, RIVALS, Fact, parse_goal
from collab_sdk.offline.menus import Slot, slots
from collab_sdk.offline.questions import topic_of
from collab_sdk.offline.reading import CONFIRM, read_assistant
from collab_sdk.offline.voice import Voice
from collab_sdk.offline.wishes import SMALL_TALK, wishes
from collab_sdk.offline.words import Words, sentences, squash, tokens_of

LINES = 12
MOST_OPEN = 6
"""Points. More make no request that anybody has."""
VALUES = 2
"""Of a point, as the prompt asks for."""
BRIEF = 40
"""Words. In a longer reply to a request, what it holds is work and no choice made for the user."""
COMPLAINT = SMALL_TALK | frozenset(
    "again already another asked business cancel enough elsewhere ever forget get getting give giving going got help "
    "helpful incorrect keep leave leaving long meant mind mistake more never ordered place quit quite said somewhere "
    "sorry still stop take takes taking they time told too try up useless wanted waste what why will ll won work "
    "working wrong".split()
)
"""A clause of these words alone, said once the assistant has answered, asks for nothing: an objection, a farewell."""
CONTENT = frozenset(
    "amazing awesome brilliant cheers cool correct cute delightful exactly excellent fab fantastic fine good great "
    "happy ideal lovely nice ok okay perfect right splendid super superb sweet ta terrific thank thanks thx ty wicked "
    "wonderful wow yeah yep yes yum".split()
)
"""Words of somebody who takes what they got."""
DISCONTENT = frozenset(
    "another bad but cancel change don forget hopeless incorrect instead isn missing never no nope not rather should "
    "sorry still that'd useless wait why wrong".split()
)
SATISFIED = 8
"""Words. Who is content says little."""
CLAUSE = re.compile(r"\s*[,;.!?]\s+|\s+-\s+")
PART = re.compile(
    r"\s*[,;:.!?()+&|]\s*|\s+(?=(?:for|in|on|at|by|from|to)\s)|\b(?:with|and|plus|without)\b|(?<!\w)w/(?:o\b)?",
    re.IGNORECASE,
)
LABEL = re.compile(r"^[^,.;:!?]{1,30}:\s")
NOTHING = "no "
VERBS = frozenset(
    "will be been can could should would may might must do does did has was were let think hope need please am are "
    "were ready shortly soon moment minutes order ordered".split()
)
"""A sentence with one of these tells what happens, and not only what was chosen."""
EMPTY = FILLER | SMALL_TALK | frozenset("here's okay ok sure right up down coming booked confirmed".split())


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A transcript as the reader goes through it."""

    messages: Sequence[Message]

    @cached_property
    def said(self) -> Words:
        return Words("\n".join(message.content for message in self.messages if message.role == "user"))

    @cached_property
    def acts(self) -> list[str]:
        """The assistant's messages that did something."""
        replies = (message.content for message in self.messages if message.role == "assistant")
        return [text for text in replies if text and read_assistant(text).acts]

    @cached_property
    def offers(self) -> list[Slot]:
        """What could be chosen: by the system prompt, if it is about what this chat is about, and by questions."""
        spoken = Words("\n".join(message.content for message in self.messages if message.role != "system"))
        menu = [slot for message in self.messages if message.role == "system" for slot in slots(message.content)]
        if not any(_says(spoken, value, slot) for slot in menu for value in slot.values):
            menu = []
        return [*menu, *_offered(self.messages)]

    @property
    def asked(self) -> str:
        """What the assistant asked and got an answer to."""
        answered = False
        found: list[str] = []
        for message in reversed(self.messages):
            answered = answered or message.role == "user"
            if message.role == "assistant" and answered:
                found.append(read_assistant(message.content).questions)
        return "\n".join(found)

    @property
    def is_accepted(self) -> bool:
        """Whether the last thing the user did was to be content with what was done."""
        if not self.acts or self.messages[-1].role != "user":
            return False
        last = self.messages[-1]
        words = set(tokens_of(last.content))
        return bool(words & CONTENT) and not words & DISCONTENT and len(words) <= SATISFIED and "?" not in last.content


def read(transcript: Iterable[Message], *, voice: Voice) -> dict[str, Any]:
    """`goal`: one `request:` line, then `detail:` lines, at least one line whatever the chat; and what was left `open`.

    What is open, and what else could have been chosen, is known by the chat's own words: what the system prompt and the
    assistant offered, what the assistant filled in untold. Beside these stands what the rules know of a few topics.
    """
    chat = Chat(messages=tuple(transcript))
    lines = _asked_for(chat)
    open_slots = []
    for slot in _slots(chat):
        guessed = [value for value in slot.values if any(_says(Words(act), value, slot) for act in chat.acts)]
        if chat.is_accepted and (taken := _last_said(chat.acts[-1], slot)):
            lines.append(f"{slot.name}: {taken}")
        else:
            open_slots.append({"point": slot.name, "values": _drawn(slot, guessed, voice=voice)})
    return {"goal": "\n".join(lines), "open": open_slots[:MOST_OPEN]}


def _asked_for(chat: Chat) -> list[str]:
    texts = [message.content for message in chat.messages if message.role == "user"]
    first, *later = texts or [""]
    later = later[:-1] if chat.is_accepted else later
    told = [*wishes(first), *filter(None, (_without_complaints(wish) for text in later for wish in wishes(text)))]
    found = list(dict.fromkeys(told))[:LINES]
    if not found:
        found = [" ".join(text.split())[:300] for text in texts if text.strip()][:1] or ["help"]
    return [f"request: {found[0]}", *(f"{_name(wish, chat)}: {wish}" for wish in found[1:])]


def _name(wish: str, chat: Chat) -> str:
    """What a wish is about, where it is offered under a name or the assistant has said it back with one."""
    value = squash(wish)
    if any(value in group for group in RIVALS):
        return "detail"
    for slot in chat.offers:
        if value in map(squash, slot.values):
            return slot.name
    said = set(chat.said.tokens)
    for part in (part.split() for act in chat.acts for part in _parts(act, said)):
        if len(part) > 1 and squash(" ".join(part[:-1])) == value and not said.intersection(tokens_of(part[-1])):
            return part[-1]
    return "detail"


def _without_complaints(wish: str) -> str:
    clauses = [clause for clause in CLAUSE.split(wish) if not COMPLAINT.issuperset(tokens_of(clause))]
    return ", ".join(part for clause in clauses for part in (wishes(clause) or [clause]))


def _slots(chat: Chat) -> list[Slot]:
    """What the user had to choose and did not: nothing that they named, or answered a question about."""
    named = [slot for slot in chat.offers if any(_says(chat.said, value, slot) for value in slot.values)]
    found = [slot for slot in chat.offers if slot not in named]
    known = [*named, *found]
    filled = [slot for slot in _filled_in(chat) if not any(_overlap(slot, other) for other in known)]
    for topic in _topics(chat):
        if same := next((slot for slot in filled if _overlap(slot, topic)), None):
            filled[filled.index(same)] = _together(same, topic)
        elif not any(_overlap(topic, other) for other in known):
            found.append(topic)
    found += filled
    asked = set(tokens_of(chat.asked))
    return [slot for slot in found if asked.isdisjoint(set(tokens_of(slot.name)) - EMPTY)]


def _offered(messages: Iterable[Message]) -> Iterator[Slot]:
    """What the assistant offered where it asked."""
    for message in messages:
        if message.role == "assistant":
            yield from slots(read_assistant(message.content).questions)


def _overlap(one: Slot, other: Slot) -> bool:
    """Whether two slots are the same choice, as `milk` and `oat milk or soy milk` are."""
    if not {squash(value) for value in one.values}.isdisjoint(map(squash, other.values)):
        return True
    mine, theirs = (
        {word for text in (slot.name, *slot.values) for word in tokens_of(text)} - EMPTY for slot in (one, other)
    )
    return not mine.isdisjoint(theirs)


def _together(filled: Slot, topic: Slot) -> Slot:
    """What the assistant filled in, by the name and with the other values that the topic has."""
    values = [value for value in filled.values if not value.startswith(NOTHING)]
    return Slot(name=topic.name, values=tuple(dict.fromkeys((*values, *topic.values))))


def _topics(chat: Chat) -> Iterator[Slot]:
    text = "\n".join(message.content for message in chat.messages if message.role == "user")
    topic = topic_of(text)
    for question in topic.questions if topic else ():
        if not question.settled.search(f"{text}\n{chat.asked}"):
            yield Slot(name=question.point, values=question.values)


def _filled_in(chat: Chat) -> Iterator[Slot]:
    """What the assistant put into the user's request untold, with the other values that the chat or the rules know.

    A bot says orders back in one form, so that what stands at one place of two replies are values of one slot.
    """
    said = set(chat.said.tokens)
    replies = [parts for act in chat.acts if (parts := list(_parts(act, said)))]
    alike = len({len(parts) for parts in replies}) == 1
    places: dict[Any, list[list[str]]] = {}
    for parts in replies:
        for place, part in enumerate(parts):
            places.setdefault(place if alike else part.split()[-1], []).append(part.split())
    for phrases in places.values():
        if values := _untold(phrases, said):
            yield _slot_of(values)


def _untold(phrases: Sequence[Sequence[str]], said: set[str]) -> list[str]:
    """The words at one place of the assistant's replies in whose stead the user never said any."""
    known = said | EMPTY
    last = phrases[-1]
    columns = list(zip(*(each for each in phrases if len(each) == len(last)), strict=True))
    free = [n for n, column in enumerate(columns) if not any(known.issuperset(tokens_of(word)) for word in column)]
    if not free or (len(free) < len(columns) and free == [len(columns) - 1] and len(set(columns[-1])) == 1):
        return []  # `milk` alone is open where the user said which
    return list(dict.fromkeys(" ".join(row[n] for n in free) for row in zip(*columns, strict=True)))


def _slot_of(values: Sequence[str]) -> Slot:
    heads = {value.split()[-1] for value in values if " " in value}
    head = heads.pop() if len(heads) == 1 else ""
    rivals = [
        AS_WRITTEN[each] for value in values for group in RIVALS if squash(value) in group for each in sorted(group)
    ]
    others = [each for each in rivals if squash(each) not in map(squash, values)]
    if len(values) + len(others) < 2:  # nothing else is known
        others = [f"{NOTHING}{head or values[0]}"]
    return Slot(name=head or "detail", values=(*values, *others))


def _parts(act: str, said: set[str]) -> Iterator[str]:
    """The phrases of a short reply that says back what was asked for."""
    if len(act.split()) > BRIEF:
        return
    for sentence in sentences(act):
        words = set(tokens_of(sentence))
        if sentence.endswith("?") or CONFIRM.search(sentence) or words & VERBS or not words & (said - EMPTY):
            continue
        for part in PART.split(LABEL.sub("", sentence.lower())):
            kept = [word for word in part.split() if tokens_of(word)]
            while kept and set(tokens_of(kept[0])) <= EMPTY and squash(" ".join(kept)) not in AS_WRITTEN:
                kept = kept[1:]
            if kept:
                yield " ".join(kept)


def _says(words: Words, value: str, slot: Slot) -> bool:
    """Whether a value is named, if need be by the word that tells it from the other values: `oat` for `oat milk`."""
    if words.say(squash(value)):
        return True
    others = {word for other in slot.values if other != value for word in tokens_of(other)}
    own = [word for word in tokens_of(value) if word not in others | EMPTY]
    return len(tokens_of(value)) > 1 and bool(own) and all(map(words.say, own))


def _last_said(text: str, slot: Slot) -> str | None:
    words = Words(text)
    return next((value for value in slot.values if _says(words, value, slot)), None)


def _drawn(slot: Slot, guessed: Sequence[str], *, voice: Voice) -> list[str]:
    """As many values as are asked for, those first that the assistant did not guess in vain."""
    fresh = [value for value in slot.values if value not in guessed]
    drawn: list[str] = []
    for pool in (fresh, list(guessed)):
        while pool and len(drawn) < VALUES:
            value = voice.pick(pool)
            pool.remove(value)
            drawn.append(value)
    return drawn


def propose(goal: str, transcript: Iterable[Message], *, count: int, voice: Voice) -> list[str]:
    """Goals that differ from `goal` in what the user has not said: another value where one is known, or no wish."""
    messages = tuple(transcript)
    said = Words("\n".join(message.content for message in messages if message.role == "user"))
    offers = list(_offered(messages))
    facts = parse_goal(goal)
    proposed = ("\n".join(filter(None, (_redrawn(fact, said, offers, voice) for fact in facts))) for _ in range(count))
    return list(dict.fromkeys(text for text in proposed if text and text != goal))


def _redrawn(fact: Fact, said: Words, offers: Sequence[Slot], voice: Voice) -> str:
    if fact.said_in(said):
        return fact.line
    rivals = [AS_WRITTEN[rival] for rival in sorted(fact.rivals)]
    offered = [value for slot in offers if fact.values[0] in slot.values for value in slot.values]
    others = [*rivals, *offered, fact.values[0], *([] if offered else [""])]
    value = voice.pick(others)
    return f"{fact.key}: {value}" if fact.key and value else value
