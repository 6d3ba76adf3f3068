"""What formats share that keep a chat as a tree of messages: the way that was gone, and the other answers beside it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.blocks import MEDIA
from collab_sdk.logs.formats.conversation_row import Row, to_conversation, with_alternatives
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message, is_decision, link_tool_calls, unanswered_calls
from collab_sdk.types import Conversation

MOST = 100
"""Other answers to one message; a hostile tree could have one for each of its nodes."""

DANGLING = "chats whose last message is missing, read up to the last one that is there"
GONE = "chats whose beginning is missing, read from there on"
EDITED = "messages of the user's on other branches of a chat, left out with what follows them"
CUT_OFF = "other answers that were stopped at the call of a tool, left out"
UNREAD = "other answers that cannot be read, left out"
MORE = f"other answers beyond the first {MOST} to a message, left out"
UNUSED = "chats in which nobody has said anything, left out"
ORPHANS = "results of tools that nobody called, left out"

Reader = Callable[[str], Sequence[Message]]
Chain = tuple["Chain | None", str, Sequence[Message]]
"""A node that says something, with those above it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """What is read of a tree."""

    path: tuple[str, ...]
    """The nodes of the chat, from the first to the last."""
    messages: tuple[Message, ...]
    places: Mapping[str, range]
    """Which of the messages each node holds."""
    others: Mapping[int, Sequence[Sequence[Message]]]
    """Other responses, by the position of the message in whose place they begin."""

    def with_system(self, prompt: str) -> "Tree":
        """The same behind a system message."""
        others = {place + 1: found for place, found in self.others.items()}
        places = {name: range(place.start + 1, place.stop + 1) for name, place in self.places.items()}
        messages = (Message(role="system", content=prompt), *self.messages)
        return replace(self, messages=messages, places=places, others=others)

    def conversation(self, row: Row, *, untrained: Iterable[str] = ()) -> Conversation | None:
        """The chat, with whatever the row says about it, and the nodes that nothing is to be learnt from.

        None where nothing was said: exports have the chats that were opened and never used.
        """
        if not self.messages:
            note(UNUSED)
            return None
        places = {place for name in untrained for place in self.places[name]}
        return with_alternatives(to_conversation(row, self.messages, untrained=places), self.others)


def read_tree(parents: Mapping[str, Any], read: Reader, last: Any = None) -> Tree:
    """The chat that ends with the node `last`, in a tree given by the parent of every node; `read` tells what it says.

    Without `last`, or where that is missing, it is the last leaf. A parent that is missing is the end of the way up.
    Another answer is all that follows a sibling until the user speaks. Raises InputError for a cycle, and for a node
    of the chat that cannot be read.
    """
    path = _path(parents, last)
    said: list[Message] = []
    ends = []
    for name in path:
        try:
            said += read(name)
        except InputError as error:
            raise InputError(f"node {name}: {error.problem}") from None
        ends.append(len(said))
    messages, places = settled(link_tool_calls(said))
    at = [places[end] for end in (0, *ends)]
    held = {name: range(begin, end) for name, (begin, end) in zip(path, pairwise(at), strict=True)}
    others = _others(path, held, parents, read, messages)
    return Tree(path=path, messages=tuple(messages), places=held, others=others)


def settled(messages: Iterable[Message], before: Sequence[Message] = ()) -> tuple[list[Message], list[int]]:
    """Linked messages of a chat in which every result answers a call, and thoughts belong to what was said next.

    A call may have had several results: they are one. Returned with, for each number of messages that were given, how
    many are left. `before` are the messages of the same turn in front of them.
    """
    out: list[Message] = []
    more: defaultdict[int, list[str]] = defaultdict(list)
    places = [0]
    thoughts: list[str] = []
    waiting = {call.id for call in unanswered_calls(before)}
    for message in messages:
        if message.role == "user":
            waiting, thoughts = set(), []
        if message.role == "assistant":
            if not message.content.strip() and not message.tool_calls:
                thoughts += filter(None, [message.reasoning])
                places.append(len(out))
                continue
            if thoughts:
                message = replace(message, reasoning="\n".join(filter(None, [*thoughts, message.reasoning])))
                thoughts = []
            waiting |= {call.id for call in message.calls}
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                if out and out[-1].role == "tool":
                    more[_result_before(out, message.name)].append(message.content)
                else:
                    note(ORPHANS)
                places.append(len(out))
                continue
            waiting.remove(message.tool_call_id)
        out.append(message)
        places.append(len(out))
    for place, texts in more.items():
        out[place] = replace(out[place], content="\n".join(filter(None, [out[place].content, *texts])))
    return out, places


def with_files(messages: Sequence[Message], kinds: Sequence[str]) -> tuple[Message, ...]:
    """The messages of a user with a placeholder for each file that they came with: `image`, `file` or the like."""
    if not messages or messages[-1].role != "user":
        return tuple(messages)
    for kind in kinds:
        note(MEDIA.format(kind=kind))
    *before, last = messages
    marks = (f"[{kind}]" for kind in kinds)
    return (*before, replace(last, content="\n".join(filter(None, [last.content, *marks]))))


def _result_before(out: Sequence[Message], name: str | None) -> int:
    """Which of the results at the end another one of that tool goes on."""
    place = len(out) - 1
    while place >= 0 and out[place].role == "tool":
        if out[place].name == name:
            return place
        place -= 1
    return len(out) - 1


def _path(parents: Mapping[str, Any], last: Any) -> tuple[str, ...]:
    name = last if isinstance(last, str) and last in parents else None
    if name is None:
        if last:
            note(DANGLING)
        above = {parent for parent in parents.values() if isinstance(parent, str)}
        name = next((each for each in reversed(list(parents)) if each not in above), None)
    if name is None:
        if not parents:
            return ()
        raise InputError("the message tree is a cycle")
    way = {name: None}
    while isinstance(parent := parents[name], str):
        if parent in way:
            raise InputError(f"the message tree has a cycle at node {parent}")
        if parent not in parents:
            if parent.strip("0-48"):  # apps name what is above the first message by a UUID of zeros
                note(GONE)
            break
        way[parent] = None
        name = parent
    return tuple(reversed(way))


def _others(
    path: Sequence[str],
    held: Mapping[str, range],
    parents: Mapping[str, Any],
    read: Reader,
    messages: Sequence[Message],
) -> dict[int, list[Sequence[Message]]]:
    """What branches off at each node of the path, but for the last."""
    children: defaultdict[Any, list[str]] = defaultdict(list)
    for name, parent in parents.items():
        if isinstance(parent, str):
            children[parent].append(name)
    others: defaultdict[int, list[Sequence[Message]]] = defaultdict(list)
    taken: set[str] = set()
    counts: Counter[int] = Counter()
    begin = seen = 0
    for name, following in pairwise(path):
        place = held[name].stop
        while place < len(messages) and messages[place].role == "system":
            place += 1
        for position in range(seen, place):
            if messages[position].role == "user":
                taken |= {call.id for message in messages[begin:position] for call in message.calls}
                begin = position + 1
        seen = max(seen, place)
        for answer in _answers([child for child in children[name] if child != following], children, read):
            if counts[begin] == MOST:
                note(MORE)
                continue
            counts[begin] += 1
            if found := _answer(messages[begin:place], _unwound(answer), taken):
                others[place].append(found)
    return others


def _answers(names: Sequence[str], children: Mapping[Any, Sequence[str]], read: Reader) -> Iterator[Chain]:
    """What an assistant says from these nodes on, down to the user's next words or the end, on every way down."""
    open_nodes: list[tuple[str, Chain | None]] = [(name, None) for name in reversed(names)]
    given: set[str] = set()
    while open_nodes:
        node, chain = open_nodes.pop()
        try:
            said = read(node)
        except InputError:
            note(UNREAD)
            continue
        until = next((n for n, message in enumerate(said) if message.role == "user"), len(said))
        if until:
            chain = (chain, node, said[:until])
        below = children.get(node, ()) if until == len(said) else ()
        open_nodes += ((child, chain) for child in reversed(below))
        if below:
            continue
        if chain is None:
            if said:
                note(EDITED)
        elif chain[1] not in given:
            given.add(chain[1])
            yield chain


def _unwound(chain: Chain | None) -> list[Message]:
    found: list[Sequence[Message]] = []
    while chain:
        chain, _, said = chain
        found.append(said)
    return [message for said in reversed(found) for message in said if message.role != "system"]


def _answer(before: Sequence[Message], answer: Sequence[Message], taken: AbstractSet[str]) -> Sequence[Message]:
    """The answer as a continuation of what came before it in its turn; nothing where it is none."""
    linked = link_tool_calls((*before, *answer))[len(before) :]
    found, _ = settled(linked, before)
    if not any(map(is_decision, found)):
        return ()
    if unanswered_calls(found):
        note(CUT_OFF)
        return ()
    return _with_own_ids(found, taken)


def _with_own_ids(messages: Sequence[Message], taken: AbstractSet[str]) -> Sequence[Message]:
    """The messages with ids of calls that none of an earlier turn has."""
    own = {call.id for message in messages for call in message.calls}
    new: dict[str, str] = {}
    for id in own & taken:
        n = 2
        while f"{id}_{n}" in taken or f"{id}_{n}" in own:
            n += 1
        new[id] = f"{id}_{n}"
        own.add(new[id])
    if not new:
        return messages
    return [
        replace(
            message,
            tool_calls=tuple({**call, "id": new.get(call["id"], call["id"])} for call in message.tool_calls),
            tool_call_id=new.get(message.tool_call_id or "", message.tool_call_id),
        )
        for message in messages
    ]
