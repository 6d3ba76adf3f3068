"""What is recorded of root runs when they end, by what earlier ones have taught."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from collab_langchain.answers import Exchange, Nodes, matching
from collab_langchain.calls import EndedCall
from collab_langchain.chats import Chats, NewExchange, takes_a_chat
from collab_langchain.identity import Identity
from collab_langchain.latest import Latest, characters
from collab_langchain.transcripts import Row, Transcript, question_in, texts_in
from collab_sdk.logs import LoggedCall

CHATS = 4096
"""Of so many conversations it is remembered how they end."""
CHARACTERS = 4_000_000
"""That are remembered of these ends."""
BEGINNING = 12
"""Characters of a prompt that a chain has in common from call to call."""


@dataclass(slots=True, eq=False, kw_only=True)
class Root:
    """A run that no other has started: an answer in the making."""

    run_id: UUID
    identity: Identity
    started: float
    is_chain: bool
    """Else a tool or retriever by itself, whose output is no answer to a person."""
    is_ignored: bool
    is_chosen: bool
    """Only some of its calls are wanted: the answer is one of them, whatever the run returns."""
    name: str = ""
    question: Row | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    is_graph: bool = False
    pending: dict[UUID, None] = field(default_factory=dict)
    calls: deque[EndedCall] = field(default_factory=deque)
    left_out: set[str] = field(default_factory=set)
    """Marks of replies that the app wants left out."""
    over: bool = False
    """It has returned before its calls have ended, and does not tell which of them answers."""
    is_answered: bool = False
    is_given_up: bool = False
    told: bool = False
    """Its answer is recorded; calls that are still pending are the app's own errands."""

    def take(self, inputs: Any) -> None:
        self.question, self.given = question_in(inputs), texts_in(inputs)

    def find_question(self) -> None:
        """Of several texts under unknown names, the question is the one that a model was sent as the person's last."""
        given = {text.strip() for text in self.given.values()} - {""}
        for call in reversed(list(self.calls) if self.question is None else []):
            asked = [row for row in call.record.messages if row["role"] == "user"][-1:]
            if asked and isinstance(asked[0]["content"], str) and asked[0]["content"].strip() in given:
                self.question = {"role": "user", "content": asked[0]["content"]}
                return


class Telling:
    """Makes records of root runs. As in Runs, there are no locks."""

    def __init__(self) -> None:
        self._nodes = Nodes()
        self._chats = Chats()
        self._ends: Latest[str, tuple[str | None, str]] = Latest(CHATS, most=CHARACTERS, size=characters)

    def told(
        self, root: Root, transcript: Transcript | None, now: float, *, is_failed: bool = False
    ) -> list[LoggedCall]:
        """One answer for each conversation: a root run is nearly always in one, but may be a loop over many."""
        root.told = True
        groups: dict[str | None, list[EndedCall]] = {}
        for call in list(root.calls):
            groups.setdefault(_conversation(root, call), []).append(call)
        is_loop = len(groups) > 1
        records: list[LoggedCall] = []
        for conversation_id, calls in groups.items() or [(root.identity.conversation, [])]:
            is_answered = transcript is not None and matching(calls, transcript) is not None
            exchange = Exchange(
                run_id=str(root.run_id),
                conversation_id=conversation_id,
                user=root.identity.user,
                question=None if is_loop else root.question,
                transcript=transcript if is_answered or not (is_loop or root.is_chosen) else None,
                is_failed=is_failed,
                may_answer_itself=(bool(calls) or root.is_graph) and not _is_left_out(root, transcript),
                started=root.started,
                ended=now,
            )
            answer, beside = exchange.records(calls, self._nodes)
            if answer is not None and not self._is_told_again(root, exchange, answer):
                records += self._placed(root, exchange, answer)
            records += beside
            root.is_answered = root.is_answered or answer is not None
        root.calls.clear()
        root.take(None)
        return records

    def _is_told_again(self, root: Root, exchange: Exchange, answer: LoggedCall) -> bool:
        """Whether a run was asked nothing, and returned what its conversation ended with: a person approved of it."""
        transcript, conversation_id = exchange.transcript, exchange.conversation_id
        if transcript is None or conversation_id is None:
            return False
        said = (transcript.answer_id, transcript.answer)
        is_again = self._ends.get(conversation_id) == said and answer.run_id == str(root.run_id)
        self._ends.put(conversation_id, said)
        return is_again and root.question is None

    def _placed(self, root: Root, exchange: Exchange, answer: LoggedCall) -> list[LoggedCall]:
        """The answer, in the chat or, if it was another chain's errand, beside it."""
        transcript, conversation_id = exchange.transcript, exchange.conversation_id
        question = root.question["content"] if root.question else None
        if transcript is None or conversation_id is None or not isinstance(question, str):
            return [answer]
        begins = str(answer.messages[0]["content"])[:BEGINNING] if answer.model and answer.messages else ""
        new = NewExchange(
            chain=(root.name, *dict.fromkeys(key.partition(".")[0] for key in root.given), begins),
            question=question.strip(),
            answer=transcript.answer,
            is_of_chat=takes_a_chat(root.given, question.strip()),
            given=root.given,
            record=answer,
            is_turn=transcript.is_turn and not root.is_graph,
            is_whole=not transcript.is_turn and _is_more_than_a_turn(answer.shown),
        )
        return self._chats.add(conversation_id, new)


def _is_more_than_a_turn(shown: Sequence[Row]) -> bool:
    said = [row["role"] for row in shown if row["role"] != "system"]
    return said[:1] != ["user"] or said.count("user") > 1


def _conversation(root: Root, call: EndedCall) -> str | None:
    """A sub-agent may have a thread of its own, and is in the conversation of its root all the same."""
    own = call.record.conversation_id
    return own if call.is_explicit else root.identity.conversation or own


def errand(root: Root, call: EndedCall) -> list[LoggedCall]:
    """A call that is not the answer of its run, which has ended without it or has gone on for long."""
    conversation_id = _conversation(root, call)
    if conversation_id is None or call.is_tool_step or root.is_ignored:
        return []
    return [replace(call.record, conversation_id=conversation_id, is_side=True)]


def _is_left_out(root: Root, transcript: Transcript | None) -> bool:
    return transcript is not None and not {transcript.answer_id, transcript.answer}.isdisjoint(root.left_out)
