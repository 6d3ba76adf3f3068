"""Calls that share what was said, from one first message on, and what tells that two of them are one chat, or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from collab_sdk.logs.store.agreement import (
    is_step,
    plain,
    quotes,
    says,
    sets_apart,
)
from collab_sdk.logs.store.laying import Laid, Node, is_added_only
from collab_sdk.logs.store.templates import typed_between


@dataclass(eq=False)
class Strand:
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


def is_talked_on(strand: Strand) -> bool:
    """Whether a later history has one of its answers: what the app asks for beside a chat is not gone on from."""
    return any(is_gone_on_from(reply) and not is_step(reply.body) for laid in strand.calls for reply in laid.replies)


def tells_all(laid: Laid) -> bool:
    """Whether its history begins with a chat and goes on for more than a message: nothing was said before that."""
    is_joined = laid.call.previous or is_added_only(laid.call) or laid.is_short
    return not is_joined and any(node.role == "assistant" for node in laid.tip.upward())


def model_of(laid: Laid) -> str | None:
    return laid.call.model


def texts_of(strand: Strand, role: str) -> list[str]:
    return [text for node in strand.path if node.role == role and (text := plain(node.body))]


def quotes_strand(strand: Strand, other: Strand) -> bool:
    """Whether it holds what was said there; a few words too, where it sets them apart."""
    asked, texts = texts_of(strand, "user"), [*texts_of(other, "user"), *texts_of(other, "assistant")]
    return quotes(asked, texts) or any(sets_apart(each, text) for each in asked for text in texts)


def retells(chain: Sequence[Strand], strand: Strand) -> bool:
    """Whether a strand's message is a template that holds the chat so far as text."""
    path = [node for part in (*chain, strand) for node in part.path]
    asked = [plain(node.body) for node in path if node.role == "user"]
    answers = [plain(node.body) for node in path if node.role == "assistant" and not node.body.get("tool_calls")]
    typed = typed_between(asked, answers) if len(asked) == len(answers) else None
    return typed is not None and typed[0] != asked[0]


def is_about(strand: Strand, other: Strand) -> bool:
    """Whether a strand is an errand of the other: it quotes it, or its task and result are a call's there."""
    if quotes_strand(strand, other) and not quotes_strand(other, strand):
        return True
    texts = (*texts_of(strand, "user"), *texts_of(strand, "assistant"))
    return any(len(text) > 8 and says(other.deeds, text) for text in texts)


def is_gone_on_from(node: Node) -> bool:
    return node.passed > 0


def first_of(node: Node) -> Node:
    return list(node.upward())[-1] if node.parent is not None else node
