"""The README as a package index shows it, where a link into the repository would lead nowhere."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"^!\[[^]]*\]\((?!https?:)[^)]*\)\n\n", re.MULTILINE)
LINK = re.compile(r"\[([^]]*)\]\((?!https?:)([^)#]*)(#[^)]*)?\)")


class ReadmeForTheIndex(MetadataHookInterface):
    """Writes the field `readme` of the package's metadata."""

    def update(self, metadata: dict) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        base = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_the_index(text, base)}


def for_the_index(text: str, base: str | None) -> str:
    """The text with absolute links, by the address of the repository; without one, files are named and not linked."""
    if base is None:
        return LINK.sub(r"\1 (`\2`)", PICTURE.sub("", text))
    raw = f"{base}/raw/HEAD/"
    text = re.sub(r"(!\[[^]]*\]\()(?!https?:)", rf"\g<1>{raw}", text)
    return re.sub(r"(?<!!)(\[[^]]*\]\()(?!https?:|#)", rf"\g<1>{base}/blob/HEAD/", text)
