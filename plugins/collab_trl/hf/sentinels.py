"""What a chat template leaves out: a chat with a word of its own in every place, and which of these words come through.

Templates are programs that pick from a chat what they know, and drop the rest in silence: roles, calls, results, tools.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

Row = Mapping[str, Any]
TOOLS = "the tools"
SWITCHES = re.compile(r"/(?:no_?)?think\b")
"""Words in a message that some templates obey and take out."""


@dataclass(kw_only=True, slots=True)
class Sentinels:
    """A chat and its tools with other words in all places that a template must show, and what each stands for."""

    chat: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    """By the word that stands there."""
    details: dict[str, str] = field(default_factory=dict)
    """The same of what a model may have learnt instead: what its tools are for, and what they take."""

    @classmethod
    def of(cls, chat: Sequence[Row], tools: Sequence[Row], *, replied: int) -> Self:
        """`replied` is the place of the message with which the reply begins."""
        made = cls()
        names: dict[str, str] = {}
        made.tools = [made._tool(tool, names) for tool in tools]
        for place, message in enumerate(chat):
            made.chat.append(made._message(message, names, of_reply=place >= replied))
        return made

    def left_out(self, shown: str) -> tuple[str, ...]:
        """What is missing from the text that the template makes of them, each once, in the order of the chat."""
        found = dict.fromkeys(place for word, place in self.places.items() if word not in shown)
        return tuple(place for place in found if not any(place != other and other in place for other in found))

    def details_left_out(self, shown: str) -> tuple[str, ...]:
        """What is missing of tools that are shown."""
        return tuple(dict.fromkeys(place for word, place in self.details.items() if word not in shown))

    def _word(self, place: str) -> str:
        word = self._next_word()
        self.places[word] = place
        return word

    def _detail(self, place: str) -> str:
        word = self._next_word()
        self.details[word] = place
        return word

    def _next_word(self) -> str:
        return f"Zq{len(self.places) + len(self.details):05d}"

    def _message(self, message: Row, names: dict[str, str], *, of_reply: bool) -> dict[str, Any]:
        row = dict(message)
        calls = row.get("tool_calls") or ()
        if isinstance(row.get("content"), str) and row["content"].strip():
            row["content"] = self._word(_said(row["role"], has_calls=bool(calls), of_reply=of_reply))
        if row["role"] == "tool" and isinstance(row.get("name"), str):
            row["name"] = names.get(row["name"], row["name"])
        if calls:
            whose = "the tool call of the reply" if of_reply else "an earlier tool call"
            row["tool_calls"] = [self._call(call, names, whose) for call in calls]
        return row

    def _call(self, call: Any, names: dict[str, str], whose: str) -> Any:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            return call
        word = self._word(whose)
        if isinstance(function.get("name"), str):
            names.setdefault(function["name"], word)
        arguments = self._values(function.get("arguments"), f"the arguments of {whose}")
        return {**call, "function": {**function, "name": word, "arguments": arguments}}

    def _values(self, value: Any, place: str) -> Any:
        """The same keys, with words in place of texts and of numbers."""
        if isinstance(value, Mapping):
            return {key: self._values(item, place) for key, item in value.items()}
        if isinstance(value, list):
            return [self._values(item, place) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = 7_000_000 + len(self.places)
            self.places[str(number)] = place
            return number
        return self._word(place) if isinstance(value, str) and value else value

    def _tool(self, tool: Row, names: dict[str, str]) -> dict[str, Any]:
        function = tool.get("function")
        if not isinstance(function, Mapping):
            return dict(tool)
        made = dict(function)
        if isinstance(function.get("name"), str):
            names[function["name"]] = made["name"] = self._word(TOOLS)
        if isinstance(function.get("description"), str) and function["description"].strip():
            made["description"] = self._detail("descriptions")
        parameters = function.get("parameters")
        if isinstance(parameters, Mapping) and isinstance(parameters.get("properties"), Mapping):
            renamed = {name: self._detail("parameters") for name in parameters["properties"]}
            properties = {renamed[name]: value for name, value in parameters["properties"].items()}
            required = parameters.get("required")
            made["parameters"] = {**parameters, "properties": properties}
            if isinstance(required, list):
                made["parameters"]["required"] = [renamed.get(name, name) for name in required]
        return {**tool, "function": made}


def _said(role: str, *, has_calls: bool, of_reply: bool) -> str:
    if role == "tool":
        return "a tool's result"
    if role == "assistant":
        beside = "the text beside the tool call of " if has_calls else ""
        return f"{beside}{'the reply' if of_reply else 'an earlier reply'}"
    return "a user message" if role == "user" else f"the {role} message"


def altered(chat: Sequence[Row], shown: str, *, replied: int) -> tuple[str, ...]:
    """What of a chat is not in the text in its own words; blanks, and whether it is written as JSON, do not count.

    A template may look at the words themselves, and cut a message at one of them.
    """
    found = {}
    whole = ""
    for place, message in enumerate(chat):
        content = message.get("content")
        if not isinstance(content, str) or not (text := content.strip()) or text in shown:
            continue
        whole = whole or squeezed(shown)
        forms = (text, *(json.dumps(text, ensure_ascii=ascii_)[1:-1] for ascii_ in (False, True)))
        if not any(squeezed(form) in whole for form in forms):
            calls = bool(message.get("tool_calls"))
            found[_said(message["role"], has_calls=calls, of_reply=place >= replied)] = True
    return tuple(f"part of {said}" for said in found)


def squeezed(text: str) -> str:
    """A text without blanks, and without the words that templates take out."""
    return "".join(SWITCHES.sub("", text).split())
