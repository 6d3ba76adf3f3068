"""Whose run it is: the conversation and the user that an app names in a run's config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config

from collab_sdk.harvest import EXPLICIT_KEY, conversation_id_in

USER_KEYS = ("user_id", "langfuse_user_id")


@dataclass(frozen=True, slots=True)
class Identity:
    """None: the app does not say."""

    conversation: str | None = None
    user: str | None = None
    is_explicit: bool = False
    """Whether the conversation is named by the key that is for nothing else."""


NOBODY = Identity()


def identity(metadata: Mapping[str, Any], ancestor: Identity) -> Identity:
    """By the explicit key, then the run's metadata, then the config that it inherits, then the run above.

    LangGraph's `thread_id` is in the metadata. `session_id` of RunnableWithMessageHistory, and whatever else a chain is
    configured with, has been missing there since langchain-core 1.3; the context variable has it.
    """
    config = var_child_runnable_config.get()
    configurable: Mapping[str, Any] = (config.get("configurable") if config else None) or {}
    explicit = {EXPLICIT_KEY: configurable.get(EXPLICIT_KEY), **metadata}
    conversation = conversation_id_in(explicit) or conversation_id_in(configurable) or ancestor.conversation
    user = _user(metadata) or _user(configurable) or ancestor.user
    if conversation == ancestor.conversation and user == ancestor.user:
        return ancestor
    return Identity(conversation, user, is_explicit=explicit[EXPLICIT_KEY] not in (None, ""))


def _user(values: Mapping[str, Any]) -> str | None:
    return next((str(value) for key in USER_KEYS if (value := values.get(key)) not in (None, "")), None)
