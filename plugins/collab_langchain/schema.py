"""What a runnable says about its input."""

import inspect
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from langchain_core.prompts import ChatPromptTemplate, HumanMessagePromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.history import RunnableWithMessageHistory

AnyRunnable = Runnable[Any, Any]
Schema = Mapping[str, Any]


class Kind(StrEnum):
    """What a part of the input is, as far as its type tells."""

    MESSAGES = "messages"
    DICTS = "list of dicts"
    TEXT = "text"
    OTHER = "something else"
    UNTYPED = "untyped"


def front(runnable: AnyRunnable) -> AnyRunnable:
    """The part of a chain that gets its input."""
    while not isinstance(runnable, RunnableWithMessageHistory):
        if isinstance(runnable, RunnableBindingBase):
            runnable = runnable.bound
        elif isinstance(runnable, RunnableSequence):
            runnable = runnable.first
        elif isinstance(runnable, RunnableWithFallbacks):
            runnable = runnable.runnable
        elif isinstance(runnable, DynamicRunnable):
            runnable = runnable.default
        else:
            break
    return runnable


def is_graph(runnable: AnyRunnable) -> bool:
    return hasattr(runnable, "checkpointer")  # LangGraph need not be installed


def whole_kind(runnable: AnyRunnable) -> Kind:
    """What the input as a whole is. A function whose parameter is called `messages` needs no type."""
    schema, definitions = _input_schema(runnable)
    kind = _kind(schema, definitions)
    first = front(runnable)
    if kind is Kind.UNTYPED and isinstance(first, RunnableLambda) and _first_parameter(first) == "messages":
        return Kind.MESSAGES
    return kind


def parts(runnable: AnyRunnable) -> dict[str, tuple[Kind, bool]]:
    """The keys of the input, if it is a dict: what each one is and whether it is required."""
    schema, definitions = _input_schema(runnable)
    required = schema.get("required", ())
    properties: Schema = schema.get("properties", {})
    return {key: (_kind(part, definitions), key in required) for key, part in properties.items()}


def human_variables(runnable: AnyRunnable) -> set[str]:
    """The variables that the chain's chat prompt fills into the user's side of the conversation."""
    prompts = [step for step in _steps(runnable) if isinstance(step, ChatPromptTemplate)]
    return {
        variable
        for prompt in prompts[:1]
        for message in prompt.messages
        if isinstance(message, HumanMessagePromptTemplate)
        for variable in message.input_variables
    }


def _steps(runnable: AnyRunnable) -> list[AnyRunnable]:
    if isinstance(runnable, RunnableBindingBase):
        return _steps(runnable.bound)
    if isinstance(runnable, RunnableSequence):
        return [inner for step in runnable.steps for inner in _steps(step)]
    return [runnable]


def _input_schema(runnable: AnyRunnable) -> tuple[Schema, Schema]:
    """The JSON schema of the input and its definitions."""
    try:
        schema = runnable.get_input_jsonschema()
    except Exception:  # pydantic refuses typing.TypedDict before Python 3.12, and types it cannot import
        keys = _annotations(runnable)
        return {"properties": {key: {} for key in keys}, "required": keys}, {}
    definitions = schema.get("$defs", {})
    return _resolved(schema, definitions), definitions


def _annotations(runnable: AnyRunnable) -> list[str]:
    try:
        return list(getattr(runnable.InputType, "__annotations__", ()))
    except TypeError:  # not even that is known
        return []


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    while reference := schema.get("$ref"):
        schema = definitions[reference.rpartition("/")[2]]
    return schema


def _options(schema: Schema, definitions: Schema) -> list[Schema]:
    schema = _resolved(schema, definitions)
    union = schema.get("anyOf") or schema.get("oneOf")
    return [_resolved(option, definitions) for option in union] if union else [schema]


def _kind(schema: Schema, definitions: Schema) -> Kind:
    kinds = {_one_kind(option, definitions) for option in _options(schema, definitions)}
    return next(kind for kind in (Kind.MESSAGES, Kind.DICTS, Kind.TEXT, Kind.UNTYPED, Kind.OTHER) if kind in kinds)


def _one_kind(schema: Schema, definitions: Schema) -> Kind:
    if schema.get("type") == "array":
        items = _options(schema.get("items", {}), definitions)
        if any("content" in item.get("properties", {}) or not item.keys() - {"title"} for item in items):
            return Kind.MESSAGES
        return Kind.DICTS if any(item.get("additionalProperties") is True for item in items) else Kind.OTHER
    if schema.get("type") == "string":
        return Kind.TEXT
    return Kind.OTHER if schema.keys() & {"type", "const", "enum"} or schema.get("properties") else Kind.UNTYPED


def _first_parameter(function: RunnableLambda[Any, Any]) -> str | None:
    try:
        return next(iter(inspect.signature(getattr(function, "func", None) or function.afunc).parameters), None)
    except (TypeError, ValueError):  # a callable without a signature
        return None
