"""A store in memory, for what is to be seen as it was recorded."""

from collections.abc import Sequence

from collab_sdk.logs import LoggedCall


class Kept(list[LoggedCall]):
    def record(self, calls: Sequence[LoggedCall]) -> None:
        self.extend(calls)

    def close(self) -> None:
        return
