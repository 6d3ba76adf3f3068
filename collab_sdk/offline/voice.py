"""Choice of words."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from collab_sdk.messages import Message
from collab_sdk.models.base import ChatRequest


class Voice:
    """Picks among phrasings by a hash of the request: the same request gets the same words, another sample others.

    Where `heard` is given, that takes the place of the request's messages: what a speaker knows, without the prompt's
    own words.
    """

    def __init__(self, request: ChatRequest, *, heard: Iterable[Message] | None = None) -> None:
        messages = request.messages if heard is None else heard
        spoken = "\0".join([request.sample, *(f"{message.role}\0{message.content}" for message in messages)])
        # Chat text may hold lone surrogates, which plain UTF-8 refuses.
        self._dice = int.from_bytes(sha256(spoken.encode("utf-8", "surrogatepass")).digest(), "big")

    def pick(self, options: Sequence[str]) -> str:
        self._dice, place = divmod(self._dice, len(options))
        return options[place]
