"""The order in which calls are read: by their times, but for what their histories say."""

from collections import Counter
from collections.abc import Iterator
from itertools import dropwhile
from typing import Any

from collab_sdk.logs.store.tree import StoredCall, Tree


def in_turn(tree: Tree) -> Iterator[StoredCall]:
    """The calls in order, none before the one whose answer it has in its history: clocks jump, and workers differ."""
    calls = sorted(tree.calls, key=lambda call: call.order if call.ended else (0.0, call.id))
    given: dict[Any, StoredCall] = {}
    going_on: dict[Any, StoredCall] = {}
    saying: Counter[bytes] = Counter()
    for call in reversed(calls):
        if call.is_answered:
            going_on.setdefault(_answered(tree, _sent(tree, call)), call)
            owns = {tree.bodies[reply].own for reply in call.replies}
            given |= {key: call for own in owns for key in ((_asked(tree, _sent(tree, call)), own), own)}
            given |= {call.response: call} if call.response else {}
            saying.update(owns)

    def before(call: StoredCall) -> StoredCall | None:
        """The call that gave the last answer in a history; the person's message may have been sent in other words.

        Where the app reworked that answer, it is the call that went on from the answer before it.
        """
        answered = _answered(tree, _sent(tree, call))
        if call.previous or answered is None:
            return given.get(call.previous)
        giver = given.get(answered) or (given.get(answered[1]) if saying[answered[1]] == 1 else None)
        earlier = _answered(tree, _before_asking(tree, _sent(tree, call)))
        return giver or (going_on.get(earlier) if earlier is not None else None)

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


def _before_asking(tree: Tree, message: int | None) -> int | None:
    """What stands before the user's message to which the assistant's last, from a message up, is an answer."""
    above = dropwhile(lambda each: each.body.get("role") != "assistant", tree.upward(message))
    asked = next((each for each in above if each.body.get("role") == "user"), None)
    return None if asked is None else tree.parents[asked.id]


def _answered(tree: Tree, message: int | None) -> tuple[bytes | None, bytes] | None:
    """What the assistant said last, from a message up, and what the user had said before that."""
    last = next((each for each in tree.upward(message) if each.body.get("role") == "assistant"), None)
    return None if last is None else (_asked(tree, last.id), last.own)
