"""Files to make reports of, as the commands write them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collab_sdk.offline import sample_chats_path
from support.cli import collab

KINDS = ("pairs", "scores", "evaluation", "check")
HOSTILE = (
    "<script>hacked = 1</script></script><script>hacked = 1</script> \"'><img src=x onerror=hacked=1> "
    "<svg onload=hacked=1> <a href='javascript:hacked=1'>go</a> javascript:hacked=1 {{ 7*7 }} {% raw %} ${hacked=1} "
    "<!-- <script> ]]> &lt;b&gt; \u202edesrever\u202c zero\u200bwidth \u2028\u2029 \ufeff e\u0301 "
    "\U0001f469\u200d\U0001f467 $x^2$ \\ \x00\x1b[31m"
)


def write_inputs(folder: Path) -> dict[str, Path]:
    """A file of each kind, of the sample chats."""
    chats, cache = sample_chats_path(), ["--cache-dir", folder / "cache"]
    paths = {kind: folder / f"{kind}.{'jsonl' if kind in ('pairs', 'scores') else 'json'}" for kind in KINDS}
    runs = {
        "pairs": ["export-prefs", chats, "--model", "offline", "--eval-fraction", "0.2", "-o", paths["pairs"]],
        "scores": ["score", chats, "--model", "offline", "-o", paths["scores"]],
        "evaluation": ["evaluate", *("-a", "offline"), *("-a", "offline:proactive"), *("-t", "logs", "--data", chats)],
        "check": ["check-sim", chats, "--model", "offline", "--json"],
    }
    runs["evaluation"] += ["--model", "offline", "-o", paths["evaluation"]]
    for kind, command in runs.items():
        result = collab(*command, *cache)
        assert result.exit_code == 0, result.output
        if kind == "check":
            paths["check"].write_text(result.stdout)
    return paths


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def with_every_text(value: Any, change: Callable[[str], str]) -> Any:
    """JSON with each text in it changed, names of metrics and models with them; what says what it is stays."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [with_every_text(item, change) for item in value]
    if isinstance(value, dict):
        kept = ("schema", "role", "file")
        return {
            (change(name) if key_is_text(value) else name): item if name in kept else with_every_text(item, change)
            for name, item in value.items()
        }
    return value


def key_is_text(value: dict[str, Any]) -> bool:
    """Whether the names in it are the user's own: of metrics, of judge's notes, of ends."""
    return bool({"goal", "interactivity", "user done"} & value.keys()) and "conversation_id" not in value
