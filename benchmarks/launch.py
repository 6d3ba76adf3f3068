"""Starting the loopback endpoint from a benchmark."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self


class Loopback:
    """The server as a child process, between `with` and its end: `Loopback(rate=50)` is `loopback.py --rate 50`."""

    def __init__(self, **options: float | bool) -> None:
        flags = [(f"--{name.replace('_', '-')}", value) for name, value in options.items() if value is not False]
        self._flags = [str(part) for flag, value in flags for part in ((flag,) if value is True else (flag, value))]

    def __enter__(self) -> Self:
        command = [sys.executable, str(Path(__file__).with_name("loopback.py")), "--port", "0", *self._flags]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.api_base = self._process.stdout.readline().split()[-1]
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.api_base.removesuffix("/v1") + "/stats") as answer:
            return dict(json.load(answer))
