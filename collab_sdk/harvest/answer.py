"""What an endpoint answered, as messages, whichever interface it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class _Loose(dict[str, Any]):
    def __getattr__(self, name: str) -> Any:
        return self.get(name)


def loosened(value: Any) -> Any:
    """A JSON value whose objects are read like the models of an SDK: what one does not have is None."""
    if isinstance(value, Mapping):
        return _Loose({name: loosened(part) for name, part in value.items()})
    return [loosened(part) for part in value] if isinstance(value, list) else value


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


class PartialAnswer(Protocol):
    """An answer that is being streamed."""

    def add(self, chunk: Any) -> None:
        """Take a piece: an object of the SDK, or JSON that was `loosened`."""

    def answer(self, *, at_end: bool = False) -> Answer:
        """What has come so far; `at_end`: the stream ended by itself."""


def token_usage(usage: Any) -> dict[str, int]:
    """Tokens of the prompt and the reply, by either interface's names."""
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    found = {name: [getattr(usage, each, None) for each in (name, other)] for name, other in names.items()}
    return {name: counts[0] for name, both in found.items() if (counts := [n for n in both if n is not None])}
