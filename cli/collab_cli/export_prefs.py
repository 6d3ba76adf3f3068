"""`collab export-prefs`: from logged chats to preference pairs."""

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import click

from collab_cli.failures import finish
from collab_cli.options import (
    CACHE_OPTIONS,
    DRY_RUN,
    LIMITS,
    LOGS,
    PER,
    READING,
    ROLES,
    RUNNER,
    SCORING,
    Work,
    declared_options,
    run_options,
)
from collab_cli.params import OUTPUT, Command, Number, OneOf, option
from collab_cli.paths import WrittenPath
from collab_cli.progress import Progress, shown
from collab_cli.provenance import how_played, show_provenance, warn_of_self_preference, what_counts
from collab_cli.run import dry_run, named, running
from collab_cli.summary import show_export
from collab_cli.terminal import Problems, note, this_command
from collab_cli.units import of
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import CollabError
from collab_sdk.files import beside, export_files
from collab_sdk.jobs import ExportJob
from collab_sdk.logs import get_preference_format, preference_format_names
from collab_sdk.preferences import ExportReport, Refusal
from collab_sdk.spec import PairRule, RunSpec


def _files(output: Path) -> list[Path]:
    return [*export_files(output), *(output.parent / name for name in _catalogues())]


def _catalogues() -> set[str]:
    """The files that formats keep beside their rows; a format that cannot be loaded is told of when it is chosen."""
    names: set[str | None] = set()
    for name in preference_format_names():
        with suppress(CollabError):
            names.add(get_preference_format(name).catalogue)
    return {name for name in names if name}


@click.command(cls=Command)
@LOGS
@option(
    "--output",
    "-o",
    type=WrittenPath(files=_files, path_type=Path),
    metavar="FILE",
    group=OUTPUT,
    help="Write the pairs to FILE as JSON lines.",
)
@option(
    "--format",
    cls=OneOf,
    names=preference_format_names,
    default="trl",
    show_default=True,
    metavar="FORMAT",
    group=OUTPUT,
    help="Format of the rows",
)
@option(
    "--eval-fraction",
    type=Number(min=0, max=1, max_open=True),
    default=0.0,
    show_default=True,
    metavar="FRACTION",
    group=OUTPUT,
    help="Share of the chats to hold out for evaluation.",
)
@run_options(*READING, *ROLES, *PER, *SCORING, *declared_options(PairRule), *LIMITS, DRY_RUN, *CACHE_OPTIONS, *RUNNER)
def export_prefs(
    logs: tuple[str, ...],
    output: Path | None,
    format: str,
    eval_fraction: float,
    spec: RunSpec,
    work: Work,
) -> None:
    """Turn logged chats into preference pairs.

    At every assistant turn of LOGS (files, folders, or - for stdin), other responses are sampled, and all are scored by
    how the conversation continues. The two whose order is most certain become a pair, if it is certain enough.

    If a chat has a goal, it is played with that goal. If not, it is played with two inferred goals that settle what the
    user left open in different ways; otherwise a bot that guesses would score as well as one that asks.

    \b
      collab export-prefs chats.jsonl --model openai/gpt-4o-mini \\
          -o prefs.jsonl --dry-run
      collab export-prefs chats.jsonl -a py:my_app:bot \\
          --model openai/gpt-4o-mini -o prefs.jsonl
    """
    problems = Problems()
    if work.dry_run:
        warn_of_self_preference(spec)
        dry_run(logs, spec, work, problems, with_pairs=True)
        return
    target = _checked(output)
    if format == "sft" and spec.per == "decision":
        note("Note: an sft row does not say where its decision begins: take trl rows, with --method sft.")
    with running(logs, spec, work, problems) as run:
        warn_of_self_preference(spec)
        job = ExportJob(spec=spec)
        with shown(run.progress):
            report = run_sync(
                job.exporter(run.scorer).awrite(
                    run.conversations,
                    target,
                    format=format,
                    eval_fraction=eval_fraction,
                    stage=job.stage(run.runner),
                    runner=spec.runner,
                    on_progress=_reporter(run.progress, problems),
                )
            )
    candidates = f"{of(spec.pairs.candidates, 'candidate')} a {spec.per}"
    show_provenance(spec, *how_played(spec), candidates, what_counts(spec, report.measured), logs=True, err=True)
    show_export(
        report,
        target,
        per=spec.per,
        format=format,
        held_out=eval_fraction > 0,
        seconds=run.progress.seconds,
        by_confidence=spec.pairs.min_confidence > 0,
    )
    note(_next(target, format=format, written=report.written))
    finish(
        problems,
        results=report.written,
        why="no pair was written" if report.conversations else f"no conversation could be read from {named(logs)}",
        incomplete=report.refused[Refusal.UNSCORED] > 0 or report.candidates_lost > 0,
    )


def _next(output: Path, *, format: str, written: int) -> str:
    collab = this_command()
    shown = output if written else beside(output, "turns")
    train = f", then {collab} finetune {output} -m BASE -o DIR" if written and format == "trl" else ""
    return f"Next: {collab} report {shown} shows {'the pairs' if written else 'why turns gave none'}{train}."


def _checked(output: Path | None) -> Path:
    if output is None:
        raise click.UsageError("Missing option '--output' / '-o': the file that the pairs go to.")
    if str(output) == "-":
        raise click.UsageError("Pairs cannot go to stdout, as a second file is written beside them: give -o FILE.")
    return output


def _reporter(progress: Progress, problems: Problems) -> Callable[[ExportReport], None]:
    """Passes on how far an export is, and each failed conversation once."""
    known = 0

    def on_progress(report: ExportReport) -> None:
        nonlocal known
        for conversation_id, error in islice(report.failed.items(), known, None):
            problems.report(f"{conversation_id}: {error}")
        known = len(report.failed)
        progress.update(done=report.conversations, begun=report.begun, failed=problems.count, mean_mr=report.mean_mr)

    return on_progress
