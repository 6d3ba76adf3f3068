"""Tools, and the functions of their calls, whichever way they were logged."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.spellings import plain
from collab_sdk.logs.notes import note


def called_function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The name and arguments in a call; empty for one that is of no function."""
    function = call.get("function")
    return function if isinstance(function, Mapping) else {}


def arguments_object(text: str) -> dict[str, Any] | None:
    """The arguments of a call as chat templates take them; None for text that is no JSON object. No text means none."""
    try:
        value = parse_json(text) if text else {}
    except InputError:
        return None
    return value if isinstance(value, dict) else None


PROVIDER_TOOLS = "tools of the provider's own, left out"


def tools_of(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Tools in OpenAI's form, from any provider's, or their JSON text. Those that are no functions are counted."""
    if isinstance(value, str) and value.strip():
        try:
            value = parse_json(value)
        except InputError:
            value = [value]
    if isinstance(value, Mapping):  # the AI SDK has them by name, Bedrock in a toolConfig
        named = [{"name": name, **tool} for name, tool in value.items() if isinstance(tool, Mapping)]
        value = value["tools"] if isinstance(value.get("tools"), list) else named
    tools: list[Mapping[str, Any]] = []
    for tool in value if isinstance(value, list) else ():
        declared = (
            tool.get("functionDeclarations", tool.get("function_declarations")) if isinstance(tool, Mapping) else None
        )
        for one in declared if isinstance(declared, list) else [tool]:
            if function := _definition(one):
                tools.append({"type": "function", "function": function})
            else:
                note(PROVIDER_TOOLS)
    return tuple(tools)


def _definition(tool: Any) -> dict[str, Any] | None:
    """The definition in a tool, with the schema under `parameters`."""
    if not isinstance(tool, Mapping):
        return None
    inner = next(
        (tool[key] for key in ("function", "toolSpec", "tool_spec") if isinstance(tool.get(key), Mapping)), tool
    )
    if not isinstance(inner.get("name"), str):
        return None
    if inner is not tool and "parameters" in inner:
        return dict(inner)
    schema = next((inner[key] for key in ("parameters", "input_schema", "inputSchema") if key in inner), None)
    if inner is tool and schema is None and plain(tool.get("type")) not in ("function", "custom", ""):
        return None
    if isinstance(schema, Mapping) and isinstance(schema.get("json", schema.get("jsonSchema")), Mapping):
        schema = schema.get("json", schema.get("jsonSchema"))
    function: dict[str, Any] = {"name": inner["name"]}
    if isinstance(inner.get("description"), str):
        function["description"] = inner["description"]
    if isinstance(schema, Mapping):
        function["parameters"] = schema
    if "strict" in inner:
        function["strict"] = inner["strict"]
    return function
