"""The chat of a conversation, rebuilt from all its calls.

No call is the chat. A call is what a model was sent for one answer: the chat so far, its end, a summary of it, or
something else altogether, such as the prompt for a title. So each call's history is laid onto what is known by then:
where the two agree it goes on, where it says something else it branches off, and where it shares nothing it begins a
strand of its own. The chat is the strand with the most exchanges in it; what comes after it in the same voice, from
apps that send the last message alone, is joined to its end. All else is beside the chat.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any

from collab_sdk.files import to_json
from collab_sdk.logs.store.additions import additions_in
from collab_sdk.logs.store.agreement import (
    is_step,
    plain,
    quotes,
)
from collab_sdk.logs.store.call import IMPORTED
from collab_sdk.logs.store.call_order import in_turn
from collab_sdk.logs.store.laying import Laid, LaidCalls, Node, is_finished
from collab_sdk.logs.store.strands import (
    Strand,
    first_of,
    is_about,
    is_gone_on_from,
    is_talked_on,
    model_of,
    quotes_strand,
    retells,
    tells_all,
    texts_of,
)
from collab_sdk.logs.store.templates import typed_between, unwrapped
from collab_sdk.logs.store.tree import StoredCall, Tree
from collab_sdk.logs.store.voices import is_errand, may_be_errand, without_summary


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
    known = LaidCalls(tree)
    calls = list(in_turn(tree))
    known.hear(calls)
    for call in calls:
        known.lay(call)
    return _Reading(known).rebuilt()


class _Reading:
    """Which of what is known is the chat."""

    def __init__(self, known: LaidCalls) -> None:
        self._known = known
        self._laid = [laid for laid in known.laid if laid.call.is_answered]
        self._confirmed = {laid.voice for laid in self._laid if any(is_gone_on_from(reply) for reply in laid.replies)}
        self._shown = {laid.voice for laid in self._laid if laid.call.shown is not None}
        """Voices whose answers the app's own run says it showed: others that answer in whole were not shown."""
        self._confirmed |= self._shown
        confirmed = [laid.voice for laid in self._laid if any(is_gone_on_from(reply) for reply in laid.replies)]
        self._speaks_alone = len(set(confirmed)) == 1 and len(confirmed) > 1
        """Whether one voice gave all answers that the chat went on from: what another adds at the end is beside it."""
        self._usual = next(iter(Counter(map(_manner, self._laid)).most_common(1)), (None, 0))[0]
        """How most calls are made."""
        self._additions = additions_in([] if self._shown else known.laid)  # the app's own run says what was shown
        self._errands = self._repeated_errands()

    def rebuilt(self) -> Rebuilt:
        strands = self._strands()
        if not strands:
            return self._unanswered()
        chat = self._chat(strands)
        path = self._with_unanswered([node for strand in chat for node in strand.path])
        path = self._additions.without(path)
        _unwrap(path)
        return self._told(chat, path)

    def _strands(self) -> list[Strand]:
        groups: dict[Node, list[Laid]] = {}
        for laid in self._laid:
            groups.setdefault(first_of(laid.end), []).append(laid)
        strands = []
        for first, calls in groups.items():
            end = self._end(calls)
            if end is not None:
                path = list(end.end.upward())[::-1]
                strands.append(Strand(first, calls, end, path, end.voice))
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
            any(is_gone_on_from(reply) for reply in laid.replies) and laid.voice in self._confirmed,
            laid.call.shown is not None,
            laid.voice in self._confirmed,
            laid.call.status == "ok",
            laid.voice == latest.voice or not self._known.voices.is_errand(laid.voice),
            len(plain(laid.end.body)) if len({laid.voice, latest.voice}) > 1 else 0,
            laid.place,
        )

    def _may_be_answer(self, laid: Laid) -> bool:
        """Whether a reply may be one that the person saw."""
        if laid.is_errand or laid in self._errands:
            return False
        if any(is_gone_on_from(reply) for reply in laid.replies) or laid.call.shown is not None:
            return True
        if self._shown and laid.voice not in self._shown and laid.call.status == "ok" and not is_step(laid.end.body):
            return False
        if not self._confirmed or laid.voice in self._confirmed:
            return not (self._stands_alone(laid) and self._differs(laid) and may_be_errand(plain(laid.tip.body)))
        if self._asks_about_chat(laid) or self._is_beside_another(laid):
            return False
        is_whole = laid.tip.parent is not self._known.root and not laid.is_short
        return not (self._speaks_alone and is_whole and laid.tip.role == "user")

    def _stands_alone(self, laid: Laid) -> bool:
        return laid.tip.role == "user" and laid.tip.passed <= 1

    def _differs(self, laid: Laid) -> bool:
        """Whether it is not made as most calls of the conversation are."""
        return _manner(laid) != self._usual

    def _asks_about_chat(self, laid: Laid) -> bool:
        return laid.tip.role == "user" and is_errand(plain(laid.tip.body))

    def _is_beside_another(self, laid: Laid) -> bool:
        """Whether a voice that is known to be the chat's answers the same message."""
        return any(
            giver.voice in self._confirmed for child in laid.tip.children for giver in child.given if giver is not laid
        )

    def _repeated_errands(self) -> set[Laid]:
        """Calls whose last message comes again and again, and leads nowhere: the app's own, not the person's.

        A person also asks twice what leads nowhere: once in what an edit abandoned, once at the end of the chat.
        """
        told = {_manner(laid) for laid in self._laid if any(map(is_gone_on_from, laid.replies))}
        asked: defaultdict[str, list[Laid]] = defaultdict(list)
        for laid in self._laid:
            has_context = laid.tip.role == "user" and laid.tip.parent is not self._known.root
            if has_context and not self._additions.is_request(laid.tip):
                asked[plain(laid.tip.body)].append(laid)
        return {
            laid
            for text, calls in asked.items()
            if len({laid.tip for laid in calls}) > 1 and len(text.split()) > 3
            if not any(is_gone_on_from(reply) for laid in calls for reply in laid.replies)
            if all(laid.call.shown is None for laid in calls)
            if may_be_errand(text) or told.isdisjoint(map(_manner, calls)) or _times_beside(calls) > 1
            for laid in calls
        }

    def _chat(self, strands: list[Strand]) -> list[Strand]:
        """The strands that make the chat, in order."""
        chains: list[list[Strand]] = []
        for strand in sorted(strands, key=lambda strand: strand.begin):
            fitting = [chain for chain in chains if self._goes_on(chain, strand)]
            if fitting:
                max(fitting, key=lambda chain: sum(part.exchanges for part in chain)).append(strand)
            else:
                chains.append([strand])
        return max(chains, key=lambda chain: self._rank(chain, chains))

    def _goes_on(self, chain: Sequence[Strand], strand: Strand) -> bool:
        """Whether a strand that shares nothing with a chain comes after it: the same voice, once the chain is over.

        A voice that is always sent all that was said is in another chat, where it is not.
        """
        last = chain[-1]
        if retells(chain, strand):
            return strand.voice == last.voice
        is_short = any(laid.is_short for part in (*chain, strand) for laid in part.calls)
        return (
            (is_short or strand.voice in self._known.last_alone)
            and not any(map(tells_all, strand.calls))
            and (strand.end.call.shown is None) == (last.end.call.shown is None)
            and strand.begin > max(laid.place for laid in last.calls)
            and (strand.voice == last.voice or self._may_take_turns(chain, strand))
            and model_of(strand.end) == model_of(last.end)
            and not any(is_errand(plain(each.path[0].body)) for each in (strand, last))
            and not quotes_strand(strand, last)
            and not quotes_strand(last, strand)
        )

    def _may_take_turns(self, chain: Sequence[Strand], strand: Strand) -> bool:
        """Whether two voices may speak in one chat: each in some of it, and neither for the other."""
        if not {strand.voice, chain[-1].voice} <= self._confirmed:
            return False
        return not any(is_about(strand, part) or is_about(part, strand) for part in chain)

    def _rank(self, chain: Sequence[Strand], chains: Sequence[Sequence[Strand]]) -> tuple[Any, ...]:
        exchanges = sum(strand.exchanges for strand in chain)
        others = [strand for other in chains if other is not chain for strand in other]
        about = sum(any(is_about(strand, other) for other in others) for strand in chain)
        return (
            any(strand.end.call.shown is not None for strand in chain),
            any(is_talked_on(strand) for strand in chain),
            not any(is_errand(plain(strand.path[0].body)) for strand in chain),
            2 * about <= len(chain),
            exchanges,
            sum(is_gone_on_from(reply) for strand in chain for laid in strand.calls for reply in laid.replies),
            not self._known.voices.is_errand(chain[-1].voice),
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

    def _told(self, chat: Sequence[Strand], path: list[Node]) -> Rebuilt:
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
                place for node, place in zip(path, places, strict=True) if node.given and not is_finished(node)
            ),
            calls=[laid.call for laid in used],
            side_calls=sorted([*self._known.sides, *sides], key=lambda call: call.order),
            begins_amid=self._begins_amid(path),
            left_out=len({laid.tip for laid in left if laid.tip not in on_path}),
        )

    def _begins_amid(self, path: Sequence[Node]) -> bool:
        """Whether no call answers what the person says first, or that one had a summary of what came before."""
        if any(laid.call.source == IMPORTED or laid.call.shown is not None for laid in self._laid):
            return False
        first = next((place for place, node in enumerate(path) if node.role == "user"), len(path))
        asked = set(takewhile(lambda node: node.role == "user", path[first:]))
        answering = [laid for laid in self._laid if laid.tip in asked]
        return bool(asked) and (not answering or answering[0].is_short)

    def _is_other(self, node: Node, voices: set[int]) -> bool:
        """Whether a message is another response to the history of the one on the path, and was not broken off."""
        if not node.given:
            return True
        return any(
            laid.call.status == "ok" and laid.voice in voices and self._may_be_other(laid) for laid in node.given
        )

    def _may_be_other(self, laid: Laid) -> bool:
        return not laid.is_errand and laid not in self._errands

    def _is_left(self, laid: Laid, chat: Sequence[Strand], voices: set[int]) -> bool:
        """Whether an answer off the path was one to the person, as far as can be told."""
        if laid.is_errand or laid in self._errands or laid.voice not in voices or laid.tip.role != "user":
            return False
        if self._additions.is_request(laid.tip):
            return False
        asked = plain(laid.tip.body)
        texts = [text for strand in chat for role in ("user", "assistant") for text in texts_of(strand, role)]
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
            is_more = last.is_short and is_first and bool(waiting)  # a summary, in whatever language
            waiting += [each.body] if each.own in earlier else [] if is_more else _without_summary(each.body)
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
            child for child in branch[-1].children if child.role != "user" and (not child.given or is_finished(child))
        ]
        if not further:
            break
        branch.append(max(further, key=_given_at))
    return branch


def _given_at(node: Node) -> tuple[float, str]:
    return (min((laid.place for laid in node.given), default=float("inf")), str(node.body))


def _times_beside(calls: Sequence[Laid]) -> int:
    """How many of the messages that calls end with stand beside one whose answer the chat went on from."""
    parents = {laid.tip.parent for laid in calls if laid.tip.parent is not None}
    return sum(any(is_gone_on_from(reply) for node in parent.children for reply in node.children) for parent in parents)


def _place(laid: Laid) -> int:
    return laid.place


def _manner(laid: Laid) -> tuple[Any, ...]:
    return laid.voice, laid.call.model, to_json(laid.call.said_of("parameters"))
