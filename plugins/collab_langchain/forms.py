"""A history in the form that a runnable takes."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables.history import RunnableWithMessageHistory

from collab_langchain.messages import before_and_last, langchain_messages
from collab_langchain.schema import AnyRunnable, Kind, front, human_variables, is_graph, parts, whole_kind
from collab_sdk.errors import UsageError
from collab_sdk.messages import Message

HISTORY_NAMES = frozenset({"messages", "history", "chat_history"})
INPUT_NAMES = frozenset({"input", "question", "query", "human_input", "user_input"})

Form = Callable[[Sequence[Message]], Any]


def input_form(runnable: AnyRunnable, name: str) -> Form:
    """How to hand a history to `runnable`. Raises UsageError if its input type does not tell.

    Warns about one that takes a text alone: it cannot see the history.
    """
    first = front(runnable)
    if isinstance(first, RunnableWithMessageHistory):
        return _LastOnly(_history_key(first, name), as_text=first.history_messages_key is not None)
    kind = whole_kind(runnable)
    if kind is Kind.MESSAGES:
        return langchain_messages
    if kind is Kind.DICTS:
        return _dicts
    if kind is Kind.TEXT:
        _warn_of_lost_history(name)
        return _last_text
    return _dict_form(runnable, name)


@dataclass(frozen=True, slots=True)
class _Filled:
    """A dict: the history under `history`, without the user's last message if that has a place of its own."""

    history: str | None
    text: str | None
    as_dicts: bool

    def __call__(self, history: Sequence[Message]) -> dict[str, Any]:
        filled: dict[str, Any] = {}
        if self.text is not None:
            history, filled[self.text] = before_and_last(history)
        if self.history is not None:
            filled[self.history] = _dicts(history) if self.as_dicts else langchain_messages(history)
        return filled


@dataclass(frozen=True, slots=True)
class _LastOnly:
    """The user's last message, for a runnable that looks the others up in its session."""

    key: str | None
    as_text: bool

    def __call__(self, history: Sequence[Message]) -> Any:
        _, text = before_and_last(history)
        last = text if self.as_text else [HumanMessage(text)]
        return last if self.key is None else {self.key: last}


def _dicts(history: Sequence[Message]) -> list[dict[str, Any]]:
    return [message.to_dict() for message in history]


def _last_text(history: Sequence[Message]) -> str:
    return before_and_last(history)[1]


def _history_key(runnable: RunnableWithMessageHistory, name: str) -> str | None:
    if runnable.history_messages_key is not None and runnable.input_messages_key is None:
        raise UsageError(f"{name}: RunnableWithMessageHistory must be told where the input goes: input_messages_key.")
    return runnable.input_messages_key


def _dict_form(runnable: AnyRunnable, name: str) -> _Filled:
    found = parts(runnable)
    histories = _of_kind(found, (Kind.MESSAGES, Kind.DICTS), HISTORY_NAMES)
    if is_graph(front(runnable)):
        if "messages" not in histories:
            raise _untold(name, found, "A graph is given its history under the key 'messages'.")
        return _Filled("messages", None, found["messages"][0] is Kind.DICTS)
    texts = _of_kind(found, (Kind.TEXT,), INPUT_NAMES)
    history, text = _only(histories, HISTORY_NAMES), _only(texts, INPUT_NAMES)
    if text is not None and history is not None and text not in INPUT_NAMES | human_variables(runnable):
        raise _untold(name, found, f"Bind {text!r} (prompt.partial) if it is not the user's message.")
    unfilled = [key for key, (_, required) in found.items() if required and key not in (history, text)]
    if unfilled or (history is None and (histories or text is None)):
        raise _untold(name, found, f"Nothing to fill {unfilled[0]!r} with." if unfilled else "")
    if history is None:
        _warn_of_lost_history(name)
    return _Filled(history, text, history is not None and found[history][0] is Kind.DICTS)


def _of_kind(
    found: Mapping[str, tuple[Kind, bool]], kinds: tuple[Kind, ...], names: frozenset[str]
) -> Mapping[str, bool]:
    """The keys of these kinds, or of no known kind and one of these names; with whether they are required."""
    return {
        key: required
        for key, (kind, required) in found.items()
        if kind in kinds or (kind is Kind.UNTYPED and key in names)
    }


def _only(keys: Mapping[str, bool], names: frozenset[str]) -> str | None:
    """The one that must be filled, or the one there is, or the one of these names."""
    required = [key for key, is_required in keys.items() if is_required]
    candidates = required or list(keys)
    if len(candidates) > 1:
        candidates = [key for key in candidates if key in names]
    return candidates[0] if len(candidates) == 1 else None


def _warn_of_lost_history(name: str) -> None:
    warnings.warn(
        f"{name} takes one text and no messages, so it is given the user's last message and cannot see the history. "
        "If it keeps its own, wrap it in a function of messages that starts from them.",
        stacklevel=2,
    )


def _untold(name: str, found: Mapping[str, tuple[Kind, bool]], problem: str) -> UsageError:
    takes = ", ".join(f"{key} ({kind})" for key, (kind, _) in found.items())
    return UsageError(
        f"{name} takes {f'a dict of {takes}' if takes else 'an input of no known type'}, and that does not tell where "
        f"the messages go. {problem + ' ' if problem else ''}Wrap it in a function of messages: "
        "as_chat_model(lambda messages: bot.invoke({...}))."
    )
