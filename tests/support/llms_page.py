"""docs/llms.txt, made from the navigation and the pages: `python tests/support/llms_page.py > docs/llms.txt`.

The form is that of https://llmstxt.org: a heading, a summary, and lists of links with what is behind each.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
START = (
    "Install it: `pip install collab-sdk`. Try it without a key: `collab demo`, or `--model offline` in any command."
)
LINK = re.compile(r"!?\[([^]]*)\]\([^)]*\)(?:\{[^}]*\})?")


def page() -> str:
    parts = [f"# {SITE['site_name']}", f"> {SITE['site_description']}", START]
    for section in SITE["nav"]:
        [(title, entries)] = section.items()
        parts += [f"## {title}", "\n".join(_line(name) for name in files(entries))]
    return "\n\n".join(parts) + "\n"


def files(entries: str | list[Any] | dict[str, Any]) -> Iterator[str]:
    """The pages of a part of the navigation, in order."""
    if isinstance(entries, str):
        yield entries
        return
    for entry in entries.values() if isinstance(entries, dict) else entries:
        yield from files(entry)


def _line(name: str) -> str:
    blocks = (DOCS / name).read_text(encoding="utf-8").split("\n\n")
    title = blocks[0].removeprefix("# ")
    prose = next((block for block in blocks[1:] if block[0].isalpha() or block[0] in "*`["), "")
    text = " ".join(LINK.sub(r"\1", prose).replace("**", "").split())
    said = re.match(r".+?(?:[.?!](?=\s|$)|(?=:$))", text)
    return f"- [{title}]({name})" + (f": {said[0]}" if said else "")


if __name__ == "__main__":
    print(page(), end="")
