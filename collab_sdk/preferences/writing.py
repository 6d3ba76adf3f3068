"""From scored conversations, as they come, to the files of an export."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from collab_sdk.concurrency import Outcome
from collab_sdk.preferences.files import ExportFiles
from collab_sdk.preferences.report import ExportReport, ScoredConversation


async def awrite_export(
    outcomes: AsyncIterator[Outcome[ScoredConversation]],
    path: str | os.PathLike[str],
    *,
    format: str = "trl",
    eval_fraction: float = 0.0,
    on_progress: Callable[[ExportReport], None] | None = None,
) -> ExportReport:
    """Write what `PreferenceExporter.aexport` does, whoever scored the conversations."""
    report = ExportReport()
    with ExportFiles(Path(path), format=format, eval_fraction=eval_fraction) as files:
        async for outcome in outcomes:
            report.count(outcome)
            if outcome.value is not None:
                files.write(outcome.conversation, outcome.value)
            if on_progress is not None:
                on_progress(report)
    return report
