"""A work folder of a benchmark: it keeps the settings that its results were made with, and takes no others."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collab_order_desk.world import SPLIT

NAME = "settings.json"


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings into the folder at its first use; end the program where it was made with others."""
    path = folder / NAME
    now = json.loads(json.dumps({**settings, "split": SPLIT}, default=str))  # held-out orders differ by split
    if path.exists():
        kept = json.loads(path.read_text())
        if names := [name for name in {**kept, **now} if kept.get(name) != now.get(name)]:
            said = ", ".join(f"{name} {json.dumps(kept.get(name))}, not {json.dumps(now.get(name))}" for name in names)
            sys.exit(f"{folder} was made with {said}: give the same settings, or another --work")
        return
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")  # other seeds may begin at the same time
    partial.write_text(json.dumps(now, indent=1) + "\n")
    partial.rename(path)
