"""The goals of one's own chats: what did your users want, and does the bot bring them there?"""

from collab_sdk.errors import InputError
from collab_sdk.tasks.base import Row, Task
from collab_sdk.types import Conversation


def read(row: Row) -> Conversation:
    raise InputError("logged chats are read in their own formats")


TASK = Task(name="logs", metric="goal", read=read, is_log=True)
