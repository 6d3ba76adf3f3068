"""`collab doctor`: what is there, what is missing, and whether a model answers."""

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from collab_cli import findings
from collab_cli.failures import ExitCode
from collab_cli.findings import Finding
from collab_cli.model_options import MILLION, model_settings
from collab_cli.options import cache_option
from collab_cli.params import Command, ModelOption, option
from collab_cli.setup import is_rules
from collab_cli.terminal import note, print_text, printable
from collab_cli.units import duration
from collab_sdk import ChatModel, ChatRequest, Engine, ModelSettings, ModelSpec, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.engine import RetryPolicy, require_whole
from collab_sdk.errors import CollabError
from collab_sdk.messages import Message
from collab_sdk.models import SERVERS_OWN, CallRole, keys_of, settings_for, spec_of
from collab_sdk.spec import Limits

MODEL_SECONDS = 30.0
MODEL_TRIES = 2


@click.command(cls=Command)
@option("--model", multiple=True, metavar="MODEL", help="Check this model with a tiny call; repeatable.")
@option("--api-base", multiple=True, metavar="URL", help="Address of the models' OpenAI-compatible server.")
@option("--api-key-env", metavar="NAME", help="Environment variable with the key for that server.")
@option(
    "--model-option",
    type=ModelOption(),
    multiple=True,
    metavar="KEY=VALUE",
    help="Setting of the models, such as temperature=default; repeatable.",
)
@cache_option
def doctor(
    model: tuple[str, ...],
    api_base: tuple[str, ...],
    api_key_env: str | None,
    model_option: tuple[tuple[str, Any], ...],
    cache: str | None,
) -> None:
    """Check the installation and the keys and, with --model, that a model answers.

    Exits with code 1 if something that is needed does not work. Only the names of keys are shown, so you can share the
    report.
    """
    broken = False
    settings, price = model_settings(model_option, "--model-option")
    specs = [
        ModelSpec(
            name=name,
            api_base=api_base,
            api_key_env=api_key_env,
            settings=ModelSettings(**settings) if settings else None,
            price=price,
        )
        for name in model
    ]
    for finding in _all_findings(specs, cache):
        print_text(f"{finding.status:<7} {finding.what:<12} {printable(finding.text)}")
        broken |= finding.status == "BROKEN"
    if broken:
        raise click.exceptions.Exit(ExitCode.ERROR)


def _all_findings(models: Sequence[ModelSpec], cache: str | None) -> Iterator[Finding]:
    yield from findings.installation()
    yield findings.cache(cache)
    yield findings.keys(os.environ)
    yield from findings.plugins()
    yield findings.sandbox()
    for spec in models:
        try:
            model = as_chat_model(spec)
            yield from _key_of(model)
            yield _answers(model)
        except CollabError as error:
            yield Finding(what="model", text=str(error), status="BROKEN")


def _key_of(model: ChatModel) -> Iterator[Finding]:
    """Where the model is, and which variable its key is read from."""
    addresses = spec_of(model, SERVERS_OWN).api_base or ("its own address",)
    for address, key in zip(addresses, keys_of(model), strict=False):
        yield Finding(what="model", text=f"{model.name} is at {address}; {key.state}")


def _answers(model: ChatModel) -> Finding:
    """Raises CollabError if the model does not answer."""
    # In memory: an answer from the disk would prove nothing.
    engine = Engine(
        cache=None, retry=RetryPolicy(attempts=MODEL_TRIES), limits=Limits(max_calls=MODEL_TRIES, timeout=MODEL_SECONDS)
    )
    question = Message(role="user", content="Reply with the word ok.")
    started = time.monotonic()
    request = ChatRequest(role=CallRole.ASSISTANT, messages=(question,), settings=settings_for(model, SERVERS_OWN))
    require_whole(run_sync(engine.call(model, request)), model.name)
    seconds = time.monotonic() - started
    if is_rules(model):
        note(f"{model.name}: rules, not a model; its answers say nothing about a real chatbot.")
    return Finding(what="model", text=f"{model.name} answered in {duration(seconds)}, {_price(model)}")


def _price(model: ChatModel) -> str:
    if model.price is None:
        return "price unknown: limit a run with --max-calls"
    prompt, reply = model.price.prompt * MILLION, model.price.completion * MILLION
    return f"${prompt:.2f} in and ${reply:.2f} out for a million tokens"
