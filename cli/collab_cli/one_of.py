"""An option whose values are names that plugins may add to."""

from collections.abc import Callable, Sequence
from typing import Any

import click


class OneOf(click.Option):
    """Takes one of `names`, which are looked up only when the option is given, and to list them behind its help."""

    def __init__(self, declarations: Sequence[str], *, names: Callable[[], Sequence[str]], **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self._names = names
        self._purpose = self.help

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        if value is not None and value not in (names := self._names()):
            raise click.BadParameter(f"{value!r} is not one of {', '.join(map(repr, names))}.", ctx, self)
        return value

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = f"{self._purpose}: {', '.join(self._names())}."
        return super().get_help_record(ctx)
