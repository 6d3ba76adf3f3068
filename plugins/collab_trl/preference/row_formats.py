"""Rows of every preference format, and of the formats for SFT and KTO, as examples."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs import (
    EARLIER,
    ConversationFormat,
    arguments_object,
    earlier_messages,
    format_of,
    in_order_of_calls,
    is_untrained,
    margin_of,
    message_of,
    repeated_prompt,
    tools_of,
)
from collab_sdk.messages import REASONING
from collab_sdk.models import split_reasoning
from collab_sdk.preferences import opening_of

Row = Mapping[str, Any]
Messages = tuple[Mapping[str, Any], ...]

KNOWN_BY = ("preferred_output", "chosen", "completion", "messages")
SYSTEM = ("system", "system_prompt")
"""Fields that hold the system prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A prompt and its completions: both of a pair, or one of them."""

    where: str
    conversation: str
    """Its id, or else what is known of it: how it begins."""
    prompt: Messages
    chosen: Messages = ()
    rejected: Messages = ()
    margin: float | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    is_named: bool = True
    """Whether the row says which conversation it is of."""
    known_by: str = ""
    """The hash that decides whether its conversation is held out; empty before that is decided."""
    user: tuple[str, ...] = ()
    """All that the user says in the conversation, where it is the user who is learnt."""

    @property
    def said(self) -> list[str]:
        """What the user says in the prompt; where the user is learnt, all that they say."""
        return list(self.user) or [message["content"] for message in self.prompt if message["role"] == "user"]

    @property
    def asked(self) -> str:
        """What the replies are replies to, as one text."""
        return json.dumps([words_of(self.prompt), self.tools], sort_keys=True, default=str)

    @property
    def words(self) -> str:
        """All that is learnt from it, as one text."""
        return json.dumps([self.asked, words_of(self.chosen), words_of(self.rejected)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """A row that says what an earlier one does."""

    where: str
    of: str
    is_other: bool
    """Whether the two name different conversations."""


def words_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """What is said and called, as one text. Blanks make no difference, nor do the ids of calls, which no logs share."""
    said = [
        {key: value for key, value in message.items() if key not in ("tool_calls", "tool_call_id")}
        | {"content": " ".join(normalize("NFC", message["content"]).split()), "calls": _calls(message)}
        for message in messages
    ]
    return json.dumps(said, sort_keys=True, default=str)


def _calls(message: Mapping[str, Any]) -> Any:
    calls = message.get("tool_calls")
    if not isinstance(calls, Sequence):
        return calls
    return [{**call, "id": None} if isinstance(call, Mapping) else call for call in calls]


def read_example(row: Any, where: str) -> Example:
    """The example in a row of any known format. Raises InputError."""
    if not isinstance(row, Mapping):
        raise InputError(f"a row must be an object, not {type(row).__name__}", where=where)
    try:
        row = row if any(name in row for name in KNOWN_BY) else _logged(row)
        prompt, chosen, rejected = _split(row)
        prompt = _with_fields(row, prompt)
    except InputError as error:
        raise InputError(error.problem, where=where) from None
    if not any(message["role"] == "user" for message in prompt):
        raise InputError("the prompt has no user message", where=where)
    name = row.get("conversation_id")
    is_named = isinstance(name, str) and bool(name)
    return Example(
        where=where,
        conversation=str(name) if is_named else _beginning(prompt),
        is_named=is_named,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=margin_of(row),
        tools=_tools(row),
    )


def _split(row: Row) -> tuple[Messages, Messages, Messages]:
    """Prompt, chosen and rejected; what a format has not is empty."""
    if "preferred_output" in row:  # OpenAI's preference format
        messages = row["input"].get("messages") if isinstance(row.get("input"), Mapping) else None
        preferred = _messages(row["preferred_output"], "assistant")
        return _without_prompt(messages, preferred, _messages(row.get("non_preferred_output"), "assistant"))
    if "chosen" in row:
        chosen = _messages(row["chosen"], "assistant")
        rejected = _messages(row.get("rejected"), "assistant")
        return _without_prompt(_prompt_of(row), chosen, rejected)
    if "completion" in row:
        completion = _replies(_messages(row["completion"], "assistant"))
        good = _label(row)
        return _messages(row.get("prompt"), "user"), completion if good else (), () if good else completion
    messages = _messages(row["messages"], "user")
    spoke = max((place for place, message in enumerate(messages, 1) if message["role"] == "user"), default=0)
    return messages[:spoke], _replies(messages[spoke:]), ()


def _logged(row: Row) -> Row:
    """A chat in any format of logs, up to the last thing that the assistant says."""
    try:
        found, row = format_of(row)
    except InputError:
        raise InputError(
            "no known training row: expected prompt with chosen and rejected, input with preferred_output, prompt with "
            f"completion, messages, or a logged chat; found {', '.join(map(repr, list(row)[:10])) or 'nothing'}"
        ) from None
    if not isinstance(found, ConversationFormat):
        raise InputError("a part of a chat, such as a logged call: collab logs import gathers them")
    chat = found.read(row)
    if chat is None:
        raise InputError("a chat in which nobody has said anything")
    messages = [message.to_dict() for message in chat.messages]
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    return {"messages": messages, "conversation_id": chat.id, "tools": list(chat.tools)}


def _label(row: Row) -> bool:
    label = row.get("label", True)
    if label not in (True, False):
        raise InputError(f"label must be true or false, not {label!r}")
    return bool(label)


def _prompt_of(row: Row) -> Any:
    """Under TRL's name, LLaMA-Factory's, or Axolotl's."""
    return next((row[name] for name in ("prompt", "conversations", "messages") if row.get(name)), None)


def _without_prompt(prompt: Any, chosen: Messages, rejected: Messages) -> tuple[Messages, Messages, Messages]:
    """Many public data sets repeat the prompt, or its end, at the start of both completions; it belongs to neither."""
    if not (shared := repeated_prompt(chosen, rejected)):
        return _messages(prompt, "user"), _replies(chosen), _replies(rejected)
    asked = chosen[:shared]
    if prompt is not None and (given := _messages(prompt, "user")) not in (chosen, rejected):
        asked = _joined(given, asked)
    return asked, _replies(chosen[shared:]), _replies(rejected[shared:])


def _joined(prompt: Messages, repeated: Messages) -> Messages:
    """The prompt with what the completions repeat: its end, or all of it and more. Raises InputError otherwise."""
    said, again = ([words_of([message]) for message in messages] for messages in (prompt, repeated))
    if any(again[place : place + len(said)] == said for place in range(len(again))):
        return repeated
    for place in range(len(said)):
        if said[place:] == again[: len(said) - place]:
            return (*prompt[:place], *repeated)
    raise InputError("the prompt is another one than chosen and rejected begin with")


def _with_fields(row: Row, prompt: Messages) -> Messages:
    """The prompt with what some formats have in fields beside it: a system prompt, and the messages before it."""
    lead = prompt[:1] if prompt and prompt[0]["role"] in ("system", "developer") else ()
    rest = prompt[len(lead) :]
    if name := next((name for name in SYSTEM if row.get(name)), None):
        if not isinstance(row[name], str):
            raise InputError(f"{name} must be text")
        if lead and words_of([{**lead[0], "content": row[name]}]) != words_of(lead):
            raise InputError(f"{name} is another one than the prompt's {lead[0]['role']} message")
        lead = lead or ({"role": "system", "content": row[name]},)
    if name := next((name for name in EARLIER if row.get(name)), None):
        earlier = tuple(message.to_dict() for message in earlier_messages(row))
        if not earlier or (lead and earlier[0]["role"] == "system"):
            raise InputError(f"{name} must be a list of messages, without a system message beside another one")
        if words_of(rest[: len(earlier)]) != words_of(earlier):
            if len(rest) > 1:
                raise InputError(f"{name} is not what the prompt begins with, which has earlier messages of its own")
            rest = (*earlier, *rest)
    return (*lead, *rest)


def _replies(messages: Messages) -> Messages:
    """A completion is what the assistant says and does; its tools' results, which it does not write, may be between."""
    for message in messages:
        if message["role"] not in ("assistant", "tool"):
            raise InputError(f"a completion holds a {message['role']} message; it must be what the assistant does")
        if is_untrained(message):
            raise InputError("a reply has a weight of 0, so nothing is to be learnt from it")
        _check_calls(message)
    if messages and messages[0]["role"] == "tool":
        raise InputError(
            "a completion begins with a tool's result; the call belongs to it, or the result to the prompt"
        )
    return messages


def _check_calls(message: Mapping[str, Any]) -> None:
    """Raises InputError for arguments that no server could read."""
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise InputError("tool_calls must be a list of calls of functions, each with a name and arguments")
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            arguments = arguments_object(arguments)
        if not isinstance(arguments, Mapping):
            raise InputError("the arguments of a call in a reply are no JSON object")


def _messages(value: Any, role: str) -> Messages:
    """Messages from a list of them, from one, or from its text."""
    if isinstance(value, str):
        value = {"role": role, "content": value}
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, Sequence):
        raise InputError("a prompt or a completion is missing" if value is None else "messages must be a list")
    # Older calls have no ids, and some templates want them: of nine letters and digits, and other ones in a reply.
    made = "call" if role == "user" else "next"
    named = [_with_call(message, id=f"{made}{place:05d}") for place, message in enumerate(value)]
    return tuple(in_order_of_calls(_without_reasoning(_message(message)) for message in _with_results(named)))


def _with_call(value: Any, *, id: str) -> Any:
    """The message with its call as OpenAI's API has it now, where it has it as in its first version."""
    if not isinstance(value, Mapping) or not (call := value.get("function_call")) or "from" in value:
        return value
    if value.get("tool_calls") or not isinstance(call, Mapping):
        raise InputError("function_call must be an object with name and arguments, and alone")
    others = {key: item for key, item in value.items() if key != "function_call"}
    return others | {"tool_calls": [{"id": id, "type": "function", "function": dict(call)}]}


def _with_results(messages: Sequence[Any]) -> Iterator[Any]:
    """The messages, with those of a `function` as results of the calls before them."""
    id = None
    for message in messages:
        if isinstance(message, Mapping) and message.get("role") == "function":
            if id is None:
                raise InputError("a function message has no call before it")
            yield {**message, "role": "tool", "tool_call_id": id}
            id = None
            continue
        yield message
        calls = message.get("tool_calls") if isinstance(message, Mapping) else None
        id = calls[0].get("id") if isinstance(calls, list) and calls and isinstance(calls[0], Mapping) else None


def _without_reasoning(message: Mapping[str, Any]) -> dict[str, Any]:
    """What is learnt is what the user saw."""
    kept = {key: value for key, value in message.items() if key not in REASONING}
    if kept["role"] == "assistant":
        kept["content"] = split_reasoning(kept["content"])[0]
    return kept


def _message(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and "from" in value:
        return message_of(value)[0].to_dict() | ({"weight": 0} if is_untrained(value) else {})
    if not isinstance(value, Mapping) or not isinstance(value.get("role"), str):
        raise InputError("a message must be an object with role and content")
    content = value.get("content")
    if content is None or (content == [] and value.get("tool_calls")):
        content = ""
    if not isinstance(content, str):
        raise InputError("content must be text")
    fields = {key: item for key, item in value.items() if item is not None} | {"content": content}
    if refusal := fields.pop("refusal", None):
        if content or not isinstance(refusal, str):
            raise InputError("a refusal must be text, without content beside it")
        fields["content"] = refusal
    unread = [key for key, item in fields.items() if item and key != "tool_calls" and isinstance(item, list | Mapping)]
    if fields["role"] == "assistant" and unread and not fields["content"] and not fields.get("tool_calls"):
        raise InputError(f"an assistant message has no content, and its {unread[0]} is not read")
    return fields


def _beginning(prompt: Messages) -> str:
    return opening_of([next(message["content"] for message in prompt if message["role"] == "user")])


def _tools(row: Row) -> tuple[Mapping[str, Any], ...]:
    source = row["input"] if isinstance(row.get("input"), Mapping) else row
    found = [name for name in ("tools", "functions") if source.get(name)]  # LLaMA-Factory writes "" for none
    if len(found) > 1:
        raise InputError("tools and functions in one row: give one of them")
    tools = source[found[0]] if found else []
    if isinstance(tools, str):
        try:
            tools = parse_json(tools)
        except InputError:
            raise InputError(f"{found[0]} are no JSON") from None
    if not isinstance(tools, list):
        raise InputError(f"{found[0]} must be a list of objects")
    return tools_of(tools)
