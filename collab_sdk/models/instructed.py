"""Bots under instructions: the same bot, told to be proactive, is the paper's baseline."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError, UsageError
from collab_sdk.messages import Message
from collab_sdk.models.base import NOTHING, ChatModel, ChatReply, ChatRequest, takes_of
from collab_sdk.models.dialect import PLAIN, Dialect
from collab_sdk.models.providers import ApiKey
from collab_sdk.plugins import source_file
from collab_sdk.prompts import load_prompt
from collab_sdk.spec import Price

PROACTIVE, PROMPT = "proactive:", "prompt:"


class InstructedModel:
    """A chat model with instructions behind its system prompt."""

    def __init__(self, model: ChatModel, instructions: str, *, name: str) -> None:
        self._model = model
        self._instructions = instructions
        self._name = name
        self.overrides: Mapping[str, Any] = getattr(model, "overrides", NOTHING)
        if hasattr(model, "timeout"):
            self.timeout: float | None = model.timeout  # in place of the run's

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        known = self._model.fingerprint
        digest = hashlib.sha256(self._instructions.encode("utf-8", "surrogatepass")).hexdigest()
        return None if known is None else {"bot": dict(known), "instructions": digest[:16]}  # they nest

    @property
    def price(self) -> Price | None:
        return self._model.price

    @property
    def takes(self) -> frozenset[str]:
        """The settings that the bot takes."""
        return takes_of(self._model)

    @property
    def dialect_takes_time(self) -> bool:
        """Whether it is worth keeping."""
        return getattr(self._model, "dialect_takes_time", False)

    @property
    def dialect(self) -> Dialect:
        """What is known of the bot's server."""
        known: Dialect = getattr(self._model, "dialect", PLAIN)
        return known

    @property
    def api_key(self) -> ApiKey | None:
        """Where the bot's key comes from."""
        known: ApiKey | None = getattr(self._model, "api_key", None)
        return known

    @property
    def replicas(self) -> tuple[ChatModel, ...]:
        """The servers of the bot, where it has several, under the same instructions."""
        replicas: tuple[ChatModel, ...] = getattr(self._model, "replicas", ())
        return tuple(InstructedModel(replica, self._instructions, name=self._name) for replica in replicas)

    async def achat(self, request: ChatRequest) -> ChatReply:
        instructed = tuple(with_instructions(request.messages, self._instructions))
        return await self._model.achat(replace(request, messages=instructed))


def instructions_in(name: str) -> tuple[str, str, str] | None:
    """What `proactive:` or `prompt:FILE@` in front of a model's name means: how to show it, instructions, inner name.

    None for a name without either. Raises InputError for a file that cannot be read, UsageError for half a name.
    """
    if name.startswith(PROACTIVE):
        return PROACTIVE, load_prompt("proactive").text, name.removeprefix(PROACTIVE)
    if name.startswith(PROMPT):
        file, _, inner = name.removeprefix(PROMPT).partition("@")
        if not file or not inner:
            raise UsageError(f"{name!r} must read prompt:FILE@BOT, such as prompt:polite.txt@openai/gpt-4o-mini.")
        return f"{PROMPT}{Path(file).name}@", _instructions(Path(file)), inner
    return None


def files_of(name: str) -> list[Path]:
    """What a model's name reads: files of instructions and chat templates, the source of `py:`, folders of weights."""
    name = name.removeprefix(PROACTIVE)
    if name.startswith("py:"):
        return [source] if (source := source_file(name)) else []
    if name.startswith(PROMPT):
        file, _, inner = name.removeprefix(PROMPT).partition("@")
        return [*([Path(file)] if file else []), *files_of(inner)]
    path, _, options = name.partition(":")[2].rpartition("?")
    template = re.search("(?:^|&)chat_template=([^&]+)", options if path else "")
    files = [Path(template[1])] if template else []
    folders = [Path(part) for part in re.split("[@?]", name.partition(":")[2]) if part]
    return [*(folder for folder in folders if folder.is_dir()), *(file for file in files if file.is_file())]


def _instructions(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text", where=str(path)) from None
    if not text.strip():
        raise InputError("the file is empty", where=str(path))
    return text.strip()


def with_instructions(history: Sequence[Message], instructions: str) -> list[Message]:
    """The history with `instructions` behind its system prompt, or as its system prompt if it has none."""
    if history and history[0].role == "system":
        return [replace(history[0], content=f"{history[0].content}\n\n{instructions}"), *history[1:]]
    return [Message(role="system", content=instructions), *history]
