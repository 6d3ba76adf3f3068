"""Tells the site's API pages what `sync_twins` does when the package runs: `score` has the docstring of `ascore`."""

from typing import Any

from griffe import Class, Extension, Function


class SyncTwins(Extension):
    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Give each method without a docstring that of its async twin."""
        for name, method in cls.members.items():
            twin = cls.members.get(f"a{name}")
            if isinstance(method, Function) and isinstance(twin, Function) and method.docstring is None:
                method.docstring = twin.docstring
