"""How the packages hang together, and how many of their files a reader meets on the way of one call and one chat.

    python benchmarks/structure.py [--lines 30405] [-v] [--json structure.json]
    PYTHONPATH=OTHER:OTHER/plugins:OTHER/cli python benchmarks/structure.py     # of another checkout

Figures of the source (`collab_sdk`, every package in `plugins/` and `cli/`; imports in functions count as well):

- *import circles*: groups of files that import each other. An import of `a.b.c` is an arrow to that file alone.
- *arrows up*: imports within `collab_sdk` from a layer into a higher one, in the order of
  `tests/test_architecture.py`. `unplaced` counts the imports of modules that have no place in that order.
- *deep imports*: imports by plugins and CLI from further inside than what stands right in `collab_sdk`.
- *names that are not public*: names that plugins and CLI take from there without finding them in its `__all__`.
- *fragments*: files of at most 60 lines, other than `__init__`, whose only importer stands in the same folder.
  An `__init__` that hands a name on is not counted as an importer.
- *lines*: all lines of the Python files, comments and blank lines included.

Files entered are those of which a function ran, in any thread, whichever of the packages they belong to. What runs
while a module is imported does not count, nor do the methods that `dataclass` writes. *One call*: the bot is an async
function, the engine has a disk cache and has answered before. *One chat*: the first of the sample chats, through
`collab export-prefs --model offline`, as the first thing that the process does. Counted like this, commit 554b077 has
21 and 88, the closest plain reading to the "21 and 89" that the targets (15 and 60) started from.
"""

import argparse
import asyncio
import importlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

from table import Row, finish, judged

import collab_sdk
from collab_sdk import ChatRequest, Engine, Message, as_chat_model
from collab_sdk.errors import ModelCallError
from collab_sdk.offline import sample_chats_path

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.imports import circles, imported_names, imports_of, package_files
from test_architecture import LAYERS

ROOT = Path(collab_sdk.__file__).parents[1]
FRAGMENT = 60
LEVELS = {part: level for level, layer in enumerate(LAYERS) for part in layer}


class Entered:
    """Gathers the files of which a function runs, from when it is made; `within` says which of them in a block."""

    def __init__(self) -> None:
        self._files: set[str] | None = None
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        files, path = self._files, frame.f_code.co_filename
        if files is not None and event == "call" and path not in files and _is_ours(path) and not _is_importing(frame):
            files.add(path)

    @contextmanager
    def within(self, found: list[str]) -> Iterator[None]:
        self._files = files = set()
        try:
            yield
        finally:
            self._files = None
            found += sorted(str(Path(path).relative_to(ROOT)) for path in files)


def _is_ours(path: str) -> bool:
    return path.startswith(tuple(f"{ROOT}/{folder}/" for folder in ("collab_sdk", "plugins", "cli")))


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "<module>" and _is_ours(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


async def one_call(entered: Entered, folder: Path) -> tuple[list[str], list[str]]:
    """The files entered by a call, and by a call whose first try fails."""
    failures = 0

    async def bot(messages: list[dict[str, Any]]) -> str:
        nonlocal failures
        if failures:
            failures -= 1
            raise ModelCallError("The server is busy.", retryable=True)
        return "What would you like?"

    async def without_waiting(_: float) -> None:
        pass

    engine = Engine(cache=folder, sleep=without_waiting)
    model = as_chat_model(bot, name="bot@1")
    role = sys.modules[ChatRequest.__module__].CallRole.ASSISTANT  # wherever that module is in this checkout

    async def call(text: str) -> None:
        await engine.call(model, ChatRequest(role=role, messages=(Message(role="user", content=text),)))

    failures = 1
    await call("The engine is warm after this one.")
    plain: list[str] = []
    retried: list[str] = []
    with entered.within(plain):
        await call("A coffee, please.")
    failures = 1
    with entered.within(retried):
        await call("A large coffee, please.")
    return plain, retried


def one_chat(entered: Entered, folder: Path) -> list[str]:
    from collab_cli.main import main

    log = folder / "chats.jsonl"
    log.write_text(Path(sample_chats_path()).read_text().splitlines()[0] + "\n")
    found: list[str] = []
    said = io.StringIO()
    command = ["export-prefs", str(log), "--model", "offline", "-o", str(folder / "prefs.jsonl")]
    with entered.within(found), redirect_stdout(said), redirect_stderr(said):
        try:
            main(command)
        except SystemExit as end:
            code = end.code
    if code:
        raise SystemExit(f"collab {' '.join(command)} ended with {code}:\n{said.getvalue()}")
    return found


def arrows_up(imports: dict[str, set[str]]) -> tuple[list[str], int]:
    """Imports of the core into a higher layer, and how many of its imports are not judged."""
    up, unplaced = [], 0
    for importer, targets in imports.items():
        for target in sorted(targets):
            if importer.startswith("collab_sdk.") and target.startswith("collab_sdk."):
                low, high = (LEVELS.get(name.split(".")[1]) for name in (importer, target))
                if low is None or high is None:
                    unplaced += 1
                elif high > low:
                    up.append(f"{importer} -> {target}")
    return up, unplaced


def doors(files: dict[str, Path]) -> tuple[list[str], list[str]]:
    """What plugins and CLI import from the core: from deep inside, and names that are not public."""
    deep, private = set(), set()
    for importer, path in files.items():
        for module, name in imported_names(path):
            if importer.startswith("collab_sdk") or module.split(".")[0] != "collab_sdk":
                continue
            if f"{module}.{name}" in files:
                module, name = f"{module}.{name}", ""
            if module.count(".") > 1:
                deep.add(f"{importer} -> {module}")
            elif name and not name.startswith("__") and name not in public_names(module):
                private.add(f"{importer} -> {module}.{name}")
    return sorted(deep), sorted(private)


def public_names(module: str) -> list[str]:
    return getattr(importlib.import_module(module), "__all__", [])


def fragments(files: dict[str, Path], imports: dict[str, set[str]]) -> list[str]:
    found = []
    for file, path in files.items():
        importers = [files[other] for other, targets in imports.items() if file in targets]
        importers = [importer for importer in importers if importer.name != "__init__.py"]
        is_alone = len(importers) == 1 and importers[0].parent == path.parent and path.name != "__init__.py"
        if is_alone and count_lines(path) <= FRAGMENT:
            found.append(f"{file} ({count_lines(path)} lines)")
    return found


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=30405, help="the count that there should be fewer lines than")
    parser.add_argument("-v", "--verbose", action="store_true", help="name the files and imports behind each figure")
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    for name in [name for name in os.environ if name.startswith("COLLAB_")]:
        del os.environ[name]
    entered = Entered()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COLLAB_CACHE_DIR"] = f"{folder}/cache"
        chat = one_chat(entered, Path(folder))
        call, retried = asyncio.run(one_call(entered, Path(folder) / "calls"))
    sys.setprofile(None)

    files = package_files(ROOT)
    imports = imports_of(files)
    up, unplaced = arrows_up(imports)
    deep, private = doors(files)
    behind = {
        "import circles": [" <-> ".join(circle) for circle in circles(imports)],
        "arrows up": up,
        "deep imports": deep,
        "names that are not public": private,
        "files entered by one call": call,
        "files entered by one call, retried": retried,
        "files entered by one chat": chat,
        "fragments": fragments(files, imports),
    }
    if options.verbose:
        for figure, names in behind.items():
            print(f"{figure}: {len(names)}", *(f"  {name}" for name in names), sep="\n", end="\n\n")
    targets = {"files entered by one call": 15, "files entered by one chat": 60, "fragments": 19}
    verdicts = [
        judged(figure, len(names), at_most=targets.get(figure, 0))
        for figure, names in behind.items()
        if figure != "files entered by one call, retried"  # is read, not judged
    ]
    lines = sum(map(count_lines, files.values()))
    verdicts.append(judged("lines", lines, at_most=options.lines - 1))
    rows: list[Row] = [
        {"checkout": str(ROOT), "files": len(files), "lines": lines, "retried call": len(retried), "unplaced": unplaced}
    ]
    finish(rows, verdicts, options.path, behind=behind)


if __name__ == "__main__":
    main()
