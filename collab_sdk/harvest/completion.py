"""What an OpenAI-shaped endpoint or library answered, as messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Loose(dict[str, Any]):
    """A JSON object that is read like the model of an SDK: what it does not have is None."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)

    @classmethod
    def of(cls, value: Any) -> Any:
        """A JSON value with the objects in it made loose."""
        if isinstance(value, Mapping):
            return cls({name: cls.of(part) for name, part in value.items()})
        return [cls.of(part) for part in value] if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The replies to one request, as OpenAI-style assistant messages."""

    id: str | None = None
    model: str | None = None
    replies: tuple[Mapping[str, Any], ...] = ()
    usage: Mapping[str, int] = field(default_factory=dict)
    finish_reason: str | None = None
    complete: bool = True
    """Whether every reply has come to its end."""
    error: str | None = None
    context: tuple[Mapping[str, Any], ...] = ()
    """What the server says that it put before the messages of the request."""

    @property
    def metadata(self) -> dict[str, Any]:
        found = {"response_id": self.id, "finish_reason": self.finish_reason}
        return {name: value for name, value in found.items() if value is not None}


def completion_answer(completion: Any) -> Answer:
    """A ChatCompletion, parsed or not. Raises TypeError for anything else."""
    choices = getattr(completion, "choices", None)
    if choices is None:
        raise TypeError(f"{type(completion).__name__} is not a chat completion")
    return Answer(
        id=completion.id,
        model=completion.model,
        replies=tuple(_message(choice.message) for choice in choices),
        usage=token_usage(getattr(completion, "usage", None)),
        finish_reason=choices[0].finish_reason if choices else None,
    )


def _message(message: Any) -> dict[str, Any]:
    # What `parse` adds are objects of the app's own.
    content = message.content
    if content is None and (audio := getattr(message, "audio", None)) is not None:
        content = audio.transcript
    row: dict[str, Any] = {"role": "assistant", "content": content}
    if getattr(message, "refusal", None):
        row["refusal"] = message.refusal
    if message.tool_calls:
        row["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    elif (function := getattr(message, "function_call", None)) is not None:  # as it comes back in the history
        row["function_call"] = {"name": function.name, "arguments": function.arguments}
    return row


def _tool_call(call: Any) -> dict[str, Any]:
    if (custom := getattr(call, "custom", None)) is not None:
        return {"id": call.id, "type": "custom", "custom": {"name": custom.name, "input": custom.input}}
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": "function", "function": function}


def token_usage(usage: Any) -> dict[str, int]:
    """Tokens of the prompt and the reply, by either interface's names."""
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    found = {name: [getattr(usage, each, None) for each in (name, other)] for name, other in names.items()}
    return {name: counts[0] for name, both in found.items() if (counts := [n for n in both if n is not None])}
