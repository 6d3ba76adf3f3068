"""How far a conversation has come: what the user has said, and what the assistant has delivered of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from collab_sdk.offline.facts import Fact
from collab_sdk.offline.reading import Reading, read_assistant
from collab_sdk.offline.words import Words
from collab_sdk.types import Message


@dataclass(slots=True)
class GoalProgress:
    """Facts said and delivered, and what the assistant's questions and mistakes cost or earned on the way.

    An assistant message that acts delivers every fact said so far, unless it names a value that rules the fact out: the
    rules cannot tell whether an essay is informal, so they trust the assistant to use what it was told.
    """

    facts: tuple[Fact, ...]
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
        elif self.last:
            self.learnt += len(news)
            self.idle_questions += not news
        self.known |= said
        self.last = None

    def hear_assistant(self, text: str) -> None:
        self.last = read_assistant(text)
        if not self.last.acts:
            return
        words = Words(text)
        self.acted = True
        self.known.update(fact for fact in self.facts if fact not in self.known and fact.said_in(words))
        self.wrong = {fact for fact in self.facts if fact.denied_in(words)}
        self.delivered = (self.delivered | self.known) - self.wrong

    @property
    def complete(self) -> bool:
        return self.acted and len(self.delivered) == len(self.facts)

    @property
    def missing(self) -> list[Fact]:
        """What the user still has to say: what the assistant got wrong, then what it was never told."""
        lacking = [fact for fact in self.facts if fact not in self.known and fact not in self.wrong]
        return [fact for fact in self.facts if fact in self.wrong] + lacking


def follow(facts: tuple[Fact, ...], transcript: Iterable[Message]) -> GoalProgress:
    progress = GoalProgress(facts)
    for message in transcript:
        if message.role == "user":
            progress.hear_user(message.content)
        elif message.role == "assistant":
            progress.hear_assistant(message.content)
    return progress
