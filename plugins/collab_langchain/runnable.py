"""A bot that is a LangChain Runnable or a LangGraph graph."""

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig

from collab_langchain.forms import input_form
from collab_langchain.memory import has_sync_checkpoints, own_memory, session_keys
from collab_langchain.schema import AnyRunnable
from collab_sdk.concurrency import in_thread
from collab_sdk.errors import BotError, CollabError, UsageError
from collab_sdk.harvest import IGNORE_TAG
from collab_sdk.models import ChatModel, ChatReply, ChatRequest, NamedBot, bot_reply, translated
from collab_sdk.secrets import one_line

CONNECTION_ERRORS = {"APIConnectionError", "TransportError"}
"""By name, as their libraries (OpenAI's and Anthropic's, httpx) need not be installed."""


def as_chat_model(bot: Any, *, name: str | None = None) -> ChatModel:
    """A ChatModel from a Runnable; with a `name` its replies are cached under that.

    Raises UsageError for anything else, and for a Runnable whose input cannot be told.
    """
    if not isinstance(bot, Runnable):
        raise UsageError(
            f"{type(bot).__name__} cannot answer by itself: give the Runnable that is called with the messages."
        )
    return RunnableModel(bot, name=name)


class RunnableModel(NamedBot):
    """Calls a chat model, chain or graph with the full history in a thread of its own that is deleted afterwards.

    Raises UsageError if the input type does not tell in which form the runnable takes a history.
    """

    def __init__(self, runnable: AnyRunnable, *, name: str | None = None) -> None:
        self._runnable = runnable
        super().__init__(name, otherwise=runnable.get_name())
        self._form = input_form(runnable, self.name)
        self._session_keys = session_keys(runnable, self.name)
        self._in_thread: bool | None = None

    async def achat(self, request: ChatRequest) -> ChatReply:
        usage = _Usage()
        thread = uuid.uuid4().hex
        config: RunnableConfig = {
            "configurable": dict.fromkeys(["thread_id", "session_id", *self._session_keys], thread),
            "metadata": dict(request.metadata),
            "tags": [IGNORE_TAG],  # simulated conversations are not to be harvested
            "callbacks": [usage],
        }
        try:
            async with own_memory(self._runnable, request.messages, config["configurable"]):
                value = await self._invoke(self._with_tools(request), self._form(request.messages), config)
        except CollabError:
            raise
        except (Exception, SystemExit) as error:
            raise _as_ours(self.name, error) from error
        if isinstance(value, Mapping) and value.get("__interrupt__"):
            raise BotError(
                f"{self.name} stopped for a human (interrupt); a simulated conversation cannot go on from there."
            )
        return bot_reply(
            value,
            request.messages,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )

    def _with_tools(self, request: ChatRequest) -> AnyRunnable:
        """A chat model that takes tools gets those of the conversation; chains and graphs have their own."""
        model, offered = self._runnable, request.offered()
        if not offered or not isinstance(model, BaseChatModel) or type(model).bind_tools is BaseChatModel.bind_tools:
            return model
        return model.bind_tools(**offered)

    async def _invoke(self, runnable: AnyRunnable, value: Any, config: RunnableConfig) -> Any:
        if self._in_thread is None:
            self._in_thread = await has_sync_checkpoints(self._runnable)
        if self._in_thread:
            return await in_thread(partial(runnable.invoke, value, config))
        return await runnable.ainvoke(value, config)


class _Usage(BaseCallbackHandler):
    """Sums the tokens of all model calls within one answer; None as long as no model has counted."""

    run_inline = True

    def __init__(self) -> None:
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for generations in response.generations:
            first = generations[0] if generations else None
            if not isinstance(first, ChatGeneration) or not isinstance(first.message, AIMessage):
                continue
            if (counted := first.message.usage_metadata) is not None:
                self.prompt_tokens = (self.prompt_tokens or 0) + counted["input_tokens"]
                self.completion_tokens = (self.completion_tokens or 0) + counted["output_tokens"]


def _as_ours(name: str, error: BaseException) -> CollabError:
    if isinstance(error, Exception) and (hasattr(error, "status_code") or _is_connection_error(error)):
        return translated(name, error)
    return BotError(f"{name} raised {type(error).__name__}: {one_line(str(error))}")


def _is_connection_error(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, ConnectionError | TimeoutError) or bool(names & CONNECTION_ERRORS)
