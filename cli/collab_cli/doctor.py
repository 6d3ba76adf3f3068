"""`collab doctor`: what is there, what is missing, and whether a model answers."""

import os
import time
from collections.abc import Iterator

import click

from collab_cli import findings
from collab_cli.failures import ExitCode
from collab_cli.findings import Finding
from collab_cli.options import API_BASE, cache_option, option
from collab_cli.setup import is_rules
from collab_cli.terminal import note, printable
from collab_cli.units import duration
from collab_sdk import ChatModel, ChatRequest, Engine, as_chat_model
from collab_sdk.engine import RetryPolicy, run_sync
from collab_sdk.errors import CollabError
from collab_sdk.models import CallRole
from collab_sdk.types import Message

MODEL_SECONDS = 30.0
MODEL_TRIES = 2
MILLION = 1_000_000


@click.command()
@option("--model", multiple=True, metavar="MODEL", help="Make a tiny call to it; repeatable.")
@API_BASE
@cache_option
def doctor(model: tuple[str, ...], api_base: tuple[str, ...], cache: str | None) -> None:
    """Check the installation, the keys and, with --model, that a model answers.

    Exits with 1 if something that is needed is broken. Keys are shown by name only, so the report can be passed on.
    """
    broken = False
    for finding in _all_findings(model, api_base, cache):
        click.echo(f"{finding.status:<7} {finding.what:<12} {printable(finding.text)}")
        broken |= finding.status == "BROKEN"
    if broken:
        raise click.exceptions.Exit(ExitCode.ERROR)


def _all_findings(models: tuple[str, ...], api_base: tuple[str, ...], cache: str | None) -> Iterator[Finding]:
    yield from findings.installation()
    yield findings.cache(cache)
    yield findings.keys(os.environ)
    yield from findings.plugins()
    yield findings.sandbox()
    for name in models:
        try:
            yield _answers(as_chat_model(name, api_base=api_base))
        except CollabError as error:
            yield Finding(what="model", text=str(error), status="BROKEN")


def _answers(model: ChatModel) -> Finding:
    """Raises CollabError if the model does not answer."""
    # In memory: an answer from the disk would prove nothing.
    engine = Engine(cache=None, max_calls=MODEL_TRIES, timeout=MODEL_SECONDS, retry=RetryPolicy(attempts=MODEL_TRIES))
    question = Message(role="user", content="Reply with the word ok.")
    started = time.monotonic()
    run_sync(engine.call(model, ChatRequest(role=CallRole.ASSISTANT, messages=(question,))))
    seconds = time.monotonic() - started
    if is_rules(model):
        note(f"{model.name}: rules, not a model; its answers say nothing about a real chatbot.")
    return Finding(what="model", text=f"{model.name} answered in {duration(seconds)}, {_price(model)}")


def _price(model: ChatModel) -> str:
    if model.price is None:
        return "price unknown: limit a run with --max-calls"
    prompt, reply = model.price.prompt * MILLION, model.price.completion * MILLION
    return f"${prompt:.2f} in and ${reply:.2f} out for a million tokens"
