"""Tools inferred from calls, for logs that hold calls and do not say what could be called."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.messages import Message
from collab_sdk.tool_calls import INFERRED, REMARK
from collab_sdk.tools.base import Done, done_calls, function_tool
from collab_sdk.types import Conversation

ENOUGH = 3
"""Calls of a tool from which on an argument that all of them have is taken to be required."""
MOST_KEYS, MOST_TOOLS, MOST_ARGUMENTS = 12, 1_000, 100
"""Keys of results that are named, and what is remembered of one log: tools, and arguments of each."""
KINDS: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


@dataclass(slots=True)
class _Shape:
    """What is known of a tool."""

    calls: int = 0
    read: int = 0
    """Calls whose arguments are an object."""
    arguments: Counter[str] = field(default_factory=Counter)
    kinds: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    results: set[str] = field(default_factory=set)
    keys: Counter[str] = field(default_factory=Counter)

    def add(self, done: Done) -> None:
        self.calls += 1
        if (arguments := done.call.parsed) is not None:
            self.read += 1
            for name, value in arguments.items():
                if name in self.arguments or len(self.arguments) < MOST_ARGUMENTS:
                    self.arguments[name] += 1
                    self.kinds[name].add(KINDS[type(value)])
        if done.result:
            self._add_result(done.result)

    def _add_result(self, result: str) -> None:
        try:
            value = parse_json(result)
        except InputError:
            self.results.add("text")
            return
        if isinstance(value, list):
            self.results.add("a JSON list")
            value = value[0] if value else None
        else:
            self.results.add("a JSON object" if isinstance(value, dict) else "text")
        for key in value if isinstance(value, dict) else ():
            if key in self.keys or len(self.keys) < MOST_ARGUMENTS:
                self.keys[key] += 1

    def tool(self, name: str) -> dict[str, Any]:
        """In OpenAI's form. What its results said is not in it, only their form."""
        required = [each for each, times in self.arguments.items() if times == self.read >= ENOUGH]
        schema = {
            REMARK: INFERRED,
            "type": "object",
            "properties": {each: _kinds(self.kinds[each]) for each in sorted(self.arguments)},
            "required": sorted(required),
        }
        returned = f" Returns {' or '.join(sorted(self.results))}" if self.results else ""
        keys = sorted(self.keys, key=lambda key: (-self.keys[key], key))[:MOST_KEYS]
        named = f" with {', '.join(keys)}" if keys else ""
        return function_tool(name, f"{name.replace('_', ' ')}.{returned}{named}{'.' if returned else ''}", schema)


def _kinds(found: set[str]) -> dict[str, Any]:
    """The schema of an argument of these types; one that was never anything but null may be anything."""
    kinds = sorted(found - {"integer"} if "number" in found else found)
    if kinds == ["null"]:
        return {}
    return {"type": kinds[0] if len(kinds) == 1 else kinds}


class CallShapes:
    """The tools that some conversations call, gathered one conversation after another, in whatever order."""

    def __init__(self) -> None:
        self._shapes: dict[str, _Shape] = {}

    def add(self, conversation: Conversation) -> None:
        """Take note of the calls in a conversation and in its alternatives. One without a name says nothing."""
        for messages in _responses(conversation):
            for done in done_calls(messages):
                name = done.call.name
                if name and (name in self._shapes or len(self._shapes) < MOST_TOOLS):
                    self._shapes.setdefault(name, _Shape()).add(done)

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """In OpenAI's form, by name."""
        return tuple(self._shapes[name].tool(name) for name in sorted(self._shapes))


def _responses(conversation: Conversation) -> Iterator[Sequence[Message]]:
    """What was said and done in the conversation, and then in each alternative."""
    yield conversation.messages
    for alternatives in conversation.alternatives.values():
        yield from alternatives


def with_tools(
    conversations: Iterable[Conversation],
    *,
    again: Callable[[], Iterable[Conversation]] | None = None,
    on_inferred: Callable[[tuple[Mapping[str, Any], ...]], None] | None = None,
) -> Iterator[Conversation]:
    """The conversations; those of an agent that name no tools get the ones that all calls in them show.

    Of an agent are those that hold calls, and those with the system prompt of one that does: an assistant that only
    talked had the same tools. `again` reads the conversations once more when the first without tools is met; without
    it, all are kept in memory. `on_inferred` is told what was found, when the first conversation gets it.
    """
    if again is None:
        kept = list(conversations)
        conversations, again = kept, lambda: kept
    inferred: tuple[Mapping[str, Any], ...] | None = None
    prompts: set[int] = set()
    for conversation in conversations:
        if conversation.tools:
            yield conversation
            continue
        if inferred is None:
            shapes = CallShapes()
            for each in again():
                shapes.add(each)
                if each.uses_tools:
                    prompts.add(_prompt(each))
            inferred = shapes.tools
        if not conversation.uses_tools and _prompt(conversation) not in prompts:
            yield conversation
            continue
        if on_inferred is not None:
            on_inferred(inferred)
            on_inferred = None
        yield replace(conversation, tools=inferred)


def _prompt(conversation: Conversation) -> int:
    """What tells the system prompts of conversations apart."""
    return hash(tuple(message.content for message in conversation.messages if message.role == "system"))
