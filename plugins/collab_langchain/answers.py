"""Which of the model calls within a root run gave the answer that the user saw."""

from collections.abc import Sequence

from collab_langchain.calls import EndedCall


def answers(calls: Sequence[EndedCall], shown: frozenset[str]) -> list[EndedCall]:
    """One for each conversation: a root run is nearly always in one, but may be a loop over many.

    `shown` are the marks of what the root run returned.
    """
    by_conversation: dict[str | None, list[EndedCall]] = {}
    for call in calls:
        by_conversation.setdefault(call.record.conversation_id, []).append(call)
    return [_answer(group, shown) for group in by_conversation.values()]


def _answer(calls: Sequence[EndedCall], shown: frozenset[str]) -> EndedCall:
    """The last whose reply is shown; where the app reworks replies, the last that was no tool step.

    Titles, guardrails and follow-up questions are often asked for after the answer.
    """
    outputs = [call for call in calls if not call.is_tool_step] or calls
    return next((call for call in reversed(outputs) if call.marks & shown), outputs[-1])
