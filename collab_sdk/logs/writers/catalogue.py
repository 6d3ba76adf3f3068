"""A JSON file with an entry for each data file of its folder, such as LLaMA-Factory's `dataset_info.json`."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from collab_sdk.errors import InputError, OutputError
from collab_sdk.files import JsonlWriter, parse_json


class Catalogue:
    """Adds entries to a catalogue, which may be new; to be used with `with`.

    It changes after a clean end only. Raises OutputError for one that cannot be written, or that is no JSON object.
    """

    def __init__(self, path: Path) -> None:
        _entries(path)  # what is no catalogue is refused before a file is made
        self._path = path
        self._added: dict[str, Any] = {}
        self._file = JsonlWriter(path)

    def add(self, file: str, entry: Mapping[str, Any]) -> None:
        """The entry of a data file, under its name without the ending; one that it has already is replaced."""
        self._added[Path(file).stem] = entry

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._file.__exit__(kind, error, trace)
            return
        if not self._added:
            self._file.discard()
            return
        with self._file:  # read only now, as others may have added theirs since
            self._file.write(_entries(self._path) | self._added)


def _entries(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        entries = parse_json(path.read_bytes())
    except (OSError, InputError) as error:
        raise OutputError(f"Cannot add to {path}: {error}.") from None
    if not isinstance(entries, dict):
        raise OutputError(f"Cannot add to {path}: it is no JSON object.")
    return entries
