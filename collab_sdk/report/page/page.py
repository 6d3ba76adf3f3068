"""Renders the page and writes it."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from collab_sdk.errors import MissingExtraError
from collab_sdk.files import Inputs, TextWriter, to_json
from collab_sdk.report.index import ORDERS, Index
from collab_sdk.report.overview import Overview
from collab_sdk.report.packing import csp_hash, packed, script_json
from collab_sdk.report.plots import require_plots

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPTS = tuple("dom text marks diff steps data state list futures chat plays review main".split())
"""In this order, one script: each may use those before it."""
TITLES = MappingProxyType(
    {"pairs": "Preference pairs", "scores": "Scores", "evaluation": "Evaluation", "check": "Simulator check"}
)
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'"
)


def require_page() -> None:
    """Raise MissingExtraError where no page can be made."""
    require_plots()
    if find_spec("jinja2") is None:
        raise MissingExtraError.of("A report needs Jinja2", "report")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """All but the conversations, which are written as they are packed."""

    kind: str
    name: str
    digest: str
    """Of all pair ids: under it the browser keeps what was decided."""
    score: str
    """What the scores of the file are called."""
    sections: Sequence[tuple[str, Overview]]
    index: Index

    def write(self, output: Path, blocks: Sequence[str], *, inputs: Inputs) -> None:
        """Raises OutputError."""
        with TextWriter(output, inputs=inputs) as file:
            for part in self.parts(blocks):
                file.write_text(part)

    def parts(self, blocks: Sequence[str]) -> Iterator[str]:
        script, style = script_text(), _asset("page.css")
        policy = POLICY.format(script=csp_hash(script), style=csp_hash(style))
        template = _environment().get_template("page.html.jinja")
        yield from template.generate(
            page=self,
            title=TITLES[self.kind],
            policy=policy,
            script=script,
            style=style,
            facts=script_json(self._facts()),
            index=packed(to_json(self.index.to_dict())),
            blocks=blocks,
        )

    def _facts(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "name": self.name,
            "digest": self.digest,
            "pairs": len(self.index.pairs),
            "score": self.score,
            "orders": [(key, words.format(score=self.score)) for key, words in ORDERS[self.kind]],
            "tags": self.index.tags.most_common(),
        }


def script_text() -> str:
    """All of the page's code."""
    parts = "\n".join(_asset("js", f"{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def visible(text: object) -> str:
    """Text in which what would be invisible, or would turn the text around it, is seen."""
    return "".join(f"⟨U+{ord(char):04X}⟩" if _is_hidden(char) else char for char in str(text))


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in ("Cf", "Cc", "Co", "Cs") and char not in "\n\t\u200c\u200d"


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(str(files(__package__))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    return environment


def _asset(*names: str) -> str:
    return files(__package__).joinpath(*names).read_text(encoding="utf-8")
