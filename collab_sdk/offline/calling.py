"""The assistant where it has tools: it calls the one that fits what the user wants, and tells what came back."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collab_sdk.messages import only_reads, since_the_user
from collab_sdk.models.base import ChatReply, ChatRequest
from collab_sdk.offline import assistant
from collab_sdk.offline.deeds import Deed, is_refusal, plain, spelt_out, stems_of, steps
from collab_sdk.offline.reading import read_assistant
from collab_sdk.offline.voice import Voice
from collab_sdk.offline.wishes import is_question, wishes
from collab_sdk.offline.words import Words, squash, tokens_of

ACTED = ("Done: {}.", "That is done: {}.", "All set: {}.")
FOUND = ("Here is what I see: {}.", "It says: {}.", "I looked it up: {}.")
REFUSED = ("I'm afraid that did not work: {}.", "That could not be done: {}.", "Sorry, it was refused: {}.")
NOTHING = "nothing came back"
CALLS = 2
"""In one turn, at most."""
VERB = 100
"""What it counts that a tool's verb was said."""
PURPOSE = 3
"""Words that what a tool is for shares with the request, where its verb does not."""
TOLD = 300
"""Characters of a result that are said."""
FUNCTION_WORDS = stems_of(
    "a about an and any are as at be by can could do does for from give have how i if in is it like me my need of on or"
    " please should so some than that the there they this to us use want was we what when which who will with would you"
    " your id"
)
IDENTIFYING = frozenset("code id identifier key no number ref reference uuid".split())
"""A parameter named like that holds a word with a digit."""
TOKEN_WITH_DIGIT = re.compile(r"#?\b[\w-]*\d[\w-]*")
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
NUMBER = re.compile(r"(?<!\d)-?\d{1,15}(?:\.\d{1,15})?(?!\d)")
UNKNOWN = object()
"""The value of a parameter that the user has not given."""


def reply(request: ChatRequest, *, manner: str, voice: Voice) -> ChatReply:
    """A call, or text: what the results say, a question, or what an assistant without tools would say."""
    messages = request.messages
    said = [message.content for message in messages if message.role == "user"] or [""]
    done = [step for step in steps(since_the_user(messages)) if isinstance(step, Deed)]
    if len(done) >= CALLS or not all(deed.succeeded for deed in done):
        return ChatReply(content=_told(done, voice), usd=0.0)
    spoken = [message for message in messages if message.role != "tool" and message.content]
    text = assistant.reply(spoken, manner=manner, voice=voice)
    asks = not done and read_assistant(text).asks
    forced = request.tool_choice not in (None, "auto") and not done
    if forced or (not asks and (wishes(said[-1]) or is_question(said[-1]))):
        tools = [tool for tool in request.tools if not forced or _named(tool) in _demanded(request)]
        before = [step for step in steps(messages) if isinstance(step, Deed)]
        if (call := _call(tools, said, before, voice, forced=forced, is_second=bool(done))) is not None:
            return ChatReply(content="", tool_calls=(call,), usd=0.0)
    return ChatReply(content=_told(done, voice) if done else text, usd=0.0)


def _demanded(request: ChatRequest) -> set[str]:
    """The tools of which one has to be called."""
    choice = request.tool_choice
    if isinstance(choice, Mapping):
        choice = str(choice.get("function", {}).get("name"))
    known = {_named(tool) for tool in request.tools}
    return {choice} if choice in known else known


def _told(done: Iterable[Deed], voice: Voice) -> str:
    """What came back, a sentence for each call; what was refused is told as refused."""
    said = []
    for deed in done:
        result = " ".join(plain(deed.result or "").split())[:TOLD].rstrip(" .") or NOTHING
        ways = REFUSED if is_refusal(deed.result or "") else ACTED if deed.acts else FOUND
        said.append(voice.pick(ways).format(result))
    return " ".join(said)


def _call(
    tools: Iterable[Mapping[str, Any]],
    said: Sequence[str],
    before: Sequence[Deed],
    voice: Voice,
    *,
    forced: bool,
    is_second: bool,
) -> dict[str, Any] | None:
    """The call of the tool that fits best; None where none does, or what fits has been called already."""
    made = {(deed.call.name, json.dumps(deed.call.parsed, sort_keys=True)) for deed in before if deed.succeeded}
    spoken_for = {deed.call.name for deed in before if deed.succeeded}

    def fit(tool: Mapping[str, Any]) -> int:
        if is_second:
            return max(0, _fit(tool, said[-1]) - VERB)  # what was asked for beside the first
        return _fit(tool, said[-1]) or (0 if _named(tool) in spoken_for else _fit(tool, "\n".join(said)))

    for tool in sorted(tools, key=fit, reverse=True):
        arguments = _arguments(tool, said, voice, forced=forced) if forced or fit(tool) else None
        if arguments is None or (_named(tool), json.dumps(arguments, sort_keys=True)) in made:
            continue
        function = {"name": _named(tool), "arguments": json.dumps(arguments, ensure_ascii=False)}
        return {"id": f"call_{len(before)}", "type": "function", "function": function}
    return None


def _fit(tool: Mapping[str, Any], text: str) -> int:
    """How much a tool has to do with what was said; 0 for too little.

    A tool that acts takes its verb, or a value that it alone knows: an order that is spoken of is not to be cancelled.
    """
    words, spoken = Words(text), stems_of(text) - FUNCTION_WORDS
    name, purpose = spelt_out(_named(tool)), str(_function(tool).get("description") or "")
    verb = stems_of(name.partition(" ")[0]) - FUNCTION_WORDS
    by_value = sum(_is_said(value, words) for schema in _properties(tool).values() for value in _values(schema))
    by_name = len(stems_of(name) & spoken)
    by_purpose = len(stems_of(f"{purpose} {spelt_out(' '.join(_properties(tool)))}") & spoken)
    if verb & spoken or by_value:
        return VERB + 10 * by_value + by_name + by_purpose
    if not only_reads(_named(tool)):
        return by_purpose if by_purpose >= PURPOSE else 0
    return 10 * by_name + by_purpose if by_name or by_purpose > 1 else 0


def _arguments(tool: Mapping[str, Any], said: Sequence[str], voice: Voice, *, forced: bool) -> dict[str, Any] | None:
    """What the user said, as the tool wants it; None where something is required that they did not say."""
    required = _parameters(tool).get("required")
    needed = required if isinstance(required, list | tuple) else ()
    arguments: dict[str, Any] = {}
    for name, schema in _properties(tool).items():
        value = _value(name, _plain_schema(schema), said, voice, needed=name in needed)
        if value is UNKNOWN and forced and name in needed:
            value = {"integer": 0, "number": 0}.get(str(_plain_schema(schema).get("type")), "")
        if value is not UNKNOWN:
            arguments[name] = value
        elif name in needed:
            return None
    return arguments


def _value(name: str, schema: Mapping[str, Any], said: Sequence[str], voice: Voice, *, needed: bool) -> Any:
    """The value of one parameter. What is optional and was not named is left out; an open choice is guessed."""
    values = _values(schema)
    if values:
        for text in reversed(said):
            if named := [value for value in values if _is_said(value, Words(text))]:
                return max(named, key=lambda value: len(str(value)))
        return schema.get("default", voice.pick(values)) if needed else UNKNOWN
    words = set(tokens_of(spelt_out(name)))
    match schema.get("type"):
        case "boolean":
            spoken = stems_of("\n".join(said))
            is_named = bool((stems_of(spelt_out(name)) - FUNCTION_WORDS) & spoken)
            return is_named if is_named or needed else UNKNOWN
        case "integer" | "number" as kind:
            number = _number(words, said, needed=needed)
            return number if number is UNKNOWN or kind == "number" else int(number)
        case "array":
            item = _value(name, _plain_schema(schema.get("items")), said, voice, needed=needed)
            return [item] if item is not UNKNOWN else [] if needed else UNKNOWN
        case "object":
            return {} if needed else UNKNOWN
        case _:
            return _text(words, said) if needed or words & IDENTIFYING else UNKNOWN


def _number(words: set[str], said: Sequence[str], *, needed: bool) -> Any:
    """The number beside a word of the parameter's name; if there is none and it is needed, the last that was said."""
    for text in reversed(said):
        tokens = tokens_of(text)
        for place, token in enumerate(tokens):
            near = tokens[max(0, place - 2) : place + 2]
            if NUMBER.fullmatch(token) and not words.isdisjoint(near):
                return float(token) if "." in token else int(token)
    numbers = [token for text in said for token in NUMBER.findall(text)]
    return UNKNOWN if not numbers or not needed else float(numbers[-1]) if "." in numbers[-1] else int(numbers[-1])


def _text(words: set[str], said: Sequence[str]) -> Any:
    """An address, a word with a digit, or what the user wants, by the parameter's name."""
    if words & {"email", "mail"}:
        found = [address for text in said for address in EMAIL.findall(text)]
    elif words & IDENTIFYING:
        found = [token for text in said for token in TOKEN_WITH_DIGIT.findall(text)]
    else:
        found = [wish for text in said for wish in wishes(text)] or [" ".join(said[-1].split())[:TOLD]]
    return found[-1] if found and found[-1] else UNKNOWN


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function", tool)
    return function if isinstance(function, Mapping) else {}


def _named(tool: Mapping[str, Any]) -> str:
    return str(_function(tool).get("name") or "")


def _parameters(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = _function(tool).get("parameters")
    return schema if isinstance(schema, Mapping) else {}


def _properties(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    known = _parameters(tool).get("properties")
    return known if isinstance(known, Mapping) else {}


def _plain_schema(schema: Any) -> Mapping[str, Any]:
    """The schema with one type: the first of several that is not null."""
    if not isinstance(schema, Mapping):
        return {}
    several = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(several, list):
        return next((_plain_schema(each) for each in several if each != {"type": "null"}), {})
    kinds = schema.get("type")
    return (
        {**schema, "type": next((kind for kind in kinds if kind != "null"), None)}
        if isinstance(kinds, list)
        else schema
    )


def _values(schema: Any) -> Sequence[Any]:
    """What a parameter, or each item of it, may be, where only some values will do."""
    schema = _plain_schema(schema)
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return [value for value in allowed if value is not None] if isinstance(allowed, list) else []


def _is_said(value: Any, words: Words) -> bool:
    return bool(squash(str(value))) and words.say(squash(str(value)))
