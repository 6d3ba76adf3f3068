"""Which chain of an app is the one that answers, where several are called by themselves for one conversation.

An app may call a chain to rewrite the question, another to answer it and a third for a title, each with the same id.
Every one of them takes a text and returns one. What tells them apart is what they are given: a title's or a follow-up's
chain the answer, the answering chain what the rewriting one returned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collab_langchain.answers import turn
from collab_langchain.latest import Latest, characters
from collab_langchain.transcripts import QUESTION_KEYS, names_an_answer
from collab_sdk.logs import LoggedCall

CHATS = 1000
"""Of so many conversations the last exchanges are remembered."""
EXCHANGES = 3
ANSWERS = 100
"""Of so many the last answer as it was recorded: whether it was one is known when the next chain begins."""
CHARACTERS = 4_000_000
"""That are remembered of either."""
TELLING = 8
"""Characters of an answer that are not found in another text by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """What a run was asked and answered."""

    chain: tuple[Any, ...]
    """What it has in common with other calls of the same chain."""
    question: str
    answer: str
    is_of_chat: bool
    """Whether it took a history, or the question under a name for one: not just a text."""

    def prepares(self, later: "Exchanged") -> bool:
        """Whether a later run goes on from what it returned, or answers the same question: a rewrite, a guard."""
        return later.question in (self.answer, self.question)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExchange(Exchanged):
    """One that has just been answered."""

    given: Mapping[str, str]
    """All text that the run was handed, by key."""
    record: LoggedCall
    is_turn: bool
    """Else it is a graph's, which keeps the messages of the chat."""
    is_whole: bool
    """Whether those are more than this exchange."""

    @property
    def remembered(self) -> Exchanged:
        return Exchanged(chain=self.chain, question=self.question, answer=self.answer, is_of_chat=self.is_of_chat)

    def is_about(self, last: Exchanged) -> bool:
        """Whether it was asked for something about an exchange: a title, further questions, a verdict."""
        if self.question == last.answer:
            return not self._takes_a_question(last.answer)
        if self.question != last.question:
            return len(last.answer) >= TELLING and last.answer in self.question
        holding = {key: text for key, text in self.given.items() if _holds(text, last.answer)}
        return any(names_an_answer(key) or _holds(text, last.question) for key, text in holding.items())

    def shows(self, last: Exchanged) -> bool:
        """Whether an earlier answer is in the chat that a graph keeps: the person has asked the same again."""
        return any(row["role"] == "assistant" and row["content"] == last.answer for row in self.record.shown[:-1])

    def _takes_a_question(self, text: str) -> bool:
        keys = {key for key, given in self.given.items() if given.strip() == text} - {""}
        return any(key in QUESTION_KEYS and not names_an_answer(key) for key in keys) or (not keys and text[-1:] == "?")


@dataclass(frozen=True, slots=True)
class _Chat:
    exchanges: tuple[Exchanged, ...] = ()
    is_kept: bool = False
    """By a graph: what chains say in its conversation is beside it."""


class Chats:
    """The last exchanges of the conversations that are going on. As in Runs, there are no locks."""

    def __init__(self) -> None:
        self._chats: Latest[str, _Chat] = Latest(CHATS, most=CHARACTERS, size=_size_of_chat)
        self._answers: Latest[str, LoggedCall] = Latest(ANSWERS, most=CHARACTERS, size=_size_of_call)

    def add(self, conversation_id: str, new: NewExchange) -> list[LoggedCall]:
        """What to record: the exchange as one of the chat or beside it, and the one before it again if that was no
        answer to the person."""
        chat = self._chats.get(conversation_id) or _Chat()
        last = chat.exchanges[-1] if chat.exchanges else None
        is_kept = chat.is_kept or new.is_whole
        records = []
        if (is_kept and new.is_turn) or (not is_kept and _is_errand(new, chat.exchanges)):
            new = replace(new, record=replace(new.record, is_side=True))
            exchanges = chat.exchanges
        elif last is not None and last.chain != new.chain and last.prepares(new) and not new.shows(last):
            if (before := self._answers.get(conversation_id)) is not None:
                records.append(replace(before, is_side=True))
            if new.question == last.answer and new.record.shown_is_turn:
                new = replace(new, question=last.question, record=_asked_so(new.record, last.question))
            exchanges = (*chat.exchanges[:-1], new.remembered)
        else:
            if not (new.is_turn or new.is_whole or is_kept or last is None or last.question == new.question):
                # A graph that begins anew with each message: its chat goes on.
                shown = turn(new.record.shown, new.record.messages)
                new = replace(new, record=replace(new.record, shown=shown, shown_is_turn=True))
            exchanges = (*chat.exchanges, new.remembered)
        self._chats.put(conversation_id, _Chat(exchanges[-EXCHANGES:], is_kept))
        if exchanges is not chat.exchanges:
            self._answers.put(conversation_id, new.record)
        return [*records, new.record]


def _is_errand(new: NewExchange, before: Sequence[Exchanged]) -> bool:
    others = [each for each in before if each.chain != new.chain]
    questions = {each.question for each in others} - {new.question}
    is_digest = sum(_holds(new.question, question) for question in questions) > 1
    answering = {each.chain for each in before[:-1]}
    is_second = any(
        each.prepares(new) and each.chain in answering and new.chain not in answering for each in before[-1:]
    )
    is_titling = not new.is_of_chat and any(
        each.question == new.question and each.is_of_chat for each in before[-1:] if each.chain != new.chain
    )
    return is_digest or is_second or is_titling or any(new.is_about(each) for each in others)


def takes_a_chat(given: Mapping[str, str], question: str) -> bool:
    """Whether a run is handed more than a text: something beside it, a history, or a name that calls it a question."""
    named = {key for key, text in given.items() if text.strip() == question} & set(QUESTION_KEYS) - {"text"}
    return bool(named) or len(given) != 1


def _size_of_chat(chat: _Chat) -> int:
    return sum(len(each.question) + len(each.answer) for each in chat.exchanges)


def _size_of_call(call: LoggedCall) -> int:
    return characters((call.messages, call.replies, call.shown, call.tools))


def _holds(text: str, part: str) -> bool:
    if len(part) >= TELLING:
        return part in text
    return bool(part) and f" {part} " in f" {' '.join(text.split())} "


def _asked_so(record: LoggedCall, question: str) -> LoggedCall:
    """The record with what the person asked in place of what that was made into."""
    return replace(record, shown=({"role": "user", "content": question}, *record.shown[1:]))
