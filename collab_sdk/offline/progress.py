"""How far a conversation has come: what the user has said, and what the assistant has delivered of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from collab_sdk.messages import Message
from collab_sdk.offline.deeds import Deed, stems_of, steps
from collab_sdk.offline.facts import Fact
from collab_sdk.offline.reading import Reading, read_assistant
from collab_sdk.offline.words import Words


@dataclass(slots=True)
class GoalProgress:
    """Facts said and delivered, and what the assistant's questions and mistakes cost or earned on the way.

    An assistant message that acts delivers every fact said so far, unless it names a value that rules the fact out: the
    rules cannot tell whether an essay is informal, so they trust the assistant to use what it was told.

    Where the assistant has tools that act, words deliver nothing: only a call does that carries the fact and was not
    refused. `verbs` are the stems that name what these tools do; a fact that speaks of it takes a call of one of them.
    """

    facts: tuple[Fact, ...]
    verbs: frozenset[str] = frozenset()
    known: set[Fact] = field(default_factory=set)
    delivered: set[Fact] = field(default_factory=set)
    wrong: set[Fact] = field(default_factory=set)
    acted: bool = False
    learnt: int = 0
    """Facts that the user told because they were asked."""
    idle_questions: int = 0
    corrections: int = 0
    last: Reading | None = None
    """The assistant's message that waits for an answer."""

    def hear_user(self, text: str) -> None:
        words = Words(text)
        said = {fact for fact in self.facts if fact.said_in(words)}
        news = said - self.known
        if self.last and self.last.acts:
            # Also where a question stood beside the work: it was asked too late.
            self.corrections += bool(news or said & self.wrong)
        elif self.last and self.last.asks:
            self.learnt += len(news)
            self.idle_questions += not news
        self.known |= said
        self.last = None

    def hear_assistant(self, text: str) -> None:
        self.last = read_assistant(text)
        if not self.last.acts:
            return
        words = Words(text)
        self.known.update(fact for fact in self.facts if fact not in self.known and fact.said_in(words))
        self.wrong = {fact for fact in self.facts if fact.denied_in(words)}
        if not self.verbs:
            self.acted = True
            self.delivered = (self.delivered | self.known) - self.wrong

    def see_deed(self, deed: Deed) -> None:
        if not self.verbs or not deed.succeeded:
            return
        words = Words(deed.text)
        self.acted = self.acted or deed.acts
        self.delivered = {fact for fact in self.delivered if not fact.denied_in(words)}
        self.delivered.update(
            fact
            for fact in self.facts
            if fact.carried_by(words, deed.stems) and (deed.acts or self.verbs.isdisjoint(stems_of(fact.line)))
        )

    @property
    def complete(self) -> bool:
        return self.acted and len(self.delivered) == len(self.facts)

    @property
    def missing(self) -> list[Fact]:
        """What the user still has to say: what the assistant got wrong, then what it was never told."""
        lacking = [fact for fact in self.facts if fact not in self.known and fact not in self.wrong]
        return [fact for fact in self.facts if fact in self.wrong] + lacking


def follow(
    facts: tuple[Fact, ...], transcript: Iterable[Message], *, verbs: frozenset[str] = frozenset()
) -> GoalProgress:
    progress = GoalProgress(facts, verbs=verbs)
    for step in steps(transcript):
        if isinstance(step, Deed):
            progress.see_deed(step)
        elif step.role == "user":
            progress.hear_user(step.content)
        elif step.role == "assistant":
            progress.hear_assistant(step.content)
    return progress
