"""What an OpenAI-shaped endpoint or library answered, as messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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

    @property
    def metadata(self) -> dict[str, Any]:
        found = {"response_id": self.id, "finish_reason": self.finish_reason}
        return {name: value for name, value in found.items() if value is not None}


def completion_answer(completion: Any) -> Answer:
    """A ChatCompletion, parsed or not. Raises TypeError for anything else."""
    choices = getattr(completion, "choices", None)
    if choices is None:
        raise TypeError(f"{type(completion).__name__} is no chat completion")
    return Answer(
        id=completion.id,
        model=completion.model,
        replies=tuple(_message(choice.message) for choice in choices),
        usage=token_usage(completion.usage),
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
    return row


def _tool_call(call: Any) -> dict[str, Any]:
    if call.type != "function":
        return dict(call.model_dump(exclude_none=True))
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": "function", "function": function}


def token_usage(usage: Any) -> dict[str, int]:
    """Tokens of the prompt and the reply, by either interface's names."""
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    found = {name: [getattr(usage, each, None) for each in (name, other)] for name, other in names.items()}
    return {name: counts[0] for name, both in found.items() if (counts := [n for n in both if n is not None])}
