"""One model that several servers serve."""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.errors import UsageError
from collab_sdk.models.base import NOTHING, ChatModel, ChatReply, ChatRequest, takes_of
from collab_sdk.models.dialect import PLAIN, Dialect
from collab_sdk.spec import Price


class ReplicatedModel:
    """`replicas` are servers of one model. The first is its name in cache keys: add others behind it."""

    def __init__(self, replicas: Sequence[ChatModel]) -> None:
        addresses = [_address(replica) for replica in replicas]
        if repeated := [address for address in addresses if addresses.count(address) > 1]:
            raise UsageError(f"The same server is given twice: {repeated[0]}.")
        self.replicas = tuple(replicas)
        self.overrides: Mapping[str, Any] = getattr(replicas[0], "overrides", NOTHING)

    @property
    def name(self) -> str:
        return self.replicas[0].name

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        return self.replicas[0].fingerprint

    @property
    def price(self) -> Price | None:
        return self.replicas[0].price

    @property
    def takes(self) -> frozenset[str]:
        """The settings that the replicas take."""
        return takes_of(self.replicas[0])

    @property
    def dialect(self) -> Dialect:
        """What is known of the replicas before they are asked."""
        known: Dialect = getattr(self.replicas[0], "dialect", PLAIN)
        return known

    async def achat(self, request: ChatRequest) -> ChatReply:
        """The first replica's answer; an engine chooses among all."""
        return await self.replicas[0].achat(request)


def named_replicas(model: ChatModel) -> list[tuple[str, ChatModel]]:
    """The model itself under its own name, unless it has several."""
    replicas: Sequence[ChatModel] = getattr(model, "replicas", ())
    if len(replicas) < 2:
        return [(model.name, model)]
    return [(f"{replica.name} at {_address(replica)}", replica) for replica in replicas]


def _address(replica: ChatModel) -> Any:
    found: Mapping[str, Any] = replica.fingerprint or {}
    while "bot" in found:  # under instructions
        found = found["bot"]
    return found.get("api_base")
