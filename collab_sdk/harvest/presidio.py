"""Microsoft Presidio as a redactor, for names, places and what else takes more than a pattern."""

from collections.abc import Callable
from typing import Any

from collab_sdk.errors import MissingExtraError


def presidio_redactor(
    *, language: str = "en", entities: list[str] | None = None, score: float = 0.5, analyzer: Any = None
) -> Callable[[str], str]:
    """A redactor that puts the kind for what Presidio finds, such as `[person]`, with at least this `score`.

    `entities` are Presidio's names for what to look for, by default everything. `analyzer` is an AnalyzerEngine of the
    app's own; the default one needs a spaCy model. Raises MissingExtraError.
    """
    if analyzer is None:
        try:
            from presidio_analyzer import AnalyzerEngine
        except ImportError:
            raise MissingExtraError.of("Redaction by Presidio needs presidio-analyzer", "presidio") from None
        analyzer = AnalyzerEngine()

    def redact(text: str) -> str:
        found = analyzer.analyze(text=text, language=language, entities=entities, score_threshold=score)
        parts: list[str] = []
        start = 0
        for result in sorted(found, key=lambda result: (result.start, -result.end)):
            if result.end <= start:
                continue
            parts += text[start : max(start, result.start)], f"[{result.entity_type.lower()}]"
            start = result.end
        return "".join(parts) + text[start:]

    return redact
