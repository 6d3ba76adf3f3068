"""Choice of words."""

from collections.abc import Sequence
from hashlib import sha256

from collab_sdk.models.base import ChatRequest


class Voice:
    """Picks among phrasings by a hash of the request: the same request gets the same words, another sample others."""

    def __init__(self, request: ChatRequest) -> None:
        spoken = "\0".join([request.sample, *(f"{message.role}\0{message.content}" for message in request.messages)])
        # Chat text may hold lone surrogates, which plain UTF-8 refuses.
        self._dice = int.from_bytes(sha256(spoken.encode("utf-8", "surrogatepass")).digest(), "big")

    def pick(self, options: Sequence[str]) -> str:
        self._dice, place = divmod(self._dice, len(options))
        return options[place]
