"""What there is to record of a root run: its answer, with what the person saw, and the calls beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collab_langchain.calls import EndedCall
from collab_langchain.transcripts import LONGEST_STATE, Row, Transcript
from collab_sdk.logs import LoggedCall

SURE = 20
"""Letters and digits of an answer by which a longer reply is known to be the one it was taken from."""


class Nodes:
    """Which LangGraph nodes have answered so far, and which were only ever asked for something beside the chat."""

    def __init__(self) -> None:
        self._answering: set[str] = set()
        self._beside: set[str] = set()

    def learn(self, answer: EndedCall, others: Sequence[EndedCall]) -> None:
        if (node := _node(answer)) is not None:
            self._answering.add(node)
            self._beside.update(node for call in others if (node := _node(call)) is not None)

    def likely(self, calls: Sequence[EndedCall]) -> list[EndedCall]:
        """Those that may be an answer, as far as is known."""
        answering = [call for call in calls if _node(call) in self._answering]
        return answering or [call for call in calls if _node(call) not in self._beside]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A root run that is over. `transcript` is None if it failed, or if its output does not tell what it answered."""

    run_id: str
    conversation_id: str | None
    user: str | None
    question: Row | None
    transcript: Transcript | None
    is_failed: bool
    may_answer_itself: bool
    """Whether an answer that is no model's is the run's own: a refusal, a cached reply, a person's."""
    started: float
    ended: float

    def records(self, calls: Sequence[EndedCall], nodes: Nodes) -> tuple[LoggedCall | None, list[LoggedCall]]:
        """The answer, and the calls beside it."""
        answer = self._answer(calls, nodes)
        others = [call for call in calls if call is not answer]
        record = self._own_answer() if answer is None else self._answered(answer)
        return record, list(self._beside(others, record, is_answered=answer is not None))

    def _answer(self, calls: Sequence[EndedCall], nodes: Nodes) -> EndedCall | None:
        candidates = [call for call in calls if not call.record.is_side]
        if self.transcript is None:
            return guess(nodes.likely(candidates), is_failed=self.is_failed)
        answer = matching(candidates, self.transcript)
        if answer is not None:
            nodes.learn(answer, [call for call in calls if call is not answer and not call.is_tool_step])
        return answer

    def _answered(self, answer: EndedCall) -> LoggedCall:
        record = replace(answer.record, conversation_id=self.conversation_id)
        transcript = self.transcript
        if transcript is None:
            if answer.record.status == "ok":
                record = replace(record, metadata={**record.metadata, "answer": "guessed"})
            if self.question is None or not record.replies or answer.is_tool_step:
                return record
            transcript = Transcript((self.question, record.replies[0]), is_turn=True)
        if not transcript.is_turn:
            return replace(record, shown=_with_removed(transcript.messages, answer))
        if transcript.messages[0]["role"] != "user":
            return record
        asked, *between, said = transcript.messages
        before, last, steps = _parted(record.messages)
        has_history = any(row["role"] == "user" for row in before)
        is_told = _content(asked) == _content(last) and _content(said) in map(_content, record.replies) and not between
        if is_told and (has_history or self.is_failed or self.conversation_id is None):
            return record  # the call says it itself; sent the question alone, it may be of a longer chat
        if has_history:  # and the app has put the question into other words
            return replace(record, shown=(*before, asked, *steps, said))
        return replace(record, shown=turn((asked, *between, said), record.messages), shown_is_turn=True)

    def _own_answer(self) -> LoggedCall | None:
        transcript = self.transcript
        if transcript is None or not self.may_answer_itself or not transcript.answer:
            return None
        if transcript.is_turn and transcript.messages[0]["role"] != "user":
            return None
        return LoggedCall(
            run_id=self.run_id,
            conversation_id=self.conversation_id,
            messages=transcript.messages[:-1],
            replies=transcript.messages[-1:],
            shown=transcript.messages,
            shown_is_turn=transcript.is_turn,
            source="langchain",
            user=self.user,
            started=self.started,
            ended=self.ended,
        )

    def _beside(
        self, calls: Sequence[EndedCall], answer: LoggedCall | None, *, is_answered: bool
    ) -> Iterator[LoggedCall]:
        """The calls that are neither tool steps or earlier answers of the chat nor attempts that another made good."""
        if self.conversation_id is None:  # there is no chat to put them beside
            return
        held = {mark for row in (*answer.shown, *answer.messages) for mark in _marks(row)} if answer else set()
        for call in reversed(calls):
            record = call.record
            if (is_answered and not record.replies) or held & {m for row in record.replies for m in _marks(row)}:
                continue
            held |= {mark for row in record.messages for mark in _marks(row)}
            yield replace(record, conversation_id=self.conversation_id, is_side=True)


def turn(shown: Sequence[Row], messages: Sequence[Row]) -> tuple[Row, ...]:
    """An exchange without the steps that can be read from what the model was sent, after the person's last message."""
    _, last, steps = _parted(messages)
    return tuple(row for row in shown if not last or row not in steps)


def _with_removed(shown: Sequence[Row], answer: EndedCall) -> tuple[Row, ...]:
    """A graph's messages, and before them those that its model was still sent and that it removed when that was done.

    What a node sets before the history for the model alone, such as examples, has no id: LangGraph gives one to each
    message of its state, or, where the app keeps a list of its own, the model to its replies.
    """
    said = [row for row in shown if row["role"] != "system"]
    sent = [(row, id) for row, id in zip(answer.record.messages, answer.ids, strict=True) if row["role"] != "system"]
    last = next((place for place in reversed(range(len(said))) if said[place]["role"] == "user"), -1)
    rows = [row for row, _ in sent]
    joint = next((n for n in range(len(said) - 1, last, -1) if n and rows[-n:] == said[:n]), None)
    if joint is None:
        return tuple(shown)
    may_lack = set() if any(id for row, id in sent if row["role"] == "user") else {"user"}
    before = sent[:-joint]
    is_own = [id is not None or row["role"] in may_lack for row, id in before]
    removed = [row for place, (row, _) in enumerate(before) if all(is_own[place:])]
    if not any(row["role"] == "assistant" for row in removed):
        return tuple(shown)
    return (*removed, *said)[-LONGEST_STATE:]


def matching(calls: Sequence[EndedCall], transcript: Transcript) -> EndedCall | None:
    """The call whose reply is the answer: by its id, its text, or most of its text, if the app reworked it."""
    for mark in (transcript.answer_id, transcript.answer):
        if mark and (found := next((call for call in reversed(calls) if mark in call.marks), None)):
            return found
    if not (answer := _squeezed(transcript.answer)):
        return None
    outputs = [call for call in reversed(calls) if not call.is_tool_step]
    return next((call for call in outputs if any(_is_reworked(mark, answer) for mark in call.marks)), None)


def guess(calls: Sequence[EndedCall], *, is_failed: bool) -> EndedCall | None:
    """The last that was no tool step; in a run that failed or was broken off, what was going on then."""
    if is_failed:
        calls = [call for call in calls if not call.is_hidden]
    outputs = [call for call in calls if not call.is_tool_step] or list(calls)
    if is_failed:
        going_on = [call for call in calls if call.record.status != "ok"]
        outputs = sorted(going_on, key=_said) or outputs
    return outputs[-1] if outputs else None


def _said(call: EndedCall) -> int:
    return sum(len(str(reply["content"])) for reply in call.record.replies)


def _node(call: EndedCall) -> str | None:
    node = call.record.metadata.get("node")
    return None if node is None else str(node)


def _is_reworked(reply: str, answer: str) -> bool:
    reply = _squeezed(reply)
    is_part = len(answer) >= SURE and answer in reply
    is_most = 0 < len(reply) <= len(answer) <= 2 * len(reply) and reply in answer
    return is_part or is_most


def _squeezed(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _content(row: Mapping[str, Any]) -> Any:
    content = row.get("content")
    return content.strip() if isinstance(content, str) else content


def _parted(messages: Sequence[Row]) -> tuple[Sequence[Row], Row, Sequence[Row]]:
    """What was said before the person's last message, that message, and the steps since then."""
    said = [row for row in messages if row["role"] != "system"]
    last = next((place for place in reversed(range(len(said))) if said[place]["role"] == "user"), None)
    return ([], {}, said) if last is None else (said[:last], said[last], said[last + 1 :])


def _marks(row: Mapping[str, Any]) -> Iterator[str]:
    """By what an assistant's message is found again."""
    if row["role"] != "assistant":
        return
    if calls := row.get("tool_calls"):
        yield from (str(call.get("id")) for call in calls)
    elif isinstance(content := _content(row), str) and content:
        yield content
