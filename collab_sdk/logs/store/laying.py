"""Each call's history, laid onto what is known of a conversation by then.

Where the two agree it goes on, where it says something else it branches off, and where it shares nothing it begins a
strand of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby, islice, pairwise
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
    sets_apart,
)
from collab_sdk.logs.store.call import IMPORTED
from collab_sdk.logs.store.tree import StoredBody, StoredCall, Tree
from collab_sdk.logs.store.voices import Voices, is_errand

LOOKED_BACK = 40
"""How many messages from its end a history is looked for in what is known."""
AT_THE_END = 5
"""What it is worth that a history goes on from the latest answer: of what was said twice, the last is meant."""
FROM_THE_START = 5
"""What it is worth that a history begins as the chat does, and has no answer that is not known there: what follows is
an edit, even if the same was once said behind more, unless its voice is sent less than all."""
MOST_SUMMARIES = 2
"""Messages that may stand for what was said before a window: a summary, and what the assistant says to it."""
SAME_VOICE = 0.5
"""What it is worth that a message was said under the same prompt, where little else tells."""
HEARD = 50
"""How many of a voice's first messages are looked at to tell whether it is sent each message alone."""
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


class LaidCalls:
    """What is known of a conversation, call by call."""

    def __init__(self, tree: Tree) -> None:
        self.root = Node(parent=None, body={}, keys=set())
        self.laid: list[Laid] = []
        self.sides: list[StoredCall] = []
        self._tree = tree
        self._nodes: defaultdict[bytes, list[Node]] = defaultdict(list)
        self._after_short: set[int] = set()
        """Stored replies to histories that are less than the chat."""
        self._by_message: dict[int, Node] = {}
        """Where a stored message was laid, and with it all above it."""
        self._by_response: dict[str, Laid] = {}
        self.voices = Voices()
        self._latest = self.root
        """The end of what was last answered."""
        self._short: set[int] = set()
        """Voices that are not always sent all that was said."""
        self._latest_of: dict[int, Node] = {}
        """The same of each voice, the latest last."""
        self._summaries: set[bytes] = set()
        """Messages that stood in place of what was said before a window."""
        self._told: set[tuple[bytes, bytes]] = set()
        """Messages that stand behind one another in histories, where calls are marked as side calls."""
        self.last_alone: set[int] = set()
        """Voices that are sent the last message alone."""

    def hear(self, calls: Sequence[StoredCall]) -> None:
        """Learn which voices are sent the last message alone, whatever was said before."""
        asked: defaultdict[int, dict[bytes, str]] = defaultdict(dict)
        answers: defaultdict[int, set[str]] = defaultdict(set)
        growing: set[int] = set()
        marked = any(call.is_side for call in calls)
        for call in calls:
            if call.is_side:
                continue
            history = self._tree.history(call)
            said = [each for each in history if each.is_said]
            if marked:
                self._told |= {(one.own, other.own) for one, other in pairwise(said)}
            voice = self.voices.of(history, call)
            if call.previous or call.is_added or any(each.body.get("role") == "assistant" for each in said):
                growing.add(voice)
            if voice not in growing and len(asked[voice]) < HEARD:
                asked[voice] |= {each.own: plain(each.body) for each in said if each.body.get("role") == "user"}
                answers[voice] |= {plain(self._tree.bodies[reply].body) for reply in call.replies}
        self.last_alone = {
            voice for voice in asked.keys() - growing if _are_several(list(asked[voice].values()), answers[voice])
        }

    def lay(self, call: StoredCall) -> None:
        history = self._tree.history(call)
        if call.is_side and not self._is_told(call, history):
            self.sides.append(call)
            return
        replies = [self._tree.bodies[reply] for reply in call.replies]
        voice = self.voices.of(history, call)
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

    def _is_told(self, call: StoredCall, history: Sequence[StoredBody]) -> bool:
        """Whether a later history has a call's answer behind its question: it is no side call then."""
        return bool(history) and any(
            (history[-1].own, self._tree.bodies[reply].own) in self._told for reply in call.replies
        )

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
        if laid.call.is_answered and not laid.is_errand and not self._is_about_latest(laid):
            self._latest_of.pop(laid.voice, None)
            self._latest = self._latest_of[laid.voice] = laid.end

    def _is_about_latest(self, laid: Laid) -> bool:
        """Whether its one message holds what was last said: a title for that, a verdict on it."""
        if laid.tip.parent is not self.root or laid.call.shown is not None:
            return False
        asked = plain(laid.tip.body)
        texts = [plain(node.body) for node in islice(self._latest_of.get(laid.voice, self.root).upward(), 2)]
        return is_errand(asked) or _is_about(asked, texts)

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
            if laid is not None and laid.call.response == call.response and not said:  # fetched once more
                return laid.tip
            return laid.end if laid else self._latest
        if not is_added_only(call):
            return None
        told = (laid for laid in reversed(self.laid) if is_added_only(laid.call) or laid.call.shown is not None)
        answered = (laid.end for laid in told if laid.call.is_answered)
        latest = next(answered, self.root)
        begun = latest  # an attempt that broke off is no end of a turn
        while begun.parent is not None and begun.given and not is_finished(begun):
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
            node = self._below(node, each, laid.voice) if is_added else node
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
        laid.is_short = history[known - 1].id in self._after_short
        for each in history[:known]:
            laid.placed.append((each, self._by_message.get(each.id) if each.is_said else None))
        for each in history[known:]:
            node = self._below(node, each, laid.voice) if each.is_said else node
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
            self._summaries |= {each.own for each in spoken[: seen.left]}
        first = place + 1
        if seen is None and laid.call.named and self._is_behind_summary(laid, said):
            first = len(said) - 1
        while seen is None and first < len(said) - 1 and (is_summary(said[first].body) or _is_assent(said, first)):
            first += 1
        node = found
        for each in said[first:]:
            node = self._below(node, each, laid.voice)
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

    def _is_behind_summary(self, laid: Laid, said: Sequence[StoredBody]) -> bool:
        """Whether the last of two messages of the user's comes behind a summary: its voice was sent more by then."""
        are_users = [each.body.get("role") for each in said] == ["user", "user"]
        return are_users and laid.voice in self._latest_of and laid.voice not in self.last_alone

    def _is_said_again(self, laid: Laid, found: Node) -> bool:
        """Whether a message that comes alone, and is known, is said once more, to an app that sends the last only.

        Another voice that is sent it, or another attempt at an answer that was broken off, means the same message.
        """
        last = next((each for each in reversed(self.laid) if each.end is self._latest), None)
        if laid.voice not in self.last_alone or last is None:
            return False
        if laid.call.status != "ok" and any(map(is_finished, found.children)):
            return False
        if found.parent is self.root and self._latest.parent is not found:
            return True
        return last.voice == laid.voice and last.call.status == "ok" and last.call.ended <= laid.call.started

    def _best(self, said: Sequence[Spoken], voice: int) -> tuple[int, Node, Agreement | None]:
        """The last message of a history that is known, where it is, and how far the two agree."""
        if (next_place := self._next(said, voice)) is not None:
            return next_place
        ends = {*_ends(self._latest), *_ends(self._latest_of.get(voice, self.root))}
        best: tuple[int, Node, Agreement | None] = (-1, self.root, None)
        worth, is_foreign = 0.0, False
        """Whether the history has answers behind the best place that are not known there."""
        for place in range(len(said) - 1, max(-1, len(said) - 1 - LOOKED_BACK), -1):
            unseen = sum(each.body.get("role") == "assistant" for each in said[place + 1 :])
            nodes = sorted(self._nodes.get(said[place].own, ()), key=lambda node: node.touched, reverse=True)
            for node in nodes[:SAME]:
                if best[2] is not None and best[2].is_whole and node in best[1].upward():
                    continue  # the history agrees with all of the chat down to a later message
                seen = agreement(said[: place + 1], node.upward())
                if _has_answer_elsewhere(seen, said, ends):
                    continue
                reworked = int(
                    bool(unseen)
                    and said[place + 1].body.get("role") == "assistant"
                    and any(is_alike(said[place + 1].body, each.body) for each in node.children)
                )
                is_led = is_summary(said[0].body) or said[0].own in self._summaries
                value = _worth(
                    seen, unseen - reworked, node, is_end=node in ends, is_alone=len(said) == 1, is_led=is_led
                )
                if voice not in self._short:  # all that it was sent began where the chat did
                    value -= AT_THE_END if seen.above and node in ends else 0
                    value += FROM_THE_START if seen.is_whole and not seen.edits and not unseen else 0
                value += SAME_VOICE if value and voice in node.voices else 0
                if value > worth:
                    best, worth, is_foreign = (place, node, seen), value, unseen > reworked
            if best[2] is not None and best[1] in ends and not best[2].left and not unseen:
                break
        if best[2] is not None and not is_foreign:
            return best
        reworked_end = self._reworked_end(said, voice)
        is_better = reworked_end[2] is not None and (best[2] is None or not reworked_end[2].left)
        return reworked_end if is_better else best

    def _next(self, said: Sequence[Spoken], voice: int) -> tuple[int, Node, Agreement] | None:
        """The latest answer, where a voice is sent the end of the chat and what came next.

        That is the results of the tools that the answer calls, as their ids tell; or a message of the user's, to a
        voice that is sent windows. Of a chat in which the same is said again and again, a window agrees with many
        places, and with some better.
        """
        end, place = self._latest_of.get(voice, self.root), _last_answer(said)
        roles = [each.body.get("role") for each in said[place + 1 :]]
        is_called = set(roles) == {"tool"} and call_ids(said[place].body) == call_ids(end.body)
        is_next = is_called or (roles == ["user"] and voice in self._short)
        if place < 0 or not is_next or said[place].own not in end.keys:
            return None
        seen = agreement(said[: place + 1], end.upward())
        return None if seen.left or seen.edits else (place, end, seen)

    def _reworked_end(self, said: Sequence[Spoken], voice: int) -> tuple[int, Node, Agreement | None]:
        """The last answer, if it is all that a history holds of the chat, as the app reworked it.

        That of any voice, where this one speaks for the first time: a prompt with a summary in it is another.
        """
        ends = self._latest_of
        place = _last_answer(said)
        for end in [ends[voice]] if voice in ends else reversed(ends.values()):
            if place >= 0 and is_alike(said[place].body, end.body):
                seen = agreement(said[: place + 1], end.upward())
                if seen.left <= MOST_SUMMARIES:
                    return place, end, seen
        return -1, self.root, None

    def _below(self, parent: Node, message: StoredBody, voice: int) -> Node:
        """The message below another: the node that is there already, as it is or as the app reworked it."""
        for child in parent.children:
            if message.own in child.keys:
                return child
        if message.body.get("role") == "user" and (known := _unanswered(parent, message, voice)) is not None:
            _take_edit(known, Spoken(message.own, message.body))
            self._nodes[message.own].append(known)
            return known
        if message.body.get("role") == "assistant":
            given = [child for child in parent.children if child.given and not child.passed]
            alike = [child for child in given if is_alike(message.body, child.body)]
            if alike:
                child = max(alike, key=is_finished)
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
        if laid.is_short:
            self._after_short.add(reply.id)

    def _reworked(self, tip: Node, reply: StoredBody) -> Node | None:
        """What a history that was laid earlier has in place of the reply: calls may be recorded late."""
        for node in tip.children:
            if not is_finished(node) and is_alike(reply.body, node.body):
                node.keys.add(reply.own)
                self._nodes[reply.own].append(node)
                node.body = reply.body if _is_cut(plain(reply.body), plain(node.body)) else node.body
                return node
        return None

    def _is_about_itself(self, laid: Laid, said: Sequence[StoredBody]) -> bool:
        if laid.call.source == IMPORTED or laid.call.shown is not None or not said:
            return False
        last = said[-1].body
        if last.get("role") == "assistant" and not last.get("tool_calls"):
            tip = laid.tip
            return not any(giver.call.status == "partial" or _is_cut_off(giver.call) for giver in tip.given)
        return False


def _are_several(asked: Sequence[str], answers: Set[str]) -> bool:
    """Whether more than one message is the person's: what quotes the others is asked for about them, by the app."""
    texts = answers | set(asked)
    persons = (text for text in asked if not is_errand(text) and not _is_about(text, texts))
    return len(list(islice(persons, 2))) > 1


def _is_about(text: str, others: Iterable[str]) -> bool:
    """Whether it holds what was said, or a few words of it that it sets apart."""
    said = [other for other in others if other]
    return quotes([text], said) or any(sets_apart(text, other) for other in said)


def _last_answer(said: Sequence[Spoken]) -> int:
    """The place of the last message that is the assistant's, or -1."""
    return next((place for place in reversed(range(len(said))) if said[place].body.get("role") == "assistant"), -1)


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


def _worth(seen: Agreement, unseen: int, node: Node, *, is_end: bool, is_alone: bool, is_led: bool) -> float:
    """How good an agreement is; 0 for none.

    Where a window begins, what stands before it must be a summary, and be short. One message alone is no agreement in
    the middle of a chat: people say "yes" more than once.
    """
    if seen.left > MOST_SUMMARIES and seen.matched + len(seen.edits) <= seen.left:
        return 0
    if seen.matched == 1 and not seen.is_whole and node.role == "user" and (is_alone or seen.left):
        return 0
    if seen.left and not is_end and seen.matched - seen.steps < 2 and not is_led:
        return 0
    value = 2.0 * seen.matched - 0.5 * len(seen.edits) - 3 * seen.left - 2 * unseen
    begins_alike = seen.is_whole and not any(
        place == 0 and known.body.get("role") == "user" for place, known in seen.edits
    )
    value = max(value + (2 if begins_alike else 0), 0.1) if seen.matched else 0
    return value + AT_THE_END if value and is_end else value


def _has_answer_elsewhere(seen: Agreement, said: Sequence[Spoken], ends: Set[Node]) -> bool:
    """Whether what would stand for an answer that it has nothing in common with is the latest answer, to the letter."""
    return any(
        said[place].own in end.keys and not is_alike(said[place].body, known.body)
        for place, known in seen.edits
        for end in ends
    )


def _unanswered(parent: Node, message: StoredBody, voice: int) -> Node | None:
    """The message in other words, in a template or out of one, where no call has answered those in whole.

    What asks for something about the exchange holds the message too, and what came of its answer.
    """
    text = plain(message.body)
    for child in parent.children:
        if child.role != "user" or voice not in child.voices or any(map(is_finished, child.children)):
            continue
        short, long = sorted((plain(child.body), text), key=len)
        answers = [plain(answer.body) for answer in child.children]
        if (short and says(long, short)) and not (is_errand(long) or any(sets_apart(text, each) for each in answers)):
            return child
    return None


def _take_edit(node: Node, said: Spoken) -> None:
    """Let a node say what a later history says in its place.

    Of the person's own message that is the plain wording, of an answer what the app showed, unless it was only cut.
    """
    node.keys.add(said.own)
    before, now = plain(node.body), plain(said.body)
    if node.role == "user":
        if says(before, now):
            node.wrapped, node.body = before, said.body
        elif says(now, before):
            node.wrapped = now
        else:
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
            if not node.given or is_finished(node):
                return


def is_added_only(call: StoredCall) -> bool:
    """Whether what it says comes next in the chat, without the history."""
    return call.is_added or (call.shown is not None and call.shown_is_turn)


def _is_assent(said: Sequence[StoredBody], place: int) -> bool:
    """Whether it is what an app lets the assistant say to a summary."""
    return place > 0 and said[place].body.get("role") == "assistant" and is_summary(said[place - 1].body)


def _is_cut_off(call: StoredCall) -> bool:
    return call.said_of("metadata").get("finish_reason") == "length"


def is_finished(node: Node) -> bool:
    return any(laid.call.status == "ok" for laid in node.given)
