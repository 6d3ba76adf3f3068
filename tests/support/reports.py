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


def called(name: str, arguments: str = "{}", id: str = "c1", text: str = "") -> dict[str, Any]:
    """A message of the assistant's with one call."""
    call = {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": text, "tool_calls": [call]}


def came_back(content: str, id: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": id}


def said(content: str, role: str = "assistant") -> dict[str, Any]:
    return {"role": role, "content": content}


def future(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"sample": 0, "messages": list(messages), "end": "window", "reason": "", "metrics": {}, "notes": {}} | {
        "reward": 1.0,
        "error": None,
        **fields,
    }


SHIPPED = '{"status": "SHIPPED", "number": 12345678901234567890, "items": [{"sku": "mug", "count": 2}]}'


def tool_turn(**fields: Any) -> dict[str, Any]:
    """A row of a turn with calls in its history, in both sides, in a future and in what really followed."""
    history = [
        said("Shipped orders cannot be cancelled.", "system"),
        said("order 5?", "user"),
        called("look_up", '{"order": 5}', "h1"),
        came_back(SHIPPED, "h1"),
        said("It has shipped."),
        said("cancel it", "user"),
    ]
    chosen = [
        called("cancel_order", '{"order": 5, "refund": true}', "r1", text="Let me try."),
        came_back("error: it has shipped", "r1"),
        said("It is too late to cancel order 5, as it has shipped."),
    ]
    rejected = [said("I have cancelled order 5 and refunded you.")]
    honest = future(
        said("Can I return it?", "user"),
        called("return_label", '{"order": 5}', "f1"),
        came_back("label 77-A", "f1"),
        said("Yes: your label is 77-A."),
        metrics={"goal": 1.0, "grounded": 1.0},
        notes={"grounded": "What call 2 refused is said so, and the label is what return_label gave (call 3)."},
    )
    lying = future(
        said("Thanks!", "user"),
        metrics={"goal": 0.0, "grounded": 0.0},
        notes={"grounded": 'No call stands behind "I have cancelled order 5 and refunded you".'},
        reward=0.0,
    )
    scores = {"stderr": 0.1, "n_ok": 1, "n": 1, "observed": None}
    sides = [
        {"source": "logged", "messages": chosen, "mr": 2.0, "futures": [honest], **scores},
        {"source": "sampled", "messages": rejected, "mr": 0.5, "futures": [lying], **scores},
    ]
    sides[0] |= {"metrics": {"goal": 1.0, "grounded": 1.0}, "observed": future(said("Fine.", "user"))}
    sides[1] |= {"metrics": {"goal": 0.0, "grounded": 0.0}}
    return {
        "schema": "collab/scored-turn/v2",
        "conversation_id": "order-5",
        "turn": 1,
        "goal": "cancel order 5",
        "history": history,
        "candidates": sides,
        "lost": [],
        "pair": {"chosen": chosen, "rejected": rejected, "margin": 1.5},
        "refused": None,
        "written_to": {"file": "p.jsonl", "line": 1},
        "made_with": {"per": "turn", "metrics": {"goal": {"weight": 1.0}, "grounded": {"weight": 1.0}}},
        **fields,
    }


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
