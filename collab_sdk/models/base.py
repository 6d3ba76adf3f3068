"""The one narrow interface between this project and whatever answers."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from collab_sdk.messages import Ending, Message
from collab_sdk.models.dialect import PLAIN, Dialect
from collab_sdk.models.providers import ApiKey
from collab_sdk.spec import ModelSettings, ModelSpec, Price
from collab_sdk.tool_calls import without_remark

NOTHING: Mapping[str, Any] = MappingProxyType({})
SETTINGS = frozenset(each.name for each in fields(ModelSettings))
"""All that a model may be asked with; what a kind of model takes of them is its `takes`."""


SERVERS_OWN = ModelSettings()
"""Nothing is sent: the server decides."""


TOOL_CHOICES = ("auto", "none", "required")
"""Any other is the name of a function."""


ENDINGS: Mapping[str, Ending] = MappingProxyType(
    {
        **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "limit"), Ending.CUT_OFF),
        **dict.fromkeys(("model_context_window_exceeded", "error_limit"), Ending.CUT_OFF),
        **dict.fromkeys(("content_filter", "content_filtered", "guardrail_intervened", "refusal"), Ending.FILTERED),
        **dict.fromkeys(("safety", "recitation", "blocklist", "prohibited_content", "spii"), Ending.FILTERED),
        "error_toxic": Ending.FILTERED,
    }
)
"""By the reason for which a model stopped, in small letters: OpenAI's words, then Anthropic's, Mistral's, Bedrock's,
Gemini's and Cohere's."""
ORDINARY_ENDINGS = frozenset(
    {
        *("", "stop", "tool_calls", "function_call", "completed"),
        *("end_turn", "stop_sequence", "tool_use", "complete", "tool_call"),
        *("eos", "eos_token", "word", "finish_reason_stop"),
    }
)
"""Reasons of a model that ended by itself, in small letters: OpenAI's, then Anthropic's and Cohere's, then those that
servers of open models give."""
SERVER_FAILURES = frozenset(
    {
        *("error", "failed", "abort", "aborted", "cancelled", "canceled", "user_cancel", "timeout"),
        *("insufficient_system_resource", "server_error", "internal_error", "engine_overloaded"),
    }
)
"""Reasons by which a server says, in small letters, that it could not finish the reply."""


class CallRole(StrEnum):
    """On whose behalf a model is called; tokens, money and time are accounted by it."""

    ASSISTANT = "assistant"
    SIMULATOR = "simulator"
    JUDGE = "judge"
    GOAL = "goal"
    TOOLS = "tools"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """One call. All that may change the answer is part of the cache key, as it is sent."""

    role: CallRole
    messages: tuple[Message, ...]
    settings: ModelSettings = SERVERS_OWN
    reply_schema: Mapping[str, Any] | None = None
    """JSON Schema of the object that the reply must hold, which the prompt asks for as well; None: free text."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """What the model may call, in OpenAI's form."""
    tool_choice: str | None = None
    """`auto`, `none`, `required`, or the name of the function that it must call; None: the server decides."""
    template: str = ""
    """Hash of the prompt template, so that a changed prompt is a new call."""
    sample: str = ""
    """Which draw this is (conversation, candidate, future, step): repeated draws stay distinct."""
    conversation_id: str = ""
    """To which conversation it belongs: calls for the one that was opened first go first."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Handed to the user's own bot if its signature asks for it."""
    whole: bool = True
    """Whether a reply that is cut off or empty is lost; if not, it is whoever asks that looks at how it ended."""
    dialect: Dialect = PLAIN
    """What the model's server is known to take."""

    def fitted(self) -> "ChatRequest":
        """The request as it is sent."""
        if self.dialect == PLAIN:
            return self
        messages, settings = self.dialect.messages(self.messages), self.dialect.settings(self.settings)
        return replace(self, messages=messages, settings=settings)

    def offered(self) -> dict[str, Any]:
        """`tools` and `tool_choice` as they are sent; neither where there are no tools."""
        if not self.tools:
            return {}
        sent: dict[str, Any] = {"tools": [_as_sent(tool) for tool in self.tools]}
        if self.tool_choice is not None:
            named = {"type": "function", "function": {"name": self.tool_choice}}
            sent["tool_choice"] = self.tool_choice if self.tool_choice in TOOL_CHOICES else named
        return sent


def _as_sent(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's form, also where a log has the bare function."""
    if "function" in tool or not isinstance(tool.get("name"), str) or tool.get("type", "function") != "function":
        return without_remark(tool)
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatReply:
    """What came back. `usd` is None where the price is unknown; tokens are None where nobody counted."""

    content: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """What the model wants to have called, in OpenAI's form; whoever asked is to run it."""
    steps: tuple[Message, ...] = ()
    """What a bot that runs its own tools did before: calls, results, text in between."""
    reasoning: str = ""
    """What the model thought before: never shown to anybody, counted or trained on."""
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usd: float | None = None
    model: str = field(default="", compare=False)
    """What the server calls the model that answered, where it says so; not kept in the cache."""

    @property
    def ended(self) -> Ending | None:
        """How it ended, where it did not end by itself."""
        is_empty = not self.content.strip() and not self.tool_calls
        return ENDINGS.get(self.finish_reason.lower()) or (Ending.EMPTY if is_empty else None)

    @property
    def server_failed(self) -> bool:
        """Whether its server broke it off: then it is no reply."""
        return self.finish_reason.lower() in SERVER_FAILURES

    @property
    def has_unknown_ending(self) -> bool:
        """Whether it ended for a reason of which nobody here knows whether the reply is whole then."""
        reason = self.finish_reason.lower()
        return reason not in ORDINARY_ENDINGS and reason not in ENDINGS and not self.server_failed

    @property
    def messages(self) -> tuple[Message, ...]:
        """All of it as messages: the steps, then what was said or called at last."""
        said, called = self.content.strip(), self.tool_calls
        last = Message(role="assistant", content=said, tool_calls=called, ended=self.ended)
        return (*self.steps, last)


@runtime_checkable
class ChatModel(Protocol):
    """Anything that answers a conversation."""

    @property
    def name(self) -> str:
        """For people: tables, errors, progress."""

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        """What identifies the model in cache keys (never a secret); None: its replies are not kept."""

    @property
    def price(self) -> Price | None:
        """None where it is unknown."""

    async def achat(self, request: ChatRequest) -> ChatReply:
        """Answer once, without retrying.

        Raises ModelCallError for a failed call (`retryable` where another try may help), ParameterRefusedError for one
        that goes through without a parameter, BotError for a bot at fault, EndpointError where no further call can
        succeed.
        """


def settings_for(model: ChatModel, default: ModelSettings) -> ModelSettings:
    """How `model` is asked in a role: as `default` says, but for what the model was made with (`overrides`)."""
    overrides: Mapping[str, Any] = getattr(model, "overrides", {})
    return replace(default, **overrides) if overrides else default


def takes_of(model: ChatModel) -> frozenset[str]:
    """The settings that a model can be asked with."""
    known = getattr(model, "takes", None)
    return known if isinstance(known, frozenset) else frozenset()


def without_settings(model: ChatModel) -> ChatModel:
    """The model as if it had been made without settings, so that those of another role hold for it.

    Headers stay: they belong to its server.
    """
    if not (overrides := getattr(model, "overrides", NOTHING)):
        return model
    plain = copy(model)
    kept = {name: value for name, value in overrides.items() if name == "extra_headers"}
    plain.overrides = kept  # type: ignore[attr-defined]
    return plain


def keys_of(model: ChatModel) -> list[ApiKey]:
    """Where the keys of a model's servers come from; none for a model without a server."""
    servers = getattr(model, "replicas", ()) or (model,)
    known = (getattr(server, "api_key", None) for server in servers)
    return [key for key in known if isinstance(key, ApiKey)]  # somebody's own model may hold a text there


def spec_of(model: ChatModel, settings: ModelSettings) -> ModelSpec:
    """The model as data, as it is asked in a role. What it was made of is in its fingerprint."""
    servers: Sequence[ChatModel] = getattr(model, "replicas", ()) or (model,)
    named = [key.variable for key in keys_of(model) if key.demanded]
    return ModelSpec(
        name=model.name,
        api_base=tuple(base for server in servers if (base := _base_of(server))),
        api_key_env=named[0] if named else None,
        settings=settings,
        price=model.price,
    )


def _base_of(model: ChatModel) -> str | None:
    known: Mapping[str, Any] = model.fingerprint or {}
    while isinstance(known.get("bot"), Mapping):  # under instructions
        known = known["bot"]
    return known.get("api_base")
