"""What an app adds to a turn for the model alone, and later histories leave out.

It may ask for more before it shows an answer ("Critique your answer.", "That was not JSON."), and show the last one;
or put a message before the question, such as what was retrieved for it. Turns that a later history tells teach it, and
the last turn, which none tells yet, is read so too.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

from collab_sdk.logs.store.agreement import plain
from collab_sdk.logs.store.laying import Laid, Node

STEPS = 8
"""Messages between the person's and the answer that is shown, at most."""
BEGINNING = 12
"""Characters at the beginning of a message that tell it as one of a kind."""


@dataclass(slots=True)
class Additions:
    """Texts that stand in the place of the person's, and are not theirs."""

    requests: dict[str, str | None] = field(default_factory=dict)
    """What was asked for after a draft; where it was the rest of an answer, with what stands between the two parts."""
    contexts: set[str] = field(default_factory=set)
    """What was put before a question."""

    def is_request(self, node: Node) -> bool:
        return node.role == "user" and plain(node.body) in self.requests

    def is_context(self, node: Node) -> bool:
        text = plain(node.body)
        return node.role == "user" and any(_shared(text, known) >= BEGINNING for known in self.contexts)

    def without(self, path: Sequence[Node]) -> list[Node]:
        """The messages without what the app added, and the drafts before that."""
        kept: list[Node] = []
        for place, node in enumerate(path):
            following = path[place + 1] if place + 1 < len(path) else None
            if self.is_request(node):
                draft = [kept.pop() for _ in list(takewhile(lambda each: each.role != "user", reversed(kept)))]
                between = self.requests[plain(node.body)]
                if between is not None and draft and following is not None:
                    whole = plain(draft[0].body) + between + plain(following.body)
                    following.body = {**following.body, "content": whole}
            elif not (following is not None and following.role == "user" and self.is_context(node)):
                kept.append(node)
        return kept


def additions_in(laid: Sequence[Laid]) -> Additions:
    """What later histories of a conversation leave out of earlier turns."""
    found = Additions()
    for call in laid:
        if call.tip.role != "user" or not call.replies:
            continue
        found.requests |= _requests(call)
        before = call.tip.parent
        if before is not None and before.parent is not None and before.role == "user":
            others = (child for child in before.parent.children if child is not before and child.passed)
            if any(child.keys & call.tip.keys for child in others):
                found.contexts.add(plain(before.body))
    while said := {text for call in laid for text in _gone_on_from(call, found.requests)}:
        for text in said:
            del found.requests[text]
    return found


def _gone_on_from(call: Laid, requests: Collection[str]) -> Iterator[str]:
    """Those of the messages that a call's history goes on from with what the person says: they are the person's too."""
    is_followed = False
    for node in call.tip.upward():
        text = plain(node.body) if node.role == "user" else ""
        if text in requests and is_followed:
            yield text
        is_followed = is_followed or (node.role == "user" and text not in requests)


def _requests(call: Laid) -> dict[str, str | None]:
    """The messages of a call's history that are followed by its answer, and that the answer later stands without."""
    above = list(islice(call.tip.upward(), STEPS))
    answer = plain(call.replies[0].body)
    for number, node in enumerate(above[1:], start=1):
        told = [child for child in node.children if child.role == "assistant" and child.passed and not child.given]
        if node.role != "user" or not told:
            continue
        asked = [plain(each.body) for each in above[:number] if each.role == "user"]
        if any(child.keys & call.replies[0].keys for child in told):
            return dict.fromkeys(asked)
        draft, wholes = plain(above[number - 1].body), [plain(child.body) for child in told]
        whole = next((text for text in wholes if text.startswith(draft) and text.endswith(answer)), "")
        if draft and answer and len(whole) >= len(draft) + len(answer):
            return dict.fromkeys(asked, whole[len(draft) : len(whole) - len(answer)])
    return {}


def _shared(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
