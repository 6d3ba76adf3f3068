"""Chat completions of OpenAI and of all who speak like it, whole or while they are being streamed."""

import json
from collections.abc import Mapping
from typing import Any

from collab_sdk.harvest.answer import Answer, token_usage


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


class PartialCompletion:
    """Puts chunks together, choice by choice."""

    def __init__(self) -> None:
        self._choices: dict[int, _PartialMessage] = {}
        self._id: str | None = None
        self._model: str | None = None
        self._usage: dict[str, int] = {}
        self._error: str | None = None

    def add(self, chunk: Any) -> None:
        self._id = getattr(chunk, "id", None) or self._id
        self._model = getattr(chunk, "model", None) or self._model
        if (usage := getattr(chunk, "usage", None)) is not None:
            self._usage = token_usage(usage)
        choices = getattr(chunk, "choices", None) or ()
        for choice in choices:
            index = choice.index if isinstance(choice.index, int) else 0
            message = self._choices.get(index)
            if message is None:
                message = self._choices[index] = _PartialMessage()
            message.add(choice)
        if not choices and (error := getattr(chunk, "error", None)) is not None:
            self._error = str(getattr(error, "message", None) or error)

    def answer(self, *, at_end: bool = False) -> Answer:
        choices = [choice for _, choice in sorted(self._choices.items())]
        return Answer(
            id=self._id,
            model=self._model,
            replies=tuple(choice.message() for choice in choices if choice.has_begun),
            usage=self._usage,
            finish_reason=choices[0].finish_reason if choices else None,
            # Some servers give no reason: then the end of the stream says as much.
            complete=bool(choices) and all(choice.finish_reason or (at_end and choice.has_begun) for choice in choices),
            error=self._error,
        )


class _PartialMessage:
    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"content": [], "refusal": [], "transcript": []}
        self._calls: list[_PartialCall] = []
        self._function: _PartialCall | None = None
        self.finish_reason: str | None = None

    @property
    def has_begun(self) -> bool:
        return bool(any(self._texts.values()) or self._calls or self._function)

    def add(self, choice: Any) -> None:
        self.finish_reason = choice.finish_reason or self.finish_reason
        delta = getattr(choice, "delta", None)
        if delta is None:
            return
        for name in ("content", "refusal"):
            if piece := getattr(delta, name, None):
                self._texts[name].append(_text(piece))
        if not getattr(delta, "content", None) and (audio := getattr(delta, "audio", None)) is not None:
            self._texts["transcript"].append(_field(audio, "transcript") or "")
        if (function := getattr(delta, "function_call", None)) is not None:
            self._function = self._function or _PartialCall(None, None, "function")
            self._function.add(function)
        for piece in getattr(delta, "tool_calls", None) or ():
            self._call_of(piece).add(_function_of(piece))

    def _call_of(self, piece: Any) -> "_PartialCall":
        """The call that a piece belongs to.

        Servers tell it by id, by index, by both or by neither. A new id begins a call, whatever its index, but for
        arguments without a name: some give every piece an id of its own. Without an id, a piece belongs to the latest
        call of its index, unless that one is whole and the piece begins anew.
        """
        call_id, index = getattr(piece, "id", None) or None, getattr(piece, "index", None)
        about = _function_of(piece)
        at_index = [call for call in self._calls if index is None or call.index in (index, None)]
        if call_id is None:
            fitting = [call for call in at_index[-1:] if not (call.begins_anew(about) and call.is_whole)]
        else:
            fitting = [call for call in at_index if call.id == call_id]
            fitting = fitting or self._continued(call_id, about, at_index)
            fitting = fitting or [call for call in at_index if call.id is None and index is not None]
        if not fitting:
            kind = "custom" if getattr(piece, "custom", None) is not None else "function"
            fitting = [_PartialCall(call_id, index, kind)]
            self._calls += fitting
        call = fitting[-1]
        call.id = call.id or call_id
        return call

    def _continued(self, call_id: str, about: Any, at_index: list["_PartialCall"]) -> list["_PartialCall"]:
        """What a piece goes on with that has no name."""
        if _field(about, "name"):
            return []
        same = [call for call in self._calls if call.id == call_id]
        return same or (at_index[-1:] if _field(about, "arguments") else [])

    def message(self) -> dict[str, Any]:
        said = {name: "".join(pieces) for name, pieces in self._texts.items()}
        row: dict[str, Any] = {"role": "assistant", "content": said["content"] or said["transcript"] or None}
        if said["refusal"]:
            row["refusal"] = said["refusal"]
        if self._calls:
            row["tool_calls"] = [call.whole() for call in self._calls]
        elif self._function is not None:
            row["function_call"] = self._function.whole()["function"]
        return row


class _PartialCall:
    def __init__(self, call_id: str | None, index: int | None, kind: str) -> None:
        self.id = call_id
        self.index = index
        self._kind = kind
        self._name = ""
        self._input: list[str] = []

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are a JSON object, to which nothing can be added."""
        try:
            return isinstance(json.loads("".join(self._input)), dict)
        except ValueError:
            return False

    def begins_anew(self, piece: Any) -> bool:
        return bool(_field(piece, "name") and _field(piece, "arguments"))

    def add(self, piece: Any) -> None:
        # A name comes at once, if perhaps with every piece, or a few letters at a time.
        name = _field(piece, "name") or ""
        self._name = self._name if name == self._name else self._name + name
        self._input.append(_field(piece, "arguments") or _field(piece, "input") or "")

    def whole(self) -> dict[str, Any]:
        text = {"custom": "input", "function": "arguments"}[self._kind]
        return {"id": self.id, "type": self._kind, self._kind: {"name": self._name, text: "".join(self._input)}}


def _function_of(piece: Any) -> Any:
    """What a piece says of the function, or of the tool that takes any text."""
    return getattr(piece, "function", None) or getattr(piece, "custom", None)


def _text(piece: Any) -> str:
    """Some servers stream content in parts; those that are not text, such as thoughts, are left out."""
    if isinstance(piece, str):
        return piece
    return "".join(_field(part, "text") or "" for part in piece if _field(part, "type") == "text")


def _field(value: Any, name: str) -> Any:
    """Of an object, or of a dict where the SDK does not know the field."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
