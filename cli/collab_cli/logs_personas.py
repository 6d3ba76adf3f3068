"""`collab logs personas`: who the users of logged chats are."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import click

from collab_cli.failures import finish, no_result
from collab_cli.options import CACHE_OPTIONS, DRY_RUN, LIMITS, LOGS, READER, READING, Work, run_options
from collab_cli.params import Command, rows_output
from collab_cli.progress import Progress, shown
from collab_cli.run import end_dry_run, named
from collab_cli.setup import open_engine
from collab_cli.summary import show_usage
from collab_cli.terminal import Problems, note
from collab_cli.units import of
from collab_sdk import RunSpec, as_chat_model, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.cost import estimate_personas
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import count_conversations
from collab_sdk.runs import Outcome, run_here
from collab_sdk.simulator import PersonaReader, persona_row
from collab_sdk.types import Persona


@click.command(cls=Command)
@LOGS
@rows_output("the personas, one per line,")
@run_options(*READING, *READER, *LIMITS, DRY_RUN, *CACHE_OPTIONS)
def personas(logs: tuple[str, ...], output: str, spec: RunSpec, work: Work) -> None:
    """Describe the users of logged chats as personas, for --persona.

    A model reads what each user typed and describes how they behave and write, without what they want, names or
    quotations. A description that quotes its user is refused. Read the file before you share it.

    \b
      collab logs personas chats.jsonl -o users.jsonl --model openai/gpt-4o-mini
      collab evaluate -a py:my_app:bot -t logs --data chats.jsonl \\
          --model openai/gpt-4o-mini --persona users.jsonl
    """
    problems = Problems()
    chats = read_conversations(
        logs, format=work.log_format, limit=work.limit, on_error=problems.report, notes=problems.notes
    )
    model = as_chat_model(spec.judge)
    if work.dry_run:
        end_dry_run(estimate_personas(chats, model.price), logs, problems)
        return
    written = 0
    with open_engine(spec, work.cache, {"reader": model}) as engine, JsonlWriter(output) as rows:
        reader = PersonaReader(spec.judge, engine=engine)
        described = run_here(reader.aread, chats, engine=engine)
        counts = (count_conversations(logs, format=work.log_format, limit=work.limit), work.limit)
        progress = Progress(engine.ledger, total=min((n for n in counts if n is not None), default=None))
        try:
            with shown(progress):
                written = run_sync(_awrite(described, rows, reader.made_with, progress, problems))
            if not written:  # an output of an earlier run stays
                no_result(f"no user could be described in {named(logs)}")
        finally:
            problems.close()
            show_usage(engine.ledger)
    note(f"Wrote {of(written, 'persona')} to {'stdout' if output == '-' else output}.")
    finish(problems, results=written)


async def _awrite(
    described: AsyncIterator[Outcome[Persona]],
    rows: JsonlWriter,
    made_with: Mapping[str, Any],
    progress: Progress,
    problems: Problems,
) -> int:
    """How many could be described. Raises RunStoppedError if the run cannot go on."""
    written = failed = 0
    async for outcome in described:
        if outcome.value is None:
            failed += 1
            problems.report(f"{outcome.conversation.id}: {outcome.error}")
        else:
            written += 1
            rows.write(persona_row(outcome.value, made_with=made_with))
        progress.update(done=written + failed, failed=failed, mean_mr=None)
    return written
