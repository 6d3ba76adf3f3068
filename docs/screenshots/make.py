"""Pictures of every view of the report page, of the sample chats and a chat with tools: python docs/screenshots/make.py

Needs Chromium and Playwright (`apt-get install chromium`, `pip install 'collab-sdk[dev]'`).
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from collab_sdk.offline import sample_chats_path

HERE = Path(__file__).parent
CHATS = str(sample_chats_path())
AGENT = "agent.chats.jsonl"
COMMANDS = {
    "pairs.jsonl": ["export-prefs", CHATS, "--eval-fraction", "0.2", "-o", "pairs.jsonl"],
    "agent.jsonl": ["export-prefs", AGENT, "-o", "agent.jsonl"],
    "scores.jsonl": ["score", CHATS, "-o", "scores.jsonl"],
    "evaluation.json": [
        "evaluate",
        "--data",
        CHATS,
        *"-t logs -a offline -a offline:proactive -o".split(),
        "evaluation.json",
    ],
    "check.json": ["check-sim", CHATS, "--json"],
}
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
)


def collab(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "collab_cli.main", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout  # noqa: S603


def agent_chat() -> dict[str, Any]:
    """A turn that ends with a call, and another response to it that only says so."""

    def said(content: str, role: str = "assistant") -> dict[str, Any]:
        return {"role": role, "content": content}

    def called(name: str, result: str, **arguments: int) -> list[dict[str, Any]]:
        call = {"id": name, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        return [said("") | {"tool_calls": [call]}, {"role": "tool", "tool_call_id": name, "content": result}]

    messages = [
        said("Orders that have shipped cannot be cancelled; they can be returned.", "system"),
        said("where is order 5?", "user"),
        *called("look_up", '{"order": 5, "status": "SHIPPED", "carrier": "DHL"}', order=5),
        said("Order 5 has shipped with DHL."),
        said("cancel order 6 please", "user"),
        *called("cancel_order", "cancelled: order 6, refunded 24.00 EUR", order=6),
        said("Order 6 is cancelled, and 24.00 EUR are refunded."),
        said("thanks", "user"),
    ]
    parameters = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
    functions = [{"name": name, "parameters": parameters} for name in ("look_up", "cancel_order")]
    return {
        "schema": "collab/conversation/v1",
        "id": "order-6",
        "goal": "cancel: order 6",
        "messages": messages,
        "tools": [{"type": "function", "function": function} for function in functions],
        "alternatives": {"1": [[said("Done! I have cancelled order 6 for you.")]]},
    }


def make_pages(folder: Path) -> None:
    (folder / AGENT).write_text(json.dumps(agent_chat()) + "\n")
    for name, command in COMMANDS.items():
        said = collab(folder, *command, "--model", "offline", "--cache-dir", "cache")
        if name == "check.json":
            (folder / name).write_text(said)
        collab(folder, "report", name)


def open_pair(page: Any) -> None:
    page.locator(".opener", has_text="pair, margin").first.click()


def open_turn(page: Any) -> None:
    page.locator(".opener").first.click()


def open_steps(page: Any) -> None:
    page.locator(".opener", has_text="pair, margin").last.click()
    page.locator(".candidate.chosen .response .step summary").first.click()


def decide(page: Any) -> None:
    page.get_by_label("Your name").fill("Ada")
    page.locator("#main").focus()
    for key in "kkf":
        page.keyboard.press(key)
        page.wait_for_timeout(100)


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        make_pages(folder)
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)

        def shoot(
            picture: str,
            file: str,
            *,
            width: int = 1200,
            height: int = 860,
            dark: bool = False,
            act: Callable[[Any], None] | None = None,
        ) -> None:
            name, _, view = file.partition("#")
            scheme = "dark" if dark else "light"
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.goto(f"{(folder / name).as_uri()}#{view}")
            page.wait_for_selector("html[data-ready=yes]", state="attached")
            if act is not None:
                act(page)
            page.wait_for_timeout(300)
            page.screenshot(path=HERE / f"{picture}.png")
            context.close()

        shoot("overview", "pairs.html#overview", height=1000)
        shoot("conversation", "pairs.html#conversation/sample-05", height=1000, act=open_pair)
        shoot("steps", "agent.html#conversation/order-6", height=1250, act=open_steps)
        shoot("steps-narrow", "agent.html#conversation/order-6", width=360, height=900, act=open_steps)
        shoot("review", "pairs.html#review", act=decide)
        shoot("overview-dark", "pairs.html#overview", dark=True)
        shoot("conversation-dark", "pairs.html#conversation/sample-05", dark=True, act=open_pair)
        shoot("overview-narrow", "pairs.html#overview", width=360, height=760)
        shoot("list-narrow", "pairs.html#conversations", width=360, height=760)
        shoot("conversation-narrow", "pairs.html#conversation/sample-05", width=360, height=760, act=open_pair)
        shoot("review-narrow", "pairs.html#review", width=360, height=760, act=decide)
        shoot("scores", "scores.html#conversations", act=open_turn)
        shoot("evaluation", "evaluation.html#overview")
        shoot("evaluation-conversation", "evaluation.html#conversations")
        shoot("check", "check.html#overview", height=1000)
        shoot("check-conversation", "check.html#conversations")
        browser.close()


if __name__ == "__main__":
    main()
