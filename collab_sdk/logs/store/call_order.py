"""The order in which calls are read: by their times, but for what their histories say."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import dropwhile, islice
from typing import Any

from collab_sdk.logs.store.tree import StoredCall, Tree


def in_turn(tree: Tree) -> Iterator[StoredCall]:
    """The calls in order, none before the one whose answer it has in its history: clocks jump, and workers differ."""
    calls = sorted(tree.calls, key=lambda call: call.order if call.ended else (0.0, call.id))
    places = {call.id: place for place, call in enumerate(calls)}
    given: dict[Any, StoredCall] = {}
    going_on: defaultdict[Any, dict[bytes | None, StoredCall]] = defaultdict(dict)
    """By an answer, with what it answers and without, the latest calls that go on from it, by what they ask."""
    saying: Counter[bytes] = Counter()
    for call in reversed(calls):
        if call.is_answered:
            sent = _sent(tree, call)
            for answered in _keys(_answered(tree, sent)):
                going_on[answered].setdefault(_asked(tree, sent), call)
            owns = {tree.bodies[reply].own for reply in call.replies}
            given |= {key: call for own in owns for key in ((_asked(tree, _sent(tree, call)), own), own)}
            given |= {call.response: call} if call.response else {}
            saying.update(owns)

    def before(call: StoredCall) -> StoredCall | None:
        """The first call that gave the last answer in a history, to the same question if both histories hold it.

        The person's message may have been sent in other words. Where the app reworked that answer, it is the call that
        went on from the answer, or the call of tools, before it.
        """
        answered = _answered(tree, _sent(tree, call))
        if call.previous or answered is None:
            return given.get(call.previous)
        asked, own = answered
        is_alone = asked is None or saying[own] == 1
        found = given.get(answered), given.get((None, own)), given.get(own) if is_alone else None
        giver = min(filter(None, found), key=lambda call: places[call.id], default=None)
        for key in _keys(_answered(tree, _above_answer(tree, _sent(tree, call)))) if giver is None else ():
            further = going_on[key]
            giver = giver or further.get(asked) or (next(iter(further.values())) if len(further) == 1 else None)
        return giver

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


def _above_answer(tree: Tree, message: int | None) -> int | None:
    """What stands above the assistant's last message, from a message up; nothing where that begins a window."""
    above = dropwhile(lambda each: each.body.get("role") != "assistant", tree.upward(message))
    before = next(islice(above, 1, None), None)
    return None if before is None or before.body.get("role") == "assistant" else before.id


def _keys(answered: tuple[bytes | None, bytes] | None) -> tuple[Any, ...]:
    return () if answered is None else (answered, answered[1])


def _answered(tree: Tree, message: int | None) -> tuple[bytes | None, bytes] | None:
    """What the assistant said last, from a message up, and what the user had said before that."""
    last = next((each for each in tree.upward(message) if each.body.get("role") == "assistant"), None)
    return None if last is None else (_asked(tree, last.id), last.own)
