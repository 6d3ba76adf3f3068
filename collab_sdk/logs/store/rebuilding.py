"""The chat of a conversation, rebuilt from all its calls.

No call is the chat. A call is what a model was sent for one answer: the chat so far, its end, a summary of it, or
something else altogether, such as the prompt for a title. So each call's history is laid onto what is known by then:
where the two agree it goes on, where it says something else it branches off, and where it shares nothing it begins a
strand of its own. The chat is the strand with the most exchanges in it; what comes after it in the same voice, from
apps that send the last message alone, is joined to its end. All else is beside the chat.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby, takewhile
from typing import Any

from collab_sdk.logs.store.agreement import (
    Agreement,
    Spoken,
    agreement,
    call_ids,
    is_alike,
    is_step,
    is_summary,
    plain,
    quotes,
    says,
)
from collab_sdk.logs.store.templates import typed_between, unwrapped
from collab_sdk.logs.store.tree import StoredBody, StoredCall, Tree
from collab_sdk.logs.store.voices import Voices, is_errand, may_be_errand, without_summary

LOOKED_BACK = 40
"""How many messages from its end a history is looked for in what is known."""
AT_THE_END = 5
"""What it is worth that a history goes on from the latest answer: of what was said twice, the last is meant."""
MOST_SUMMARIES = 2
"""Messages that may stand for what was said before a window: a summary, and what the assistant says to it."""
SAME_VOICE = 0.5
"""What it is worth that a message was said under the same prompt, where little else tells."""
SAME = 8
"""How many messages that say the same are tried, the latest first."""


@dataclass(eq=False, slots=True)
class Node:
    """A message of the chat, on whichever branch."""

    parent: "Node | None"
    body: Mapping[str, Any]
    keys: set[bytes]
    children: list["Node"] = field(default_factory=list)
    given: list["Laid"] = field(default_factory=list)
    """The calls that gave it as a reply."""
    passed: int = 0
    """How many later histories have it before their end."""
    wrapped: str | None = None
    """How the model was sent it, in a template, where its plain wording came later."""
    touched: int = 0
    voices: set[int] = field(default_factory=set)
    """Those that had it in their history, or said it."""

    @property
    def role(self) -> str:
        return str(self.body.get("role"))

    def upward(self) -> Iterator["Node"]:
        """It and those above it, but for the root."""
        node: Node | None = self
        while node is not None and node.parent is not None:
            yield node
            node = node.parent


@dataclass(eq=False, slots=True)
class Laid:
    """A call, where it was laid."""

    call: StoredCall
    place: int
    voice: int
    tip: Node
    """The last message of its history."""
    replies: list[Node] = field(default_factory=list)
    placed: list[tuple[StoredBody, Node | None]] = field(default_factory=list)
    """Its history, system prompts included, and where each message was laid."""
    is_short: bool = False
    """Its history is less than what was said by then: a window, or a summary."""
    is_errand: bool = False
    """It ends with the assistant's own words, or asks for something about the chat: nobody's message."""

    @property
    def end(self) -> Node:
        return self.replies[0] if self.replies else self.tip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A chat, and what of its calls is no part of it."""

    messages: Sequence[Mapping[str, Any]] = ()
    alternatives: Mapping[int, Sequence[Sequence[Mapping[str, Any]]]] = field(default_factory=dict)
    """What else the assistant did in place of a message, by the place of that message."""
    partial: frozenset[int] = frozenset()
    """Places of replies that were broken off."""
    calls: Sequence[StoredCall] = ()
    """Those that the chat is made of."""
    side_calls: Sequence[StoredCall] = ()
    left_out: int = 0
    """Answers to the person, by a model, that are neither in the chat nor beside it."""
    begins_amid: bool = False
    """Whether it begins with answers that no call gave: what came before is in calls that nothing joins to it."""


def rebuild(tree: Tree) -> Rebuilt:
    """Raises InputError where the messages go in a circle."""
    known = _Known(tree)
    calls = list(_in_turn(tree))
    known.hear(calls)
    for call in calls:
        known.lay(call)
    return _Reading(known).rebuilt()


def _in_turn(tree: Tree) -> Iterator[StoredCall]:
    """The calls in order, none before the one whose answer it has in its history: clocks jump, and workers differ."""
    calls = sorted(tree.calls, key=lambda call: call.order if call.ended else (0.0, call.id))
    given: dict[Any, StoredCall] = {}
    saying: Counter[bytes] = Counter()
    for call in reversed(calls):
        if call.is_answered:
            owns = {tree.bodies[reply].own for reply in call.replies}
            given |= {key: call for own in owns for key in ((_asked(tree, _sent(tree, call)), own), own)}
            given |= {call.response: call} if call.response else {}
            saying.update(owns)

    def before(call: StoredCall) -> StoredCall | None:
        """The call that gave the last answer in a history; the person's message may have been sent in other words."""
        answered = _answered(tree, _sent(tree, call))
        if call.previous or answered is None:
            return given.get(call.previous)
        return given.get(answered) or (given.get(answered[1]) if saying[answered[1]] == 1 else None)

    told: set[int] = set()
    for call in calls:
        waiting = [call]
        while waiting:
            last = waiting[-1]
            giver = before(last)
            if giver is None or giver.id in told or giver in waiting:
                waiting.pop()
                if last.id not in told:
                    told.add(last.id)
                    yield last
            else:
                waiting.append(giver)


def _sent(tree: Tree, call: StoredCall) -> int | None:
    """The last message before the answer: of what was shown, or else of what the model was sent."""
    return tree.parents[call.shown] if call.shown is not None and not call.shown_is_turn else call.history


def _asked(tree: Tree, message: int | None) -> bytes | None:
    """What the user said last, from a message up."""
    return next((each.own for each in tree.upward(message) if each.body.get("role") == "user"), None)


def _answered(tree: Tree, message: int | None) -> tuple[bytes | None, bytes] | None:
    """What the assistant said last, from a message up, and what the user had said before that."""
    last = next((each for each in tree.upward(message) if each.body.get("role") == "assistant"), None)
    return None if last is None else (_asked(tree, last.id), last.own)


class _Known:
    """What is known of a conversation, call by call."""

    def __init__(self, tree: Tree) -> None:
        self.root = Node(parent=None, body={}, keys=set())
        self.laid: list[Laid] = []
        self.sides: list[StoredCall] = []
        self._tree = tree
        self._nodes: defaultdict[bytes, list[Node]] = defaultdict(list)
        self._by_message: dict[int, Node] = {}
        """Where a stored message was laid, and with it all above it."""
        self._by_response: dict[str, Laid] = {}
        self._voices = Voices()
        self._latest = self.root
        """The end of what was last answered."""
        self._short: set[int] = set()
        """Voices that are not always sent all that was said."""
        self._latest_of: dict[int, Node] = {}
        """The same of each voice."""
        self.last_alone: set[int] = set()
        """Voices that are sent the last message alone."""

    def hear(self, calls: Sequence[StoredCall]) -> None:
        """Learn which voices are sent the last message alone, whatever was said before."""
        asked: defaultdict[int, set[bytes]] = defaultdict(set)
        growing: set[int] = set()
        for call in calls:
            if call.is_side:
                continue
            history = self._tree.history(call)
            said = [each for each in history if each.is_said]
            voice = self._voices.of(history, call)
            asked[voice] |= {each.own for each in said if each.body.get("role") == "user"}
            if call.previous or call.is_added or sum(each.body.get("role") == "user" for each in said) > 1:
                growing.add(voice)
        self.last_alone = {voice for voice, messages in asked.items() if len(messages) > 1} - growing

    def lay(self, call: StoredCall) -> None:
        if call.is_side:
            self.sides.append(call)
            return
        history = self._tree.history(call)
        replies = [self._tree.bodies[reply] for reply in call.replies]
        voice = self._voices.of(history, call)
        if call.shown is not None:
            history, replies = self._shown(call, history, replies)
        laid = Laid(call, len(self.laid), voice, self.root)
        said = [each for each in history if each.is_said]
        before = self._before(call, said)
        if before is not None:
            self._add(laid, history, before)
        elif (called := self._calling(said, voice)) is not None:
            self._add(laid, history, called[1], since=called[0])
            laid.is_short = True
        elif not self._is_known(laid, history):
            self._join(laid, history, _ordered(said))
        for reply in replies if call.is_answered else ():
            self._reply(laid, reply)
        laid.is_errand = self._is_about_itself(laid, said)
        self._note(laid)

    def _note(self, laid: Laid) -> None:
        self.laid.append(laid)
        if laid.is_short:
            self._short.add(laid.voice)
        for node in laid.tip.upward():
            if node.touched == laid.place + 1:
                break
            node.touched = laid.place + 1
            node.passed += 1
            node.voices.add(laid.voice)
        for reply in laid.replies:
            reply.touched = laid.place + 1
            reply.voices.add(laid.voice)
        if laid.call.response:
            self._by_response[laid.call.response] = laid
        if laid.call.is_answered and not laid.is_errand:
            self._latest = self._latest_of[laid.voice] = laid.end

    def _shown(
        self, call: StoredCall, history: list[StoredBody], replies: list[StoredBody]
    ) -> tuple[list[StoredBody], list[StoredBody]]:
        """What the app's own run says in place of what the model was sent, with the steps that the model took."""
        shown = self._tree.path(call.shown)
        *before, answer = shown
        systems = [each for each in history if not each.is_said]
        if call.shown_is_turn:
            said = [each for each in history if each.is_said]
            asked = next((place for place in reversed(range(len(said))) if said[place].body["role"] == "user"), -1)
            before += [each for each in said[asked + 1 :] if asked >= 0]
        others = replies[1:] if replies and replies[0].own == answer.own else []
        return [*systems[:1], *before], [answer, *others]

    def _before(self, call: StoredCall, said: Sequence[StoredBody]) -> Node | None:
        """Where the history is that the server holds, or the app's own run leaves out."""
        if call.previous is not None:
            laid = self._by_response.get(call.previous)
            if laid is not None and laid.call.response == call.response:  # the same response, fetched once more
                return laid.tip
            return laid.end if laid else self._latest
        if not _is_next(call):
            return None
        told = (laid for laid in reversed(self.laid) if _is_next(laid.call) or laid.call.shown is not None)
        answered = (laid.end for laid in told if laid.call.is_answered)
        latest = next(answered, self.root)
        begun = latest  # an attempt that broke off is no end of a turn
        while begun.parent is not None and begun.given and not _is_finished(begun):
            begun = begun.parent
        is_begun = begun is not latest and begun.parent is not None and said and said[0].own in begun.keys
        return begun.parent if is_begun else latest

    def _calling(self, said: Sequence[StoredBody], voice: int) -> tuple[int, Node] | None:
        """Where the first result of a tool goes whose call the history has not, and its place: a window begins there.

        What stands before it is a summary.
        """
        place = next((n for n, each in enumerate(said) if is_step(each.body)), len(said))
        if place > MOST_SUMMARIES or place == len(said) or said[place].body.get("role") != "tool":
            return None
        id = said[place].body.get("tool_call_id")
        ends = [self._latest_of.get(voice, self.root), *self._latest_of.values()]
        calling = next((end for end in ends if id and str(id) in call_ids(end.body)), None)
        if calling is not None:
            return place, calling
        for node in ends[0].upward():
            is_same = node.role == "tool" and node.body.get("tool_call_id") == id
            if is_same and node.parent is not None and said[place].own in node.keys:
                return place, node.parent
        return None

    def _add(self, laid: Laid, history: Sequence[StoredBody], before: Node, *, since: int = 0) -> None:
        """Lay a history below a message, `since` one of those that were said."""
        node, place = before, -1
        for each in history:
            place += each.is_said
            is_added = each.is_said and place >= since
            node = self._below(node, each) if is_added else node
            laid.placed.append((each, node if is_added else None))
        laid.tip = node

    def _is_known(self, laid: Laid, history: Sequence[StoredBody]) -> bool:
        """Whether the beginning was laid before, to the letter: only what follows is new then."""
        known = next((n for n in range(len(history), 0, -1) if history[n - 1].id in self._by_message), 0)
        if not known or any(each.body.get("role") == "assistant" for each in history[known:]):
            return False
        node = self._by_message[history[known - 1].id]
        if node is not self._latest_of.get(laid.voice):  # what was said twice may be meant elsewhere
            return False
        for each in history[:known]:
            laid.placed.append((each, self._by_message.get(each.id) if each.is_said else None))
        for each in history[known:]:
            node = self._below(node, each) if each.is_said else node
            self._by_message[each.id] = node
            laid.placed.append((each, node if each.is_said else None))
        laid.tip = node
        return True

    def _join(self, laid: Laid, history: Sequence[StoredBody], said: Sequence[StoredBody]) -> None:
        """Lay a history where it agrees best with what is known."""
        spoken = [Spoken(each.own, each.body) for each in said]
        place, found, seen = self._best(spoken, laid.voice)
        if len(said) == 1 and self._is_said_again(laid, found):
            place, found, seen = 0, self._new(self.root, said[0]), None
        nodes: dict[int, Node] = {}
        if seen is not None:
            for edited, node in seen.edits:
                if isinstance(node, Node):
                    _take_edit(node, spoken[edited])
            for number, node in _matched(spoken, place, found):
                nodes[said[number].id] = node
        first = place + 1
        while seen is None and first < len(said) - 1 and (is_summary(said[first].body) or _is_assent(said, first)):
            first += 1
        node = found
        for each in said[first:]:
            node = self._below(node, each)
            nodes[each.id] = node
        laid.tip = node
        laid.placed = [(each, nodes.get(each.id)) for each in history]
        laid.is_short = (
            bool(seen and (seen.above or seen.left))
            or (seen is None and first > place + 1)
            or any(is_summary(each.body) for each in history[:2] if not each.is_said)
        )
        if seen is None or seen.is_whole:
            above = self.root
            for each in history:
                above = nodes.get(each.id, above) if each.is_said else above
                self._by_message.setdefault(each.id, above)

    def _is_said_again(self, laid: Laid, found: Node) -> bool:
        """Whether a message that comes alone, and is known, is said once more, to an app that sends the last only.

        Another voice that is sent it, or another attempt at an answer that was broken off, means the same message.
        """
        last = next((each for each in reversed(self.laid) if each.end is self._latest), None)
        if laid.voice not in self.last_alone or last is None:
            return False
        if laid.call.status != "ok" and any(map(_is_finished, found.children)):
            return False
        if found.parent is self.root and self._latest.parent is not found:
            return True
        return last.voice == laid.voice and last.call.status == "ok" and last.call.ended <= laid.call.started

    def _best(self, said: Sequence[Spoken], voice: int) -> tuple[int, Node, Agreement | None]:
        """The last message of a history that is known, where it is, and how far the two agree."""
        ends = {*_ends(self._latest), *_ends(self._latest_of.get(voice, self.root))}
        best: tuple[int, Node, Agreement | None] = (-1, self.root, None)
        worth = 0.0
        for place in range(len(said) - 1, max(-1, len(said) - 1 - LOOKED_BACK), -1):
            unseen = sum(each.body.get("role") == "assistant" for each in said[place + 1 :])
            nodes = sorted(self._nodes.get(said[place].own, ()), key=lambda node: node.touched, reverse=True)
            for node in nodes[:SAME]:
                seen = agreement(said[: place + 1], node.upward())
                reworked = int(
                    bool(unseen) and any(is_alike(said[place + 1].body, each.body) for each in node.children)
                )
                value = _worth(seen, unseen - reworked, said, node, is_end=node in ends)
                value -= AT_THE_END if seen.above and node in ends and voice not in self._short else 0
                value += SAME_VOICE if value and voice in node.voices else 0
                if value > worth:
                    best, worth = (place, node, seen), value
            if best[2] is not None and best[1] in ends and not best[2].left and not unseen:
                break
        return best if best[2] is not None else self._reworked_end(said, voice)

    def _reworked_end(self, said: Sequence[Spoken], voice: int) -> tuple[int, Node, Agreement | None]:
        """The last answer, if it is all that a history holds of the chat, as the app reworked it."""
        end = self._latest_of.get(voice, self.root)
        place = next((n for n in reversed(range(len(said))) if said[n].body.get("role") == "assistant"), -1)
        if place >= 0 and end.parent is not None and is_alike(said[place].body, end.body):
            seen = agreement(said[: place + 1], end.upward())
            if seen.left <= MOST_SUMMARIES:
                return place, end, seen
        return -1, self.root, None

    def _below(self, parent: Node, message: StoredBody) -> Node:
        """The message below another: the node that is there already, as it is or as the app reworked it."""
        for child in parent.children:
            if message.own in child.keys:
                return child
        if message.body.get("role") == "assistant":
            given = [child for child in parent.children if child.given and not child.passed]
            alike = [child for child in given if is_alike(message.body, child.body)]
            if alike:
                child = max(alike, key=_is_finished)
                _take_edit(child, Spoken(message.own, message.body))
                self._nodes[message.own].append(child)
                return child
        return self._new(parent, message)

    def _new(self, parent: Node, message: StoredBody) -> Node:
        node = Node(parent=parent, body=message.body, keys={message.own})
        parent.children.append(node)
        self._nodes[message.own].append(node)
        return node

    def _reply(self, laid: Laid, reply: StoredBody) -> None:
        known = next((child for child in laid.tip.children if reply.own in child.keys), None)
        node = known or self._reworked(laid.tip, reply) or self._new(laid.tip, reply)
        node.given.append(laid)
        laid.replies.append(node)
        self._by_message.setdefault(reply.id, node)

    def _reworked(self, tip: Node, reply: StoredBody) -> Node | None:
        """What a history that was laid earlier has in place of the reply: calls may be recorded late."""
        for node in tip.children:
            if not node.given and is_alike(reply.body, node.body):
                node.keys.add(reply.own)
                self._nodes[reply.own].append(node)
                node.body = reply.body if _is_cut(plain(reply.body), plain(node.body)) else node.body
                return node
        return None

    def _is_about_itself(self, laid: Laid, said: Sequence[StoredBody]) -> bool:
        if laid.call.source == "import" or laid.call.shown is not None or not said:
            return False
        last = said[-1].body
        if last.get("role") == "assistant" and not last.get("tool_calls"):
            tip = laid.tip
            return not any(giver.call.status == "partial" or _is_cut_off(giver.call) for giver in tip.given)
        return False


def _ordered(said: Sequence[StoredBody]) -> list[StoredBody]:
    """The messages, results of tools in the order of their calls: tools that run at once end in any order."""
    ordered: list[StoredBody] = []
    calls: list[str] = []
    for is_result, group in groupby(said, key=lambda each: each.body.get("role") == "tool"):
        messages = list(group)
        if is_result:
            ids = [str(each.body.get("tool_call_id")) for each in messages]
            known = {id: number for number, id in enumerate(calls)}
            messages = [
                each for _, each in sorted(zip(ids, messages, strict=True), key=lambda one: known.get(one[0], 0))
            ]
        elif messages[-1].body.get("tool_calls"):
            calls = call_ids(messages[-1].body)
        ordered += messages
    return ordered


def _matched(said: Sequence[Spoken], place: int, node: Node) -> Iterator[tuple[int, Node]]:
    """The messages of a history up to `place` with the nodes that they are."""
    for known in node.upward():
        if place < 0:
            return
        if said[place].own in known.keys:
            yield place, known
            place -= 1
        elif is_step(known.body):
            continue
        elif said[place].body.get("role") != known.role:
            return


def _worth(seen: Agreement, unseen: int, said: Sequence[Spoken], node: Node, *, is_end: bool) -> float:
    """How good an agreement is; 0 for none.

    Where a window begins, what stands before it must be a summary, and be short. One message alone is no agreement in
    the middle of a chat: people say "yes" more than once.
    """
    if seen.left > MOST_SUMMARIES and seen.matched + len(seen.edits) <= seen.left:
        return 0
    if seen.matched == 1 and not seen.is_whole and node.role == "user" and (len(said) == 1 or seen.left):
        return 0
    if seen.left and not is_end and seen.matched - seen.steps < 2 and not is_summary(said[0].body):
        return 0
    value = 2.0 * seen.matched - 0.5 * len(seen.edits) - 3 * seen.left - 2 * unseen
    value = max(value + (2 if seen.is_whole else 0), 0.1) if seen.matched else 0
    return value + AT_THE_END if value and is_end else value


def _take_edit(node: Node, said: Spoken) -> None:
    """Let a node say what a later history says in its place.

    Of the person's own message that is the plain wording, of an answer what the app showed, unless it was only cut.
    """
    node.keys.add(said.own)
    before, now = plain(node.body), plain(said.body)
    if node.role == "user":
        if says(before, now):
            node.wrapped, node.body = before, said.body
        elif not says(now, before):
            node.body = said.body
    elif node.role == "assistant" and not _is_cut(before, now):
        node.body = said.body


def _is_cut(text: str, cut: str) -> bool:
    """Whether it is the beginning of the text."""
    return text.startswith(cut.rstrip(" .…[]()").removesuffix("truncated").rstrip())


def _ends(latest: Node) -> Iterator[Node]:
    """Where a chat may go on: from its last answer, and if that broke off, from the one before."""
    for node in latest.upward():
        if node.role == "assistant" and (node is latest or not is_step(node.body)):
            yield node
            if not node.given or _is_finished(node):
                return


def _is_next(call: StoredCall) -> bool:
    """Whether what it says comes next in the chat, without the history."""
    return call.is_added or (call.shown is not None and call.shown_is_turn)


def _is_assent(said: Sequence[StoredBody], place: int) -> bool:
    """Whether it is what an app lets the assistant say to a summary."""
    return place > 0 and said[place].body.get("role") == "assistant" and is_summary(said[place - 1].body)


def _is_cut_off(call: StoredCall) -> bool:
    return '"finish_reason":"length"' in call.details.replace(" ", "")


@dataclass(eq=False)
class _Strand:
    """Calls that share what was said, from one first message on."""

    first: Node
    calls: list[Laid]
    end: Laid
    """The last answer that the person got."""
    path: list[Node]
    voice: int

    @cached_property
    def deeds(self) -> str:
        """Its calls of tools and their results, on all branches."""
        nodes = dict.fromkeys(node for laid in self.calls for node in (*laid.replies, laid.tip))
        results = [above for node in nodes for above in takewhile(lambda each: each.role == "tool", node.upward())]
        made = [str(node.body["tool_calls"]) for node in nodes if node.body.get("tool_calls")]
        return "\n".join([*made, *map(plain, (node.body for node in results))])

    @property
    def begin(self) -> int:
        return self.calls[0].place

    @property
    def exchanges(self) -> int:
        return sum(node.role == "user" for node in self.path)


class _Reading:
    """Which of what is known is the chat."""

    def __init__(self, known: _Known) -> None:
        self._known = known
        self._laid = [laid for laid in known.laid if laid.call.is_answered]
        self._confirmed = {
            laid.voice for laid in self._laid if any(_is_gone_on_from(reply) for reply in laid.replies)
        } | {laid.voice for laid in self._laid if laid.call.shown is not None}
        self._shows = any(laid.call.shown is not None for laid in self._laid)
        """Whether the app's own run says what was shown: of answers that it got whole, the others were not."""
        self._errands = self._repeated_errands()

    def rebuilt(self) -> Rebuilt:
        strands = self._strands()
        if not strands:
            return self._unanswered()
        chat = self._chat(strands)
        path = self._with_unanswered([node for strand in chat for node in strand.path])
        _unwrap(path)
        return self._told(chat, path)

    def _strands(self) -> list[_Strand]:
        groups: dict[Node, list[Laid]] = {}
        for laid in self._laid:
            groups.setdefault(_first(laid.end), []).append(laid)
        strands = []
        for first, calls in groups.items():
            end = self._end(calls)
            if end is not None:
                path = list(end.end.upward())[::-1]
                strands.append(_Strand(first, calls, end, path, end.voice))
        return strands

    def _end(self, calls: Sequence[Laid]) -> Laid | None:
        """The call that gave the last answer of a strand; of errands, there is none."""
        answers = [laid for laid in calls if laid.replies and self._may_be_answer(laid)]
        gone_on = {node for laid in answers for node in laid.tip.upward()}
        last = max((laid for laid in answers if gone_on.isdisjoint(laid.replies)), key=_place, default=None)
        while last is not None:
            end = max((laid for laid in answers if laid.tip is last.tip), key=partial(self._credit, latest=last))
            further = [laid for laid in answers if not set(end.replies).isdisjoint(laid.tip.upward())]
            if not further:
                return end
            last = max(further, key=_place)
        return None

    def _credit(self, laid: Laid, *, latest: Laid) -> tuple[Any, ...]:
        """Of answers to one message, the one that the chat went on from, by the voice that speaks in it, the last."""
        return (
            any(_is_gone_on_from(reply) for reply in laid.replies) and laid.voice in self._confirmed,
            laid.call.shown is not None,
            laid.voice in self._confirmed,
            laid.call.status == "ok",
            laid.voice == latest.voice or not self._known._voices.is_errand(laid.voice),
            len(plain(laid.end.body)) if len({laid.voice, latest.voice}) > 1 else 0,
            laid.place,
        )

    def _may_be_answer(self, laid: Laid) -> bool:
        """Whether a reply may be one that the person saw."""
        if laid.is_errand or laid in self._errands:
            return False
        if any(_is_gone_on_from(reply) for reply in laid.replies) or laid.call.shown is not None:
            return True
        if self._shows and laid.call.status == "ok" and not is_step(laid.end.body):
            return False
        if not self._confirmed or laid.voice in self._confirmed:
            return not (self._stands_alone(laid) and self._differs(laid) and may_be_errand(plain(laid.tip.body)))
        return not self._asks_about_chat(laid) and not self._is_beside_another(laid)

    def _stands_alone(self, laid: Laid) -> bool:
        return laid.tip.role == "user" and laid.tip.passed <= 1

    def _differs(self, laid: Laid) -> bool:
        """Whether it is not made as most calls of the conversation are."""
        usual = Counter(_manner(other) for other in self._laid).most_common(1)[0][0]
        return _manner(laid) != usual

    def _asks_about_chat(self, laid: Laid) -> bool:
        return laid.tip.role == "user" and is_errand(plain(laid.tip.body))

    def _is_beside_another(self, laid: Laid) -> bool:
        """Whether a voice that is known to be the chat's answers the same message."""
        return any(
            giver.voice in self._confirmed for child in laid.tip.children for giver in child.given if giver is not laid
        )

    def _repeated_errands(self) -> set[Laid]:
        """Calls whose last message comes again and again, and leads nowhere: the app's own, not the person's."""
        asked: defaultdict[str, list[Laid]] = defaultdict(list)
        for laid in self._laid:
            if laid.tip.role == "user" and laid.tip.parent is not self._known.root:
                asked[plain(laid.tip.body)].append(laid)
        return {
            laid
            for text, calls in asked.items()
            if len({laid.tip for laid in calls}) > 1 and len(text.split()) > 3
            if not any(_is_gone_on_from(reply) for laid in calls for reply in laid.replies)
            for laid in calls
        }

    def _chat(self, strands: list[_Strand]) -> list[_Strand]:
        """The strands that make the chat, in order."""
        chains: list[list[_Strand]] = []
        for strand in sorted(strands, key=lambda strand: strand.begin):
            fitting = [chain for chain in chains if self._goes_on(chain, strand)]
            if fitting:
                max(fitting, key=lambda chain: sum(part.exchanges for part in chain)).append(strand)
            else:
                chains.append([strand])
        return max(chains, key=lambda chain: self._rank(chain, chains))

    def _goes_on(self, chain: Sequence[_Strand], strand: _Strand) -> bool:
        """Whether a strand that shares nothing with a chain comes after it: the same voice, once the chain is over.

        A voice that is always sent all that was said is in another chat, where it is not.
        """
        last = chain[-1]
        if _retells(chain, strand):
            return strand.voice == last.voice
        is_short = any(laid.is_short for part in (*chain, strand) for laid in part.calls)
        return (
            (is_short or strand.voice in self._known.last_alone)
            and not any(map(_tells_all, strand.calls))
            and (strand.end.call.shown is None) == (last.end.call.shown is None)
            and strand.begin > max(laid.place for laid in last.calls)
            and (strand.voice == last.voice or self._may_take_turns(chain, strand))
            and _model(strand.end) == _model(last.end)
            and not any(is_errand(plain(each.path[0].body)) for each in (strand, last))
            and not _quotes_strand(strand, last)
            and not _quotes_strand(last, strand)
        )

    def _may_take_turns(self, chain: Sequence[_Strand], strand: _Strand) -> bool:
        """Whether two voices may speak in one chat: each in some of it, and neither for the other."""
        if not {strand.voice, chain[-1].voice} <= self._confirmed:
            return False
        return not any(_is_about(strand, part) or _is_about(part, strand) for part in chain)

    def _rank(self, chain: Sequence[_Strand], chains: Sequence[Sequence[_Strand]]) -> tuple[Any, ...]:
        exchanges = sum(strand.exchanges for strand in chain)
        others = [strand for other in chains if other is not chain for strand in other]
        about = sum(any(_is_about(strand, other) for other in others) for strand in chain)
        return (
            any(strand.end.call.shown is not None for strand in chain),
            any(_is_talked_on(strand) for strand in chain),
            not any(is_errand(plain(strand.path[0].body)) for strand in chain),
            2 * about <= len(chain),
            exchanges,
            sum(_is_gone_on_from(reply) for strand in chain for laid in strand.calls for reply in laid.replies),
            not self._known._voices.is_errand(chain[-1].voice),
            chain[-1].end.place,
        )

    def _with_unanswered(self, path: list[Node]) -> list[Node]:
        """With what the person said last, and got no answer to."""
        for laid in reversed(self._known.laid):
            if laid.call.is_answered or laid.is_errand:
                continue
            further = list(laid.tip.upward())[::-1]
            if path[-1] in further and self._is_said(laid):
                return path + further[further.index(path[-1]) + 1 :]
        return path

    def _is_said(self, laid: Laid) -> bool:
        return not self._confirmed or laid.voice in self._confirmed or not self._asks_about_chat(laid)

    def _unanswered(self) -> Rebuilt:
        last = next((laid for laid in reversed(self._known.laid) if not laid.call.is_answered), None)
        path = [] if last is None else list(last.tip.upward())[::-1]
        sides = [*self._known.sides, *(laid.call for laid in self._laid)]
        return Rebuilt(messages=[node.body for node in path], calls=[last.call] if last else [], side_calls=sides)

    def _told(self, chat: Sequence[_Strand], path: list[Node]) -> Rebuilt:
        on_path = set(path)
        voices = {giver.voice for node in path for giver in node.given} & (self._confirmed or {chat[-1].end.voice})
        voices.add(chat[-1].end.voice)
        prompts = {each.own for each, _ in chat[0].calls[0].placed if not each.is_said}
        messages, places = _with_system(chat[-1].end, path, prompts)
        others: dict[int, list[list[Mapping[str, Any]]]] = {}
        counted: set[Laid] = set()
        for node, place in zip(path, places, strict=True):
            if node.role == "assistant" and node.parent is not None:
                found = [
                    each
                    for each in node.parent.children
                    if each is not node and each.role == "assistant" and self._is_other(each, voices)
                ]
                if found:
                    others[place] = [[step.body for step in _branch(each)] for each in sorted(found, key=_given_at)]
                counted |= {giver for each in found for giver in each.given}
        used = [laid for laid in self._known.laid if laid.end in on_path]
        off = [laid for laid in self._laid if laid not in set(used) and laid not in counted and laid.replies]
        left = [laid for laid in off if self._is_left(laid, chat, voices)]
        sides = [laid.call for laid in off if laid not in set(left)]
        return Rebuilt(
            messages=messages,
            alternatives=others,
            partial=frozenset(
                place for node, place in zip(path, places, strict=True) if node.given and not _is_finished(node)
            ),
            calls=[laid.call for laid in used],
            side_calls=sorted([*self._known.sides, *sides], key=lambda call: call.order),
            begins_amid=self._begins_amid(path),
            left_out=len({laid.tip for laid in left if laid.tip not in on_path}),
        )

    def _begins_amid(self, path: Sequence[Node]) -> bool:
        """Whether something was said before the first answer that a call gave; a greeting is no answer."""
        if any(laid.call.source == "import" or laid.call.shown is not None for laid in self._laid):
            return False
        before = list(takewhile(lambda node: not node.given, path))
        return len(before) < len(path) and any(
            is_step(node.body) or (node.role == "assistant" and any(each.role == "user" for each in before[:place]))
            for place, node in enumerate(before)
        )

    def _is_other(self, node: Node, voices: set[int]) -> bool:
        """Whether a message is another response to the history of the one on the path, and was not broken off."""
        if not node.given:
            return True
        return any(
            laid.call.status == "ok" and laid.voice in voices and self._may_be_other(laid) for laid in node.given
        )

    def _may_be_other(self, laid: Laid) -> bool:
        return not laid.is_errand and laid not in self._errands

    def _is_left(self, laid: Laid, chat: Sequence[_Strand], voices: set[int]) -> bool:
        """Whether an answer off the path was one to the person, as far as can be told."""
        if laid.is_errand or laid in self._errands or laid.voice not in voices or laid.tip.role != "user":
            return False
        asked = plain(laid.tip.body)
        texts = [text for strand in chat for role in ("user", "assistant") for text in _texts(strand, role)]
        return not is_errand(asked) and not quotes([asked], texts)


def _unwrap(path: Sequence[Node]) -> None:
    """Put what was typed in place of filled-in templates, where other messages of the chat teach it."""
    asked = [node for node in path if node.role == "user"]
    taught = [(node.wrapped, plain(node.body)) for node in asked if node.wrapped is not None]
    for node in asked if taught else ():
        if node.wrapped is None and (typed := unwrapped(plain(node.body), taught)):
            node.body = {**node.body, "content": typed}
    answers = [plain(node.body) for node in path if node.role == "assistant" and not node.body.get("tool_calls")]
    if len(asked) > 1 and len(answers) in (len(asked), len(asked) - 1):
        found = typed_between([plain(node.body) for node in asked], answers) or ()
        for node, typed in zip(asked, found, strict=False):
            node.body = {**node.body, "content": typed}


def _with_system(last: Laid, path: Sequence[Node], earlier: Set[bytes]) -> tuple[list[Mapping[str, Any]], list[int]]:
    """The messages of the path, with system prompts where the last call had them, and the place of each node.

    A summary among them, which the chat has no need of, is left out; it is not one that the first call had too.
    `earlier` has the system prompts of that one.
    """
    before: defaultdict[Node | None, list[Mapping[str, Any]]] = defaultdict(list)
    waiting: list[Mapping[str, Any]] = []
    is_first = True
    for each, node in last.placed:
        if not each.is_said:
            waiting += [each.body] if each.own in earlier else _without_summary(each.body)
        elif node is not None:
            before[None if is_first else node] += waiting
            waiting, is_first = [], False
    before[None if is_first else last.end] += waiting
    messages: list[Mapping[str, Any]] = list(before[None])
    places = []
    for node in path:
        messages += before[node]
        places.append(len(messages))
        messages.append(node.body)
    return messages, places


def _without_summary(prompt: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    text = plain(prompt)
    rest = without_summary(text)
    return [prompt] if rest == text else [{**prompt, "content": rest}] if rest else []


def _branch(node: Node) -> list[Node]:
    """What the assistant did from a message on, until the user spoke."""
    branch = [node]
    while is_step(branch[-1].body):
        further = [
            child for child in branch[-1].children if child.role != "user" and (not child.given or _is_finished(child))
        ]
        if not further:
            break
        branch.append(max(further, key=_given_at))
    return branch


def _is_finished(node: Node) -> bool:
    return any(laid.call.status == "ok" for laid in node.given)


def _given_at(node: Node) -> tuple[float, str]:
    return (min((laid.place for laid in node.given), default=float("inf")), str(node.body))


def _place(laid: Laid) -> int:
    return laid.place


def _first(node: Node) -> Node:
    return list(node.upward())[-1] if node.parent is not None else node


def _is_gone_on_from(node: Node) -> bool:
    return node.passed > 0


def _is_talked_on(strand: _Strand) -> bool:
    """Whether a later history has one of its answers: what the app asks for beside a chat is not gone on from."""
    return any(_is_gone_on_from(reply) and not is_step(reply.body) for laid in strand.calls for reply in laid.replies)


def _tells_all(laid: Laid) -> bool:
    """Whether its history begins with a chat and goes on for more than a message: nothing was said before that."""
    is_joined = laid.call.previous or _is_next(laid.call) or laid.is_short
    return not is_joined and sum(node.role == "user" for node in laid.tip.upward()) > 1


def _model(laid: Laid) -> str | None:
    return laid.call.model


def _manner(laid: Laid) -> tuple[Any, ...]:
    return laid.voice, laid.call.model, laid.call.details.partition('"usage"')[0]


def _texts(strand: _Strand, role: str) -> list[str]:
    return [text for node in strand.path if node.role == role and (text := plain(node.body))]


def _quotes_strand(strand: _Strand, other: _Strand) -> bool:
    return quotes(_texts(strand, "user"), [*_texts(other, "user"), *_texts(other, "assistant")])


def _retells(chain: Sequence[_Strand], strand: _Strand) -> bool:
    """Whether a strand's message is a template that holds the chat so far as text."""
    path = [node for part in (*chain, strand) for node in part.path]
    asked = [plain(node.body) for node in path if node.role == "user"]
    answers = [plain(node.body) for node in path if node.role == "assistant" and not node.body.get("tool_calls")]
    typed = typed_between(asked, answers) if len(asked) == len(answers) else None
    return typed is not None and typed[0] != asked[0]


def _is_about(strand: _Strand, other: _Strand) -> bool:
    """Whether a strand is an errand of the other: it quotes it, or its task and result are a call's there."""
    if _quotes_strand(strand, other) and not _quotes_strand(other, strand):
        return True
    texts = (*_texts(strand, "user"), *_texts(strand, "assistant"))
    return any(len(text) > 8 and says(other.deeds, text) for text in texts)
