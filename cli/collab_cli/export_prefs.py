"""`collab export-prefs`: from logged chats to preference pairs."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import click

from collab_cli.apart import check_apart
from collab_cli.failures import finish
from collab_cli.one_of import OneOf
from collab_cli.options import LOGS, RUN_OPTIONS, RUNNER, Number, RunOptions, count, number, option, taking
from collab_cli.progress import Progress, shown
from collab_cli.run import dry_run, running
from collab_cli.summary import show_export
from collab_cli.terminal import Problems
from collab_sdk import ExportReport
from collab_sdk.engine import run_sync
from collab_sdk.jobs import ExportJob
from collab_sdk.logs import preference_format_names
from collab_sdk.preferences import PairRule, Refusal, beside
from collab_sdk.score_rows import run_path


@click.command()
@LOGS
@option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Where the pairs go, as JSON lines.")
@option(
    "--format",
    cls=OneOf,
    names=preference_format_names,
    default="trl",
    show_default=True,
    metavar="FORMAT",
    help="The kind of rows",
)
@number("--eval-fraction", Number(min=0, max=1, max_open=True), 0.0, metavar="FRACTION", help="Chats to hold out.")
@number("--candidates", count(2), 3, help="Responses to compare at each turn.")
@number("--min-margin", Number(min=0), PairRule.min_margin, metavar="MR", help="Between chosen and rejected, at least.")
@number("--max-pairs", count(1), PairRule.max_pairs, help="Of one conversation.")
@option("--fixed-samples", is_flag=True, help="Play exactly --samples futures of each response, as the paper does.")
@taking([*RUN_OPTIONS, *RUNNER])
def export_prefs(
    logs: tuple[str, ...],
    output: Path | None,
    format: str,
    eval_fraction: float,
    candidates: int,
    min_margin: float,
    max_pairs: int,
    fixed_samples: bool,
    options: RunOptions,
) -> None:
    """Relabel logged chats and write preference pairs.

    At every assistant turn of LOGS (files, folders, or - for stdin) other responses are drawn and all are scored by how
    the conversation goes on. The best and the worst become a pair, if they are far enough apart.

    \b
      collab export-prefs chats.jsonl --model openai/gpt-4o-mini -o prefs.jsonl --dry-run
      collab export-prefs chats.jsonl -a py:my_app:bot --model openai/gpt-4o-mini -o prefs.jsonl
    """
    problems = Problems()
    if options.dry_run:
        dry_run(logs, options, problems, candidates=candidates)
        return
    target = _checked(output, logs)
    with running(logs, options, problems) as run:
        job = ExportJob(
            score=run.job,
            candidates=candidates,
            min_margin=min_margin,
            max_pairs=max_pairs,
            adaptive=not fixed_samples,
        )
        with shown(run.progress):
            report = run_sync(
                job.exporter(run.scorer).awrite(
                    run.runner.run(job, run.conversations),
                    target,
                    format=format,
                    eval_fraction=eval_fraction,
                    on_progress=_reporter(run.progress, problems),
                )
            )
    show_export(report, target, held_out=eval_fraction > 0, seconds=run.progress.seconds)
    finish(problems, incomplete=report.refused[Refusal.UNSCORED] > 0 or report.candidates_lost > 0)


def _checked(output: Path | None, logs: tuple[str, ...]) -> Path:
    if output is None:
        raise click.UsageError("Missing option '--output' / '-o': the file that the pairs go to.")
    if str(output) == "-":
        raise click.UsageError("Pairs cannot go to stdout, as a second file is written beside them: give -o FILE.")
    check_apart([output, beside(output, "turns"), beside(output, "eval"), run_path(output)], logs)
    return output


def _reporter(progress: Progress, problems: Problems) -> Callable[[ExportReport], None]:
    """Passes on how far an export is, and each failed conversation once."""
    known = 0

    def on_progress(report: ExportReport) -> None:
        nonlocal known
        for conversation_id, error in islice(report.failed.items(), known, None):
            problems.report(f"{conversation_id}: {error}")
        known = len(report.failed)
        progress.update(done=report.conversations, failed=problems.count, mean_mr=report.mean_mr)

    return on_progress
