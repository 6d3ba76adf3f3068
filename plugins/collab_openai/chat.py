"""Chat completions that are being streamed."""

from typing import Any

from collab_sdk.harvest import Answer, token_usage


class PartialCompletion:
    """Puts chunks together, choice by choice."""

    def __init__(self) -> None:
        self._choices: dict[int, _PartialMessage] = {}
        self._id: str | None = None
        self._model: str | None = None
        self._usage: dict[str, int] = {}

    def add(self, chunk: Any) -> None:
        self._id = getattr(chunk, "id", None) or self._id
        self._model = getattr(chunk, "model", None) or self._model
        if (usage := getattr(chunk, "usage", None)) is not None:
            self._usage = token_usage(usage)
        for choice in getattr(chunk, "choices", None) or ():
            self._choices.setdefault(choice.index, _PartialMessage()).add(choice)

    def answer(self) -> Answer:
        choices = [choice for _, choice in sorted(self._choices.items())]
        return Answer(
            id=self._id,
            model=self._model,
            replies=tuple(choice.message() for choice in choices if choice.has_begun),
            usage=self._usage,
            finish_reason=choices[0].finish_reason if choices else None,
            complete=bool(choices) and all(choice.finish_reason for choice in choices),
        )


class _PartialMessage:
    def __init__(self) -> None:
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self.finish_reason: str | None = None

    @property
    def has_begun(self) -> bool:
        return bool(self._content or self._refusal or self._calls)

    def add(self, choice: Any) -> None:
        self.finish_reason = choice.finish_reason or self.finish_reason
        delta = choice.delta
        if delta is None:
            return
        if delta.content:
            self._content.append(delta.content)
        if getattr(delta, "refusal", None):
            self._refusal.append(delta.refusal)
        for piece in delta.tool_calls or ():
            self._add_call(piece)

    def _add_call(self, piece: Any) -> None:
        new = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        call = self._calls.setdefault(piece.index, new)
        call["id"] = piece.id or call["id"]
        if piece.function is not None:
            call["function"]["name"] += piece.function.name or ""
            call["function"]["arguments"] += piece.function.arguments or ""

    def message(self) -> dict[str, Any]:
        row: dict[str, Any] = {"role": "assistant", "content": "".join(self._content) or None}
        if self._refusal:
            row["refusal"] = "".join(self._refusal)
        if self._calls:
            row["tool_calls"] = [call for _, call in sorted(self._calls.items())]
        return row
