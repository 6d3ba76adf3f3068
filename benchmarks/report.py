"""The report page on 10,000 pairs: how long it takes to write, how big it is, and how soon a browser shows it.

    python benchmarks/report.py [--pairs 10000] [--json report.json]

The turns are those of the sample chats by `offline`, with three candidates of three futures and a number of its own in
every text, so that no two are alike. Writing is a `collab report` process, start-up and plots included; the browser is
headless Chromium, with the page on disk. The heap is JavaScript's, after a garbage collection; a renderer's memory is
its resident set.
"""

import argparse
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from table import finish, judged

from collab_sdk.offline import sample_chats_path

COLLAB = [sys.executable, "-m", "collab_cli.main"]
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
)
FRAMES = """async () => {
  const list = document.getElementById('list'), gaps = [];
  let last = await new Promise(requestAnimationFrame);
  for (let step = 1; step <= 60; step++) {
    list.scrollTop = list.scrollHeight * step / 60;
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    last = now;
  }
  return Math.max(...gaps);
}"""
MB = 1_000_000


def write_turns(folder: Path, pairs: int) -> tuple[Path, int]:
    """As many turns as give that many pairs, and how many there are."""
    seed = folder / "seed.jsonl"
    command = ["export-prefs", str(sample_chats_path()), "--model", "offline", "--fixed-samples", "-o", str(seed)]
    subprocess.run([*COLLAB, *command, "--cache-dir", str(folder / "cache")], check=True, capture_output=True)
    rows = [json.loads(line) for line in (folder / "seed.turns.jsonl").read_text().splitlines()]
    path, written, turns = folder / "many.turns.jsonl", 0, 0
    rng = random.Random(0)
    with path.open("w") as file:
        for row in _copies(rows):
            if written == pairs:
                break
            row = _marked(row, lambda text: f"{text} {rng.randrange(10**6)}")
            file.write(json.dumps(row) + "\n")
            written += row["pair"] is not None
            turns += 1
    return path, turns


def _copies(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number in itertools.count():
        for row in rows:
            yield {**row, "conversation_id": f"{row['conversation_id']}-{number}"}


def _marked(row: dict[str, Any], mark: Any) -> dict[str, Any]:
    """The row with texts of its own; histories stay, as the turns of a conversation share them."""
    known: dict[str, Any] = {}
    row = json.loads(json.dumps(row))
    for candidate in row["candidates"]:
        before = json.dumps(candidate["messages"])
        for message in candidate["messages"]:
            message["content"] = mark(message["content"])
        known[before] = candidate["messages"]
        for future in candidate["futures"]:
            for message in future["messages"]:
                message["content"] = mark(message["content"])
            future["notes"] = {name: mark(note) for name, note in future["notes"].items()}
    if row["pair"]:
        row["pair"] |= {side: known[json.dumps(row["pair"][side])] for side in ("chosen", "rejected")}
    return row


def write_page(turns: Path) -> tuple[Path, float, float]:
    """The page, seconds, and the process's peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen([*COLLAB, "report", str(turns)], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise SystemExit("collab report failed")
    return turns.with_name("many.html"), time.perf_counter() - started, usage.ru_maxrss / 1024


def timed(page: Page, do: Any, seen: str) -> float:
    started = time.perf_counter()
    do()
    page.locator(seen).wait_for()
    return time.perf_counter() - started


def in_browser(path: Path, pairs: int) -> dict[str, float]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{path.as_uri()}#overview")
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        figures = {"ready to search and review, s": page.evaluate("performance.now()") / 1000}
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        figures = {"first paint, s": page.evaluate(paint) / 1000, **figures}
        tools = page.context.new_cdp_session(page)
        figures["heap when ready, MB"] = _heap(tools)
        figures["list and first chat, s"] = timed(page, lambda: page.click("text=Conversations"), "#chat .talk")
        figures["longest frame while scrolling the list, s"] = page.evaluate(FRAMES) / 1000
        figures["last chat, s"] = timed(page, lambda: page.press("#list", "End"), "[aria-posinset][aria-selected=true]")
        page.fill("#search", "no chat says this")
        started = time.perf_counter()
        page.locator("#shown", has_text="0 of").wait_for()
        figures["first search in all text, s"] = time.perf_counter() - started
        page.fill("#search", "mocha")
        started = time.perf_counter()
        page.locator("#shown", has_text=re.compile(r"^0 of")).wait_for(state="detached")
        figures["a further search, s"] = time.perf_counter() - started
        page.click("text=Review")
        page.locator("#view-review .chosen").wait_for()
        page.locator("#main").focus()
        reviewed = f"text=1 of {pairs:,} pairs reviewed"
        figures["keep and next pair, s"] = timed(page, lambda: page.keyboard.press("k"), reviewed)
        figures["heap after all that, MB"] = _heap(tools)
        processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
        renderers = [each["id"] for each in processes if each["type"] == "renderer"]
        figures["renderer's memory, MB"] = max(map(_resident, renderers))
        browser.close()
    return figures


def _heap(tools: Any) -> float:
    tools.send("HeapProfiler.collectGarbage")
    return float(tools.send("Runtime.getHeapUsage")["usedSize"]) / MB


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        turns, count = write_turns(Path(temporary), options.pairs)
        page, seconds, memory = write_page(turns)
        figures = {
            "turns": float(count),
            "turns file, MB": turns.stat().st_size / MB,
            "page, MB": page.stat().st_size / MB,
            "write, s": seconds,
            "write, peak MB": memory,
            **in_browser(page, options.pairs),
        }
    rows = [{"figure": name, "value": value} for name, value in figures.items()]
    verdicts = [
        judged("first paint, s", figures["first paint, s"], at_most=1),
        judged("page, share of the turns file", figures["page, MB"] / figures["turns file, MB"], at_most=0.25),
    ]
    finish(rows, verdicts, options.path)


if __name__ == "__main__":
    main()
