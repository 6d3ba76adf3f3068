"""From a RunSpec to the objects of a run."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from collab_cli.terminal import note
from collab_sdk import ChatModel, Engine, MRScorer, RunSpec
from collab_sdk.cache import KeptCache, default_cache, open_cache
from collab_sdk.errors import UsageError
from collab_sdk.jobs import Roles, build_scorer, roles_of
from collab_sdk.models import CallRole, Price, from_environment, keys_of
from collab_sdk.plugins import load
from collab_sdk.runs import LocalRunner, Runner
from collab_sdk.spec import LOCAL


@contextmanager
def open_scorer(spec: RunSpec, cache: str | None) -> Iterator[MRScorer]:
    """The scorer of a run, its cache closed afterwards. Raises UsageError for what cannot work, before any call."""
    roles = roles_of(spec)
    parts = {"bot": roles.assistant, **roles.simulator.models, "judge": roles.judge, **tools_part(spec, roles)}
    with open_engine(spec, cache, parts) as engine:
        yield build_scorer(spec, engine, roles)


def tools_part(spec: RunSpec, roles: Roles) -> dict[str, ChatModel]:
    """Who plays the tools, where a model does that plays nothing else."""
    return {} if spec.tools_model is None or "simulated" not in spec.tools else {"tools": roles.tools}


@contextmanager
def open_runner(spec: RunSpec, cache: str | None, engine: Engine) -> Iterator[Runner]:
    """Where the work is done. Raises CollabError if that cannot be had."""
    name = spec.runner.name
    if name == LOCAL:
        yield LocalRunner(engine)
        return
    open_named = load("runners", name, also=[LOCAL])
    with open_named(engine, spec.runner, str(cache or default_cache(os.environ))) as runner:
        yield runner


@contextmanager
def open_engine(spec: RunSpec, cache: str | None, parts: Mapping[str, ChatModel]) -> Iterator[Engine]:
    """The engine of a run, its cache closed afterwards. `parts` says who plays what.

    Raises UsageError where the cost cannot be limited as asked for, EndpointError where a variable is not set
    that a key or a setting is read from.
    """
    if spec.limits.max_usd is not None:
        _check_prices(parts)
    if spec.runner.name == LOCAL:  # other machines have variables of their own
        _check_environment(spec, parts)
    _note_rules(parts)
    replies = open_chosen_cache(cache)
    try:
        yield Engine(cache=replies, limits=spec.limits)
    finally:
        replies.close()
        if replies.quarantined:
            rows = f"{replies.quarantined:,} {'reply' if replies.quarantined == 1 else 'replies'}"
            note(f"{rows} in the cache could not be read, and had to be paid for again: see `collab cache stats`.")


def open_chosen_cache(chosen: str | None, *, any_key: bool = False) -> KeptCache:
    """Raises CacheError if it cannot be used. With `any_key` it is opened to be counted, even under a wrong key."""
    return open_cache(chosen or default_cache(os.environ), any_key=any_key)


FREE = Price(prompt=0.0, completion=0.0)


def prices_of(roles: Roles) -> dict[CallRole, Price | None]:
    """What a token of each role costs."""
    return {
        CallRole.ASSISTANT: roles.assistant.price,
        # Of several users, each has its own (see UserCosts); who asks no model costs nothing.
        CallRole.SIMULATOR: next((model.price for model in roles.simulator.models.values()), FREE),
        CallRole.JUDGE: roles.judge.price,
        CallRole.GOAL: roles.judge.price,
        CallRole.TOOLS: roles.tools.price,
    }


def is_rules(model: ChatModel) -> bool:
    """Whether the model is the embedded stand-in, under whatever instructions."""
    return (model.fingerprint or {}).get("model") == "offline"


def _note_rules(parts: Mapping[str, ChatModel]) -> None:
    if played := [part.replace("simulator", "user") for part, model in parts.items() if is_rules(model)]:
        who = f"{', '.join(played[:-1])} and {played[-1]} are rules" if played[1:] else f"the {played[0]} is rules"
        note(f"offline: {who}, not models; the numbers say nothing about a real chatbot.")


def _check_environment(spec: RunSpec, parts: Mapping[str, ChatModel]) -> None:
    for key in (key for model in parts.values() for key in keys_of(model)):
        key.check()
    for role in (*spec.assistants, *spec.simulators, spec.judge, spec.tools_model):
        if role is not None and role.settings is not None:
            from_environment(role.settings.sent())


OPTION_OF = {"reader": "model", "simulator": "simulator", "judge": "judge", "tools": "tools-model"}


def _check_prices(parts: Mapping[str, ChatModel]) -> None:
    for part, model in parts.items():
        if model.price is None:
            if not keys_of(model):  # a function, whose tokens nobody counts
                raise UsageError(
                    f"The price of {model.name} is unknown, so --max-usd cannot hold: limit the run by --max-calls."
                )
            role = OPTION_OF.get(part.partition(" ")[0], "assistant")
            raise UsageError(
                f"The price of {model.name} is unknown, so --max-usd cannot hold: give it, such as "
                f"--{role}-option price=0.15/0.60 (USD for a million tokens in/out), or use --max-calls."
            )
