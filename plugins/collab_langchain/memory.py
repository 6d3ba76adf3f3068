"""What a runnable remembers between calls: of a simulated one, nothing."""

import contextlib
import inspect
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.runnables.history import RunnableWithMessageHistory

from collab_langchain.messages import before_and_last, langchain_messages
from collab_langchain.schema import AnyRunnable, front
from collab_sdk.concurrency import in_thread
from collab_sdk.errors import UsageError
from collab_sdk.messages import Message


def session_keys(runnable: AnyRunnable, name: str) -> list[str]:
    """The configurable fields that choose a conversation. Raises UsageError for a history that none can choose."""
    first = front(runnable)
    if not isinstance(first, RunnableWithMessageHistory):
        return []
    if not inspect.signature(first.get_session_history).parameters:
        raise UsageError(
            f"{name} keeps all conversations in one history: get_session_history must take a session_id, "
            "or two simulated futures would mix."
        )
    return [field.id for field in first.history_factory_config]


@contextlib.asynccontextmanager
async def own_memory(
    runnable: AnyRunnable, history: Sequence[Message], configurable: Mapping[str, Any]
) -> AsyncIterator[None]:
    """Fill the session named by `configurable` with what the bot is to remember, and empty it after the call.

    The stores are the app's own, so whatever a simulated call leaves behind would stay there for good.
    """
    first = front(runnable)
    if isinstance(first, RunnableWithMessageHistory):
        session = _session(first, configurable)
        if earlier := langchain_messages(before_and_last(history)[0]):
            await session.aadd_messages(earlier)
        try:
            yield
        finally:
            await session.aclear()
    else:
        try:
            yield
        finally:
            await _forget(getattr(first, "checkpointer", None), configurable["thread_id"])


def _session(runnable: RunnableWithMessageHistory, configurable: Mapping[str, Any]) -> BaseChatMessageHistory:
    keys = [field.id for field in runnable.history_factory_config]
    if len(keys) == 1:
        return runnable.get_session_history(configurable[keys[0]])
    return runnable.get_session_history(**{key: configurable[key] for key in keys})


async def has_sync_checkpoints(runnable: AnyRunnable) -> bool:
    """Whether a graph's checkpointer has no async form, as LangGraph's SqliteSaver and PostgresSaver have none."""
    checkpointer: Any = getattr(front(runnable), "checkpointer", None)
    if not hasattr(checkpointer, "aget_tuple"):
        return False
    try:
        await checkpointer.aget_tuple({"configurable": {"thread_id": uuid.uuid4().hex, "checkpoint_ns": ""}})
    except NotImplementedError:
        return True
    return False


async def _forget(checkpointer: Any, thread_id: str) -> None:
    if not hasattr(checkpointer, "adelete_thread"):
        return
    with contextlib.suppress(NotImplementedError):  # a saver of the user's that cannot delete
        try:
            await checkpointer.adelete_thread(thread_id)
        except NotImplementedError:
            await in_thread(partial(checkpointer.delete_thread, thread_id))
